"""Which files of a project are watched."""

from pathlib import Path

import pytest

from superwsgi.config.schema import Site
from superwsgi.development.project import Project
from superwsgi.development.watching import Watch


def _watch(folder: Path, app: str) -> Watch:
    site = Site(apps={"/": app}, name="shop", chdir=str(folder))
    return Project("", None, lambda: site, str(folder), frozenset()).watch(site)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A package, which lies elsewhere than where the command is typed."""
    package = tmp_path / "projects/shop"
    package.mkdir(parents=True)
    for name in ("__init__.py", "web.py"):
        (package / name).touch()
    (tmp_path / "here").mkdir()
    return package


def test_what_a_file_that_lies_elsewhere_sees(tmp_path: Path, shop: Path) -> None:
    for spelled in (f"{shop}/web.py", f"{tmp_path}/here/../projects/shop/web.py:app"):
        watch = _watch(tmp_path / "here", spelled)
        assert watch.matters(shop / "models.py")
        assert watch.matters(shop.parent / "beside.py")
        assert watch.matters(tmp_path / "here/other.py")
        assert not watch.matters(tmp_path / "other.py")
        assert watch.roots() == [tmp_path / "here", shop.parent]


def test_the_folder_of_a_paste_file_is_not_code(tmp_path: Path, shop: Path) -> None:
    (shop.parent / "site.ini").touch()
    watch = _watch(tmp_path / "here", f"paste:{shop.parent}/site.ini#main")
    assert watch.matters(shop.parent / "site.ini")
    assert not watch.matters(shop / "models.py")
