"""What of a Paste file concerns a site."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.surprises import surprises
from superwsgi.config.text.paste import applications, sections, servers
from superwsgi.config.text.variables import UnusableFile
from tests.config.sites import loaded

SITE = """\
[DEFAULT]
debug = false

[app:main]
use = egg:shop
title = 100 % and %(here)s
also:
    indented

[composite:all]
[pipeline:x y]
[filter:wrap]
[server:main]
[server:other]
[loggers]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.ini"
    path.write_text(SITE)
    return path


def test_sections(site: Path) -> None:
    said = sections(site)
    assert said["app:main"]["title"] == "100 % and %(here)s"
    assert applications([*said]) == ["main", "all", "x y"]
    assert servers([*said]) == ["server:main", "server:other"]


@pytest.mark.parametrize("content", [b"app = 1", b"\xff", b"x" * (2 << 20), b"[a\n"])
def test_no_ini_file(site: Path, content: bytes) -> None:
    site.write_bytes(content)
    with pytest.raises(UnusableFile) as caught:
        sections(site)
    assert "\n" not in str(caught.value)


def test_its_servers_are_not_used(site: Path) -> None:
    then = f"in {site} is not used: bind and threads are keys of the site"
    said = [f"app: [server:main] {then}", f"app: [server:other] {then}"]
    assert surprises(loaded(site.parent, "app: site.ini#all\n")) == said
    assert surprises(loaded(site.parent, "app: absent.ini\n")) == []
