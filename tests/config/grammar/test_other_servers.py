from superwsgi.config.grammar import other_servers
from superwsgi.config.text.reader import SITE, key_paths


def test_every_hint_names_a_key_that_there_is() -> None:
    assert set(other_servers.OURS.values()) <= {"app", *key_paths(SITE)}


def test_no_word_is_one_of_our_own_keys() -> None:
    assert other_servers.OURS.keys().isdisjoint({"app", *key_paths(SITE)})
