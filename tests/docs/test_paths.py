"""The pages for developers name files and folders that exist."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BELOW = (REPOSITORY, REPOSITORY / "supervisor", REPOSITORY / "supervisor/superwsgi")
PATH = re.compile(r"`((?:[\w.]+/)*[\w.]+\.(?:py|toml|yaml|md)|(?:[\w.]+/)+|\.ci/\w+)`")


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "supervisor/DESIGN.md"])
def test_what_it_names_is_there(page):
    named = set(PATH.findall((REPOSITORY / page).read_text()))
    assert len(named) > 20
    missing = {name for name in named if not any((folder / name).exists() for folder in BELOW)}
    assert not {name for name in missing if not is_named_alone(name)}


def is_named_alone(name):
    """Where the folder above is spoken of, `admission.py` or `boot/` is enough."""
    last = name.removesuffix("/")
    return "/" not in last and any(any(top.rglob(last)) for top in (BELOW[-1], REPOSITORY / "tests"))
