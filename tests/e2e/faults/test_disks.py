"""Disks that are full and folders that are gone, under load: who does not need them does not notice."""

import os
import shutil
import subprocess

import pytest

from superwsgi.worker.connection.storage import BODIES

pytestmark = pytest.mark.drill

LARGE = b"x" * (BODIES + (4 << 20))
"""A body of which a part is kept in a temporary file."""


def refused(reason):
    return rf"worker \d request refused: body could not be stored: {reason}; POST / \S+; answered 503.*"


def may_mount():
    return os.geteuid() == 0 and not subprocess.run(["unshare", "-m", "true"], check=False).returncode


@pytest.mark.parametrize("log", ["error", "access"])
def test_the_disk_of_a_log_is_full(drill, log):
    drill.begin(log={"error": "error.log", "access": "off", log: "/dev/full"})
    with drill.under_load() as load:
        drill.says(
            rf"(worker \d )?{log} log failed: No space left on device; lines are missing in the {log} log; "
            r"lines are dropped until it works.*"
        )
    assert load.broken == []
    assert drill.serves() == 2


@pytest.mark.skipif(not may_mount(), reason="no right to mount a small disk")
def test_the_disk_for_bodies_is_full(drill):
    """A small one, which nobody else can see."""
    disk = drill.daemon.folder / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=1m none "{disk}" && exec "$@"'
    drill.begin(["unshare", "-m", "sh", "-c", mount, "sh"], {"TMPDIR": str(disk)})
    with drill.under_load() as load:
        assert drill.ask("/", method="POST", body=LARGE).status == 503
        assert drill.ask("/", method="POST", body=b"small").status == 200
    drill.says(refused("No space left on device"))
    assert load.broken == []


def test_the_folder_for_bodies_is_gone_and_comes_back(drill):
    folder = drill.daemon.folder / "temporary"
    folder.mkdir()
    drill.begin(env={"TMPDIR": str(folder)}, workers=1)
    with drill.under_load() as load:
        assert drill.ask("/", method="POST", body=LARGE).status == 200
        shutil.rmtree(folder)
        assert drill.ask("/", method="POST", body=LARGE).status == 503
        folder.mkdir()
        assert drill.ask("/", method="POST", body=LARGE).status == 200
    drill.says(refused("No such file or directory"))
    assert load.broken == []
