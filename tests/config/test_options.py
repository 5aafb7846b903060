"""A site from the command line alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.config.listening import TcpAddress, UnixAddress
from superwsgi.config.loading import from_options
from superwsgi.config.schema import Site
from tests.config.sites import values


def test_an_application_alone_has_the_defaults(tmp_path: Path) -> None:
    site = from_options("shop.wsgi:application", chdir=str(tmp_path))
    assert values(site) == Site(name="shop", apps={"/": "shop.wsgi:application"}, chdir=str(tmp_path))


def test_every_option(tmp_path: Path) -> None:
    site = from_options(
        "shop:app",
        chdir=str(tmp_path),
        bind=[":80", "unix:x.sock"],
        workers="4",
        threads=2,
        preload=True,
        name="other",
    )
    assert site.bind == (TcpAddress("0.0.0.0", 80), UnixAddress(f"{tmp_path}/x.sock"))
    assert (site.workers, site.threads, site.preload, site.name) == (4, 2, True, "other")


def test_the_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_options("shop:app", chdir=".").chdir == str(tmp_path)
    assert from_options("shop:app", chdir="code").chdir == f"{tmp_path}/code"


def test_variables_are_left_to_the_shell(tmp_path: Path) -> None:
    assert from_options("shop:app", chdir=str(tmp_path), bind=["unix:/run/${X}"]).bind == (
        UnixAddress("/run/${X}"),
    )


def test_errors_name_the_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        from_options("shop:", chdir=str(tmp_path), bind=[":80", "127.0.0.1:80", "8"], workers="x", threads=0)
    assert str(caught.value).split("\n") == [
        "app: expected module:attribute, module:factory() or the path of a file, got 'shop:': "
        "name the application in it, such as shop:app",
        "--workers: expected a whole number from 1 to 1024, or auto, or a mapping of min and max, got 'x'",
        "--threads: expected a whole number from 1 to 10000, or a mapping of min and max, got '0'",
        "--bind: expected host:port, [IPv6]:port, unix:path or systemd, got '8': "
        "write ':8' for every interface, or '127.0.0.1:8'",
    ]


def test_errors_name_the_argument_of_a_function(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^threads: expected"):
        from_options("shop:app", chdir=str(tmp_path), threads=0, prefix="")
