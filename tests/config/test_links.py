"""Paths through symbolic links: kept as spelled, and pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.config.links import as_spelled, links_in, pin, through_links, working_folder


@pytest.fixture
def current(tmp_path: Path) -> Path:
    """The link of a deploy, which leads to `releases/1`."""
    (tmp_path / "releases" / "1" / "src").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/1")
    return tmp_path / "current"


def test_the_working_folder_is_spelled_as_the_shell_has_it(
    current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(current)
    assert working_folder({"PWD": str(current)}) == str(current)
    assert as_spelled("site.yaml", {"PWD": str(current)}) == f"{current}/site.yaml"
    assert as_spelled(".", {"PWD": str(current)}) == str(current)
    assert as_spelled("../site.yaml", {"PWD": str(current)}) == f"{current}/../site.yaml"


@pytest.mark.parametrize("pwd", [None, "", ".", "/", "/gone", "current"])
def test_unless_the_shell_speaks_of_another_one(
    current: Path, monkeypatch: pytest.MonkeyPatch, pwd: str | None
) -> None:
    monkeypatch.chdir(current)
    environ = {} if pwd is None else {"PWD": pwd}
    assert working_folder(environ) == str(current.resolve())


def test_after_the_link_was_switched_the_shells_name_is_another_folders(
    current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = current.resolve()
    monkeypatch.chdir(current)
    current.unlink()
    current.symlink_to("releases")
    assert working_folder({"PWD": str(current)}) == str(before)


def test_a_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="removed"):
        as_spelled("site.yaml", {"PWD": str(gone)})
    assert as_spelled("/srv/site.yaml", {}) == "/srv/site.yaml"


class TestPinning:
    def test_a_path_through_a_link(self, current: Path) -> None:
        links = links_in([f"{current}/src"])
        release = str(current.resolve())
        current.unlink()
        assert pin(f"{current}/src", links) == f"{release}/src"
        assert pin(str(current), links) == release
        assert pin(f"{current}-2", links) == f"{current}-2"
        assert pin("", links) == ""

    def test_a_link_inside_of_what_a_link_leads_to(self, current: Path, tmp_path: Path) -> None:
        (tmp_path / "shared").mkdir()
        (current / "lib").symlink_to("../../shared")
        links = links_in([f"{current}/lib/x", f"{current}/src"])
        assert pin(f"{current}/lib/x", links) == f"{tmp_path.resolve()}/shared/x"
        assert pin(f"{current}/src", links) == f"{current.resolve()}/src"

    def test_the_folder_above_a_release(self, current: Path) -> None:
        links = links_in([f"{current}/../common"])
        assert pin(f"{current}/../common", links) == f"{current.resolve()}/../common"

    def test_back_to_the_link(self, current: Path) -> None:
        links = links_in([str(current)])
        assert through_links(f"{current.resolve()}/venv/bin/python", links) == f"{current}/venv/bin/python"
        assert through_links("/usr/bin/python3", links) == "/usr/bin/python3"

    def test_links_that_lead_in_a_circle_or_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "circle").symlink_to("circle")
        (tmp_path / "nowhere").symlink_to("gone")
        links = links_in([f"{tmp_path}/circle", f"{tmp_path}/nowhere"])
        assert pin(f"{tmp_path}/nowhere", links) == f"{tmp_path.resolve()}/gone"
