"""Files that root opens on paths in which the site's user has a hand, and folders that one user alone may
enter."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from superwsgi.system.unsafe_paths import NotPrivate, make_private, open_file, verify_private

USER = 65534
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")


@pytest.fixture
def top() -> Iterator[Path]:
    """A folder of ours that everybody may enter: one of the user's is in it, and one that is not."""
    with TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        (top / "etc").mkdir()
        (top / "app").mkdir()
        given(top / "app")
        yield top


def given(path: Path) -> Path:
    """To the user, be it a link."""
    if os.geteuid() == 0:
        os.chown(path, USER, USER, follow_symlinks=False)
    return path


def write(path: Path) -> None:
    fd = open_file(path, APPEND, 0o644)
    os.write(fd, b"line\n")
    os.close(fd)


def link(path: Path, target: object) -> Path:
    path.symlink_to(str(target))
    return path


def test_a_file_that_is_there_or_not(top: Path) -> None:
    for _ in range(2):
        write(top / "etc" / "log")
        write(top / "app" / "log")
    assert (top / "etc" / "log").read_text() == (top / "app" / "log").read_text() == "line\nline\n"


def test_links_of_ones_own_are_followed(top: Path) -> None:
    link(top / "etc" / "logs", "../app/./")
    link(top / "etc" / "log", top / "etc" / "logs" / "real.log")
    link(top / "app" / "current", top / "app" / ".." / "etc")
    write(top / "app" / "current" / "log")
    assert (top / "app" / "real.log").read_text() == "line\n"


@root_only
def test_a_link_of_the_users_leads_where_that_user_is_at_home(top: Path) -> None:
    """As deploys do it that run as the site's user."""
    (top / "app" / "releases").mkdir()
    given(top / "app" / "releases")
    given(link(top / "app" / "current", top / "app" / "releases"))
    write(top / "app" / "current" / "log")
    write(top / "app" / "current" / "log")
    assert (top / "app" / "releases" / "log").read_text() == "line\nline\n"


ATTACKS: dict[str, Callable[[Path, Path], Path]] = {
    "a link to the file": lambda app, victim: given(link(app / "log", victim)),
    "a relative one": lambda app, victim: given(link(app / "log", "../etc/victim")),
    "a link to the folder": lambda app, victim: given(link(app / "x", victim.parent)) / "victim",
    "a link to a link": lambda app, victim: given(link(app / "a", given(link(app / "b", victim)))),
    "a link by way of one of root's": lambda app, victim: given(link(app / "log", link(app / "r", victim))),
    "a hard link": lambda app, victim: hard_link(app / "log", victim),
    "a link to what the process has open": lambda app, _: given(link(app / "log", "/proc/self/fd/2")),
    "a link to a process's root": lambda app, victim: given(link(app / "log", f"/proc/self/root{victim}")),
}


def hard_link(path: Path, victim: Path) -> Path:
    path.hardlink_to(victim)
    return path


@root_only
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_no_file_of_roots_is_reached_otherwise(top: Path, attack: Callable[[Path, Path], Path]) -> None:
    victim = top / "etc" / "victim"
    victim.write_text("precious")
    victim.chmod(0o600)
    path = attack(top / "app", victim)
    with pytest.raises(OSError, match=r"root") as caught:
        write(path)
    assert caught.value.errno == errno.ELOOP
    assert victim.read_text() == "precious"


@root_only
def test_nothing_is_made_in_a_folder_of_roots(top: Path) -> None:
    given(link(top / "app" / "logs", top / "etc"))
    with pytest.raises(OSError, match=f"leads by a link of user {USER} into a folder of user 0"):
        write(top / "app" / "logs" / "cron.d")
    assert not list((top / "etc").iterdir())


def test_others_folders_may_hold_pipes(top: Path) -> None:
    os.mkfifo(given(top / "app") / "pipe")
    reader = os.open(top / "app" / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write(top / "app" / "pipe")
    assert os.read(reader, 100) == b"line\n"
    os.close(reader)


def test_what_a_process_has_open(top: Path) -> None:
    """/dev/stderr is a link to such a file, and so is what containers log to."""
    reading, writing = os.pipe()
    for path in (
        f"/proc/self/fd/{writing}",
        f"/dev/fd/{writing}",
        link(top / "etc" / "log", f"/dev/fd/{writing}"),
    ):
        write(Path(path))
    assert os.read(reading, 100) == b"line\n" * 3
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("target", ["loop", "/", "..", "no/such", "etc"])
def test_ways_that_lead_nowhere(top: Path, target: str) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the number is looked at)
        write(link(top / "loop", target))
    assert caught.value.errno in (errno.ELOOP, errno.EISDIR, errno.ENOENT)


def test_nothing_stays_open(top: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("etc/log", "no/such", "etc"):
        try:
            write(top / name)
        except OSError:
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestPrivate:
    def mode(self, folder: Path) -> int:
        return stat.S_IMODE(folder.stat().st_mode)

    def test_a_new_one_is_closed_to_others(self, tmp_path: Path) -> None:
        make_private(tmp_path / "x")
        assert self.mode(tmp_path / "x") == 0o700
        verify_private(tmp_path / "x")

    def test_one_that_others_may_look_into_is_closed(self, tmp_path: Path) -> None:
        (tmp_path / "x").mkdir(mode=0o755)
        verify_private(tmp_path / "x")
        make_private(tmp_path / "x")
        assert self.mode(tmp_path / "x") == 0o700

    @pytest.mark.parametrize("mode", [0o777, 0o720, 0o1777])
    def test_one_that_others_may_write_to_is_not_used(self, tmp_path: Path, mode: int) -> None:
        (tmp_path / "x").mkdir()
        (tmp_path / "x").chmod(mode)
        with pytest.raises(NotPrivate, match=f"others may write to .*/x, its mode is {mode:04o}"):
            make_private(tmp_path / "x")
        assert self.mode(tmp_path / "x") == mode

    @pytest.mark.parametrize("kind", ["a link to a folder", "a dangling link", "a file"])
    def test_what_is_no_folder_is_not_used(self, tmp_path: Path, kind: str) -> None:
        if kind == "a file":
            (tmp_path / "x").touch()
        else:
            (tmp_path / "x").symlink_to(tmp_path / "target")
        if kind == "a link to a folder":
            (tmp_path / "target").mkdir(mode=0o755)
        with pytest.raises(NotPrivate, match="/x is not a folder"):
            make_private(tmp_path / "x")
        assert (tmp_path / "target").exists() == (kind == "a link to a folder")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
    def test_somebody_elses_is_not_used(self, tmp_path: Path) -> None:
        (tmp_path / "x").mkdir(mode=0o755)
        os.chown(tmp_path / "x", 4711, 4711)
        with pytest.raises(NotPrivate, match="/x belongs to user 4711 and not to user 0"):
            make_private(tmp_path / "x")
        assert self.mode(tmp_path / "x") == 0o755

    def test_one_that_others_may_replace_is_not_used(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o777)
        with pytest.raises(NotPrivate, match="others may rename what is in"):
            make_private(tmp_path / "x")
        tmp_path.chmod(0o1777)
        make_private(tmp_path / "x")

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            verify_private(tmp_path / "x")
        with pytest.raises(NotPrivate, match=r"cannot make .*/no/x: No such file"):
            make_private(tmp_path / "no" / "x")
