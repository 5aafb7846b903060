from superwsgi.config import newcomers
from superwsgi.config.reading import SITE, key_paths


def test_every_hint_names_a_key_that_there_is() -> None:
    assert set(newcomers.OURS.values()) <= {"app", *key_paths(SITE)}


def test_no_word_is_one_of_our_own_keys() -> None:
    assert newcomers.OURS.keys().isdisjoint({"app", *key_paths(SITE)})
