"""The README says what the code does."""

import re
from pathlib import Path

import pytest

from superwsgi.cli.main import main
from superwsgi.config.loading import load
from superwsgi.config.shown.reference import parts
from superwsgi.config.text.reader import SITE, key_paths

PATH = Path(__file__).parents[2] / "README.md"
README = PATH.read_text()
SITES = re.findall(r"^```yaml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_files_it_links_to_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (PATH.parent / target).exists(), target


def test_sections_it_links_to_exist():
    titles = re.findall(r"^##+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors


@pytest.mark.parametrize("text", SITES, ids=lambda text: text.partition(":")[0])
def test_what_it_shows_of_a_site_file_is_one(text, tmp_path):
    (tmp_path / ".env").touch()
    (tmp_path / "admin.token").write_text("0123456789abcdef")
    site = tmp_path / "site.yaml"
    site.write_text(text if text.startswith("app: ") else f"app: shop.wsgi\n{text}")
    load(site, {"SECRET_KEY": "x"})


def test_the_commands_it_shows_are_there():
    words = set(re.findall(r"(?:^|[`$/ ])superwsgi ([a-z]+)(?![\w.:])", _code(), re.MULTILINE))
    assert len(words) > 10
    assert words <= set(main.modules)


def test_the_keys_it_asks_the_reference_for_are_there():
    asked = re.findall(r"superwsgi reference ([a-z_.]+)", README)
    assert asked
    assert set(asked) <= set(parts())


def test_the_keys_it_names_for_gunicorns_settings_are_there():
    table = README.partition("\n## Coming from Gunicorn\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`((?:timeouts|requests|memory|proxy|log|tls|hooks)\.\w+)`", table))
    assert named
    assert named <= set(key_paths(SITE))


def _code():
    """What is in blocks of commands, or between backticks."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`superwsgi [^`]+`", README)])
