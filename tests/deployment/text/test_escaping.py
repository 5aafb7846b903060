"""Words as other programs spell them; whether these read them so is tried with the programs themselves, in
tests/e2e.
"""

from __future__ import annotations

import json

import pytest
import yaml

from superwsgi.deployment.text import escaping
from superwsgi.deployment.text.escaping import Unspeakable

SPELLERS = (
    escaping.word,
    escaping.argument,
    escaping.line,
    escaping.nginx,
    escaping.haproxy,
    escaping.logrotate,
)


@pytest.mark.parametrize(
    ("text", "word", "argument"),
    [
        ("/srv/shop", "/srv/shop", "/srv/shop"),
        ("/srv/öd", "/srv/öd", "/srv/öd"),
        ("/a b", '"/a b"', '"/a b"'),
        ("/100%", "/100%%", "/100%%"),
        ("/a:b", '"/a:b"', '"/a:b"'),
        ("/$HOME/${x}", '"/$HOME/${x}"', '"/$$HOME/$${x}"'),
        ('/"\\', '"/\\"\\\\"', '"/\\"\\\\"'),
        ("/a;b", '"/a;b"', '"/a;b"'),
    ],
)
def test_words_of_units(text: str, word: str, argument: str) -> None:
    assert (escaping.word(text), escaping.argument(text)) == (word, argument)


def test_addresses_in_a_unit() -> None:
    assert escaping.url("/srv/100% ö/site.yaml") == "file:/srv/100%%25%%20%%C3%%B6/site.yaml"


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "a\x1bb", "\x7f"])
@pytest.mark.parametrize("spell", SPELLERS)
def test_nothing_ends_a_line(spell: type, text: str) -> None:
    with pytest.raises(Unspeakable):
        spell(text)


@pytest.mark.parametrize(
    "text", ["yes", "a: b", "1", "öd", ".env", "shop:create_app()", "'", "#", "- a", "", "~"]
)
def test_values_of_a_site_file_are_text(text: str) -> None:
    assert yaml.safe_load(f"key: {escaping.yaml(text)}")["key"] == text


def test_a_variable_of_a_site_file_is_one_only_where_it_is_meant() -> None:
    assert json.loads(escaping.yaml("${x}")) == "$${x}"
    assert json.loads(escaping.yaml_with_variables("${x}")) == "${x}"
