"""The README says what the code does."""

import re
from pathlib import Path

from superwsgi.config.text.formats import ACCESS_NAMES
from superwsgi.config.text.reader import SITE, key_paths

PATH = Path(__file__).parents[2] / "README.md"
README = PATH.read_text()


def test_files_it_links_to_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (PATH.parent / target).exists(), target


def test_the_keys_it_names_for_gunicorns_settings_are_there():
    table = _section("Coming from Gunicorn")
    named = set(re.findall(r"`((?:timeouts|requests|memory|proxy|log|tls|hooks)\.\w+)`", table))
    assert named
    assert named <= set(key_paths(SITE))


def test_it_has_every_name_of_an_access_log_template():
    assert set(ACCESS_NAMES) <= set(re.findall(r"`(\w+)`", _section("Logs")))


def _section(title):
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
