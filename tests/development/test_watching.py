"""Which files of a project matter."""

from pathlib import Path

import pytest

from superwsgi.development.watching import Watch


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "own-env").mkdir()
    (tmp_path / "own-env/pyvenv.cfg").touch()
    named = (f"{tmp_path}/pages/**/*.html", f"{tmp_path}/data", f"{tmp_path}/**/*.toml", "/etc/shop.cfg")
    return Watch((tmp_path,), frozenset({tmp_path / "site.yaml"}), named)


MATTER = [
    *("app.py", "shop/views.py", "site.yaml", "pages/a.html", "pages/x/y/a.html"),
    *("data/names.txt", "data/x/y", "a.toml", "x/y/a.toml"),
]
NOT = [
    *("app.pyc", "notes.txt", "x/site.yaml", ".#app.py", "flycheck_app.py", "app.py~", "app.py.swp"),
    *(".git/x.py", "shop/__pycache__/x.py", "node_modules/x/y.py", ".venv/x.py", "own-env/lib/x.py"),
    *("pages/a.txt", "a.html", "data/.names.txt.swp", "data/__pycache__/x"),
]


@pytest.mark.parametrize("name", MATTER)
def test_what_matters(watch, tmp_path, name):
    assert watch.matters(tmp_path / name)


@pytest.mark.parametrize("name", NOT)
def test_what_does_not(watch, tmp_path, name):
    assert not watch.matters(tmp_path / name)


def test_a_file_elsewhere_that_is_named(watch):
    assert watch.matters(Path("/etc/shop.cfg"))
    assert not watch.matters(Path("/etc/shop.py"))


def test_a_folder_of_code_that_is_moved_here(watch, tmp_path):
    (tmp_path / "moved/deep").mkdir(parents=True)
    assert not watch.matters(tmp_path / "moved")
    (tmp_path / "moved/deep/x.py").touch()
    assert watch.matters(tmp_path / "moved")


def test_each_folder_is_watched_once(watch, tmp_path):
    assert watch.roots() == [Path("/etc"), tmp_path]
