"""The folder of the application's metrics is there for as long as its master lives, and no longer."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from superwsgi.config.sections import MetricsSettings
from superwsgi.metrics.files import VARIABLE
from superwsgi.metrics.folder import MetricsFolder, elsewhere, told
from tests.config.sites import loaded

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site").mkdir()
    text = "app: a:b\nadmin: {bind: 127.0.0.1:9000}\nmetrics: {app: on}\n"
    return loaded(tmp_path / "site", text)


@pytest.fixture
def run(tmp_path):
    """A folder that all may enter, as /run/superwsgi is: pytest's own are not."""
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
def make(run):
    made = []

    def one(name="shop", held=None):
        made.append(MetricsFolder(name, [run], held))
        return made[-1]

    yield one
    for each in made:
        each.remove()


@pytest.fixture
def use(site):
    """What a folder says to a site."""
    return lambda folder: folder.prepare(site)


def die(folder):
    """As its process would: the lock is gone, and the folder stays."""
    path = folder.path
    os.close(folder._fd)
    folder.path = folder._fd = None
    return path


def test_it_is_the_users_and_removed_at_the_end(make, use):
    folder = make()
    inner, problem = use(folder)
    assert problem == ""
    status = Path(inner).stat()
    assert (status.st_uid, status.st_mode & stat.S_IWOTH) == (os.geteuid(), 0)
    assert use(folder) == (inner, "")
    path = folder.path
    folder.remove()
    assert not os.path.lexists(path)


def test_another_master_of_the_same_name_leaves_it_alone(make, use):
    one = make()
    use(one)
    other = make()
    other.look()
    other.remove()
    assert Path(one.path).is_dir()


def test_what_a_dead_master_has_left_goes_once_its_processes_are_gone(make, use):
    dead = make()
    inner, _ = use(dead)
    with subprocess.Popen(["sleep", "60"]) as worker:
        open(f"{inner}/counter_{worker.pid}.db", "w").close()
        left = die(dead)
        following = make()
        following.look()
        assert Path(left).is_dir()
        worker.kill()
    following.look()
    assert not os.path.lexists(left)


def test_the_next_program_of_the_same_process_goes_on_with_it(make, use):
    before = make()
    use(before)
    path, fd = before.hold()
    after = make(held=(path, os.dup(fd)))
    os.close(fd)
    before.path = before._fd = None
    assert use(after)[0].startswith(path)
    make().look()
    assert Path(path).is_dir()


def test_links_are_not_followed_when_it_is_removed(make, use, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    folder = make()
    inner, _ = use(folder)
    Path(inner, "link").symlink_to(tmp_path / "precious")
    folder.remove()
    assert (tmp_path / "precious" / "file").exists()


def test_what_a_killed_master_has_left_goes_whatever_its_files_are_called(make, use):
    killed = make()
    inner, _ = use(killed)
    for owner in ("²", "9" * 40):
        Path(inner, f"counter_{owner}.db").touch()
    left = die(killed)
    make().look()
    assert not Path(left).exists()


def test_a_folder_in_which_others_may_rename_is_not_used(make, use, run):
    run.chmod(0o777)
    folder = make()
    use(folder)
    assert not folder.path.startswith(str(run))


def test_it_is_made_again_when_somebody_has_removed_it(make, use):
    folder = make()
    inner, _ = use(folder)
    Path(inner).rmdir()
    Path(folder.path).rmdir()
    assert Path(use(folder)[0]).is_dir()


@pytest.mark.skipif(not IS_ROOT, reason="only root has other users")
def test_a_reload_may_change_the_user(make, site):
    folder = make()
    one, _ = folder.prepare(replace(site, user="12345", group="12345"))
    other, _ = folder.prepare(replace(site, user="12346", group="12346"))
    assert [Path(each).stat().st_uid for each in (one, other)] == [12345, 12346]
    assert {Path(one).parent, Path(other).parent} == {Path(folder.path)}


def test_processes_are_told_where_it_is_or_that_there_is_none(site):
    assert told(site, "/folder").env == {VARIABLE: "/folder"}
    assert not told(site, None).metrics.app
    plain = replace(site, metrics=MetricsSettings())
    assert told(plain, None) is plain


@pytest.mark.parametrize("name", [VARIABLE, "prometheus_multiproc_dir"])
def test_a_site_may_have_said_it_itself(site, name):
    assert elsewhere(site, {}) is None
    assert elsewhere(site, {name: "x"}) == elsewhere(replace(site, env={name: "x"}), {}) == name
