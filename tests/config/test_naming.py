"""What a site is called that has been given no name."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config import naming
from superwsgi.config.grammar import values
from superwsgi.config.loading import from_options, load

FILES = {
    "/srv/shop/site.yaml": "shop",
    "/srv/blog/site.yaml": "blog",
    "/srv/shop/shop.yaml": "shop",
    "/srv/shop/admin.yaml": "admin",
    "/srv/shop/Site.YML": "shop",
    "/srv/shop/superwsgi.yaml": "shop",
    "/srv/shop/config.yaml": "shop",
    "/srv/shop/.superwsgi.yaml": "shop",
    "/srv/shop/site.prod.yaml": "site.prod",
    "/etc/superwsgi/shop.yaml": "shop",
    "/etc/superwsgi/site.yaml": "site",
    "/home/bob/.config/superwsgi/site.yaml": "site",
    "/etc/shop/site.yaml": "shop",
    "/opt/superwsgi/site.yaml": "superwsgi",
    # a release says nothing, however it is called; nor does a folder for configuration
    "/srv/shop/current/site.yaml": "shop",
    "/srv/shop/releases/42/site.yaml": "shop",
    "/srv/shop/releases/20260131120000/site.yaml": "shop",
    "/srv/shop/releases/main-4f3/config/site.yaml": "shop",
    "/srv/shop/2026-01-31_12-00-00/site.yaml": "shop",
    "/srv/shop/2026-01-31T12:00/site.yaml": "shop",
    "/srv/shop/v1.2.3/site.yaml": "shop",
    "/srv/shop/9fceb02/site.yaml": "shop",
    "/srv/shop/9fceb02d0ae598e95dc970b74767f19372d61af8/site.yaml": "shop",
    "/srv/shop/config/site.yaml": "shop",
    "/srv/2fast/site.yaml": "2fast",
    "/srv/defaced/site.yaml": "defaced",
    # as the operator has written it
    "/srv/blog/../shop/site.yaml": "shop",
    "/srv//shop/./site.yaml": "shop",
    "//srv/shop/site.yaml": "shop",
    # odd folders
    "/srv/my shop/site.yaml": "my-shop",
    "/srv/.shop/site.yaml": "shop",
    "/srv/b\u00fccher/site.yaml": "b-cher",
    "/srv/\u65e5\u672c/site.yaml": "srv",
    "/srv/-/site.yaml": "srv",
    f"/srv/{'x' * 70}/site.yaml": "x" * 64,
    "/site.yaml": "site",
    "/etc/site.yaml": "site",
    "/42/site.yaml": "site",
}


@pytest.mark.parametrize(("file", "name"), FILES.items())
def test_by_its_file_or_folder(file: str, name: str) -> None:
    assert naming.of_file(file) == name
    assert values.name(name) == name


@pytest.mark.parametrize(
    ("app", "folder", "name"),
    [
        ("shop.wsgi:application", "/srv/x", "shop"),
        ("shop:create_app()", "/srv/x", "shop"),
        ("app:app", "/srv/shop", "shop"),
        ("wsgi:application", "/srv/shop", "shop"),
        ("config.wsgi:application", "/srv/shop/releases/7", "shop"),
        ("main:app", "/", "main"),
        ("", "/srv/shop", "shop"),
        ("shop", "/srv/x", "shop"),
        ("/srv/shop/app.py:app", "/srv/x", "shop"),
        ("deploy/trac.wsgi", "/srv/x", "trac"),
        ("src/shop/__init__.py:create_app()", "/srv/x", "shop"),
        ("paste:/srv/shop/production.ini#main", "/srv/x", "shop"),
        ("wiki.ini", "/srv/x", "wiki"),
    ],
)
def test_by_its_module_or_folder(app: str, folder: str, name: str) -> None:
    assert naming.of_module(app, Path(folder)) == name


def test_a_link_is_not_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = tmp_path / "somewhere" / "else"
    release.mkdir(parents=True)
    (release / "site.yaml").write_text("app: app:app\n")
    (tmp_path / "shop").symlink_to(release)
    assert load(tmp_path / "shop" / "site.yaml", {}).name == "shop"
    (tmp_path / "blog.yaml").symlink_to(release / "site.yaml")
    assert load(tmp_path / "blog.yaml", {}).name == "blog"


def test_relative_paths_begin_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "site.yaml").write_text("app: app:app\n")
    monkeypatch.chdir(folder)
    assert load("site.yaml", {}).name == "shop"
    assert load("../shop/site.yaml", {}).name == "shop"
    assert from_options("app:app", chdir=".").name == "shop"
    assert from_options("app:app", chdir="..", name="other").name == "other"
