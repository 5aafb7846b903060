"""CPUs and memory as control groups limit them: trees of files as kernels and containers show them."""

import os
import subprocess
import sys

import pytest

from superwsgi.system import machine
from superwsgi.system.machine import cpu_quota, memory_limit

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = [
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755",
    "32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct",
    "33 31 0:32 {top} /sys/fs/cgroup/memory rw shared:11 master:2 - cgroup cgroup rw,memory",
    "34 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
]
NO_LIMIT = 9223372036854771712
G = 1 << 30


@pytest.fixture
def tree(tmp_path):
    """Writes /proc/self/cgroup, /proc/self/mountinfo and files of /sys/fs/cgroup; returns their root."""

    def write(cgroup, mountinfo, **files):
        own = tmp_path / "proc/self"
        own.mkdir(parents=True)
        (own / "cgroup").write_text("".join(f"{line}\n" for line in cgroup))
        (own / "mountinfo").write_text("".join(f"{line}\n" for line in mountinfo))
        for name, content in files.items():
            path = tmp_path / "sys/fs/cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        return tmp_path

    return write


def v1(top="/"):
    return [line.format(top=top) for line in V1]


def test_without_control_groups(tmp_path):
    assert cpu_quota(tmp_path) is None
    assert memory_limit(tmp_path) is None
    assert machine.cpus(tmp_path) == len(os.sched_getaffinity(0))
    assert machine.memory(tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class TestVersion2:
    def test_own_group(self, tree):
        files = {"shop/cpu.max": "150000 100000", "shop/memory.max": G}
        root = tree(["0::/shop"], [V2], **files)
        assert (cpu_quota(root), memory_limit(root)) == (1.5, G)

    def test_no_limit(self, tree):
        root = tree(["0::/shop"], [V2], **{"shop/cpu.max": "max 100000", "shop/memory.max": "max"})
        assert (cpu_quota(root), memory_limit(root)) == (None, None)

    def test_the_tightest_of_those_above(self, tree):
        files = {
            "a.slice/cpu.max": "50000 100000",
            "a.slice/b.slice/cpu.max": "max 100000",
            "a.slice/b.slice/c.service/cpu.max": "200000 100000",
            "a.slice/memory.max": 4 * G,
            "a.slice/b.slice/memory.max": 2 * G,
            "a.slice/b.slice/c.service/memory.max": 3 * G,
            "a.slice/other/memory.max": 1,
        }
        root = tree(["0::/a.slice/b.slice/c.service"], [V2], **files)
        assert (cpu_quota(root), memory_limit(root)) == (0.5, 2 * G)

    def test_in_a_name_space_of_its_own(self, tree):
        """A container sees its group as the root."""
        root = tree(["0::/"], [V2], **{"cpu.max": "300000 100000", "memory.max": G})
        assert (cpu_quota(root), memory_limit(root)) == (3.0, G)

    def test_in_a_name_space_without_its_own_mount(self, tree):
        """Entered from outside: the group is not below what is mounted."""
        root = tree(["0::/../other"], [V2], **{"memory.max": G})
        assert memory_limit(root) == G

    def test_a_mount_point_with_a_space(self, tree):
        mount = r"30 23 0:26 / /sys/fs/cgroup/my\040groups rw - cgroup2 cgroup2 rw"
        root = tree(["0::/shop"], [mount], **{"my groups/shop/memory.max": G})
        assert memory_limit(root) == G


class TestVersion1:
    GROUPS = ("9:name=systemd:/x", "4:memory:/docker/3f", "1:cpu,cpuacct:/docker/3f")

    def test_own_group_and_those_above(self, tree):
        files = {
            "cpu,cpuacct/docker/3f/cpu.cfs_quota_us": 250000,
            "cpu,cpuacct/docker/3f/cpu.cfs_period_us": 100000,
            "cpu,cpuacct/docker/cpu.cfs_quota_us": -1,
            "cpu,cpuacct/docker/cpu.cfs_period_us": 100000,
            "memory/docker/3f/memory.limit_in_bytes": NO_LIMIT,
            "memory/docker/memory.limit_in_bytes": 2 * G,
        }
        root = tree(self.GROUPS, v1(), **files)
        assert (cpu_quota(root), memory_limit(root)) == (2.5, 2 * G)

    def test_a_container_whose_own_group_is_mounted(self, tree):
        """Docker without name spaces for groups: the path is the host's, the mount begins at it."""
        files = {
            "cpu,cpuacct/cpu.cfs_quota_us": 50000,
            "cpu,cpuacct/cpu.cfs_period_us": 100000,
            "memory/memory.limit_in_bytes": G,
        }
        root = tree(self.GROUPS, v1("/docker/3f"), **files)
        assert (cpu_quota(root), memory_limit(root)) == (0.5, G)

    def test_no_limit(self, tree):
        root = tree(self.GROUPS, v1(), **{"memory/docker/3f/memory.limit_in_bytes": NO_LIMIT})
        assert machine.memory(root) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert cpu_quota(root) is None


class TestKillsForWantOfMemory:
    """What the kernel has counted."""

    def test_of_version_2(self, tree):
        events = "low 0\nhigh 0\nmax 41\noom 3\noom_kill 2\noom_group_kill 1"
        root = tree(["0::/shop"], [V2], **{"shop/memory.events": events, "memory.events": "oom_kill 9"})
        assert machine.out_of_memory_kills(root) == 2
        (root / "sys/fs/cgroup/shop/memory.events").write_text("oom_kill 3\n")
        assert machine.out_of_memory_kills(root) == 3

    def test_of_version_1(self, tree):
        control = "oom_kill_disable 0\nunder_oom 0\noom_kill 5"
        groups = ("4:memory:/shop", "0::/shop")
        root = tree(groups, v1(), **{"memory/shop/memory.oom_control": control})
        assert machine.out_of_memory_kills(root) == 5

    def test_of_the_whole_machine(self, tree):
        """The root group has no such file."""
        root = tree(["0::/"], [V2], **{"cgroup.procs": "1"})
        (root / "proc/vmstat").write_text("pgpgin 4096\noom_kill 7\n")
        assert machine.out_of_memory_kills(root) == 7

    def test_that_nobody_counts(self, tmp_path):
        assert machine.out_of_memory_kills(tmp_path) == 0


def test_both_versions_at_once(tree):
    """Hybrid: controllers are in version 1, and the unified hierarchy may have some too."""
    files = {
        "cpu,cpuacct/shop/cpu.cfs_quota_us": 300000,
        "cpu,cpuacct/shop/cpu.cfs_period_us": 100000,
        "unified/shop/memory.max": G,
    }
    root = tree(["3:cpu,cpuacct:/shop", "0::/shop"], v1(), **files)
    assert (cpu_quota(root), memory_limit(root)) == (3.0, G)


@pytest.mark.parametrize(("quota", "cpus"), [(10_000, 1), (100_000, 1), (10**9, None)])
def test_cpus_of_a_quota(tree, quota, cpus):
    root = tree(["0::/"], [V2], **{"cpu.max": f"{quota} 100000"})
    assert machine.cpus(root) == (cpus or len(os.sched_getaffinity(0)))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")
def test_one_and_a_half_cpus_are_two(tree):
    root = tree(["0::/"], [V2], **{"cpu.max": "150000 100000"})
    assert machine.cpus(root) == 2


def test_cpus_of_the_affinity(tmp_path):
    """cpusets come with it."""
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from superwsgi.system import machine; print(machine.cpus())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert said.stdout == "1\n", said.stderr


class TestRoom:
    """What of memory is left, where it is tightest."""

    STAT = f"anon {G // 2}\ninactive_file {G // 4}\nactive_file {G // 8}"

    def test_of_version_2(self, tree):
        files = {"memory.max": 2 * G, "memory.high": "max", "memory.current": G, "memory.stat": self.STAT}
        root = tree(["0::/shop"], [V2], **{f"shop/{name}": content for name, content in files.items()})
        assert machine.room(root) == ("memory.max", 2 * G, G * 5 // 8, G * 3 // 4)
        assert machine.room(root).left == 2 * G - G * 5 // 8

    def test_beyond_memory_high_it_is_as_short_as_at_the_maximum(self, tree):
        files = {"memory.max": 2 * G, "memory.high": G, "memory.current": G, "memory.stat": ""}
        root = tree(["0::/shop"], [V2], **{f"shop/{name}": content for name, content in files.items()})
        assert machine.room(root) == ("memory.high", G, G, G)

    def test_of_version_1(self, tree):
        files = {
            "memory/memory.limit_in_bytes": G,
            "memory/memory.usage_in_bytes": G // 2,
            "memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {G // 4}\ntotal_active_file 0",
        }
        root = tree(["4:memory:/"], v1(), **files)
        assert machine.room(root) == ("memory.limit_in_bytes", G, G // 4, G // 4)

    def test_the_tightest_of_those_above_and_of_the_machine(self, tree):
        files = {"memory.max": 4 * G, "memory.current": G, "shop/memory.max": 2 * G, "shop/memory.current": G}
        root = tree(["0::/shop"], [V2], **files)
        assert machine.room(root).limit == 2 * G
        (root / "proc/meminfo").write_text("MemTotal:        1000 kB\nMemAvailable:     100 kB\n")
        assert machine.room(root) == ("the machine", 1000 << 10, 900 << 10, 900 << 10)

    def test_each_of_those_above(self, tree):
        above = {"a/memory.max": 2 * G, "a/memory.current": 2 * G}
        root = tree(["0::/a/b"], [V2], **{**above, "a/b/memory.max": G, "a/b/memory.current": 1})
        assert machine.rooms(root) == [("memory.max", G, 1, 1), ("memory.max", 2 * G, 2 * G, 2 * G)]

    def test_that_nobody_knows(self, tmp_path):
        assert machine.room(tmp_path) is None
        assert machine.rooms(tmp_path) == []


class TestPressure:
    """In the own group, or else on the machine."""

    def test_of_the_group(self, tree):
        some = "some avg10=80.00 avg60=0.00 avg300=0.00 total=5\n"
        full = "full avg10=12.50 avg60=0.00 avg300=0.00 total=5"
        root = tree(["0::/shop"], [V2], **{"shop/memory.pressure": some + full})
        assert machine.memory_pressure(root) == 0.125

    def test_of_the_machine(self, tree):
        root = tree(["4:memory:/"], v1())
        (root / "proc/pressure").mkdir()
        (root / "proc/pressure/memory").write_text("full avg10=3.00 avg60=0.00 avg300=0.00 total=5\n")
        assert machine.memory_pressure(root) == 0.03

    def test_of_a_kernel_that_does_not_measure_it(self, tmp_path):
        assert machine.memory_pressure(tmp_path) is None


def test_this_machine():
    assert 1 <= machine.cpus() <= len(os.sched_getaffinity(0))
    assert machine.memory() > 1 << 20


def test_locks_by_process(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/locks").write_text(
        "1: POSIX  ADVISORY  WRITE 812 08:02:1835 0 EOF\n"
        "2: FLOCK  ADVISORY  WRITE 813 08:02:1836 0 EOF\n"
        "2: -> FLOCK  ADVISORY  WRITE 814 08:02:1836 0 EOF\n"
    )
    assert [pid for pid in (812, 813, 814, 815) if machine.holds_locks(pid, tmp_path)] == [812, 813]
    assert [pid for pid in (812, 813, 814, 815) if machine.waits_for_lock(pid, tmp_path)] == [814]


def test_locks_that_nobody_can_tell_of(tmp_path):
    assert machine.holds_locks(812, tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/locks").write_text("1: OFDLCK ADVISORY  WRITE -1 08:02:1835 0 EOF\n")
    assert machine.holds_locks(812, tmp_path)
    assert not machine.waits_for_lock(812, tmp_path)


class TestWorkers:
    @pytest.mark.parametrize(
        ("least", "most", "workers"),
        [(4, 4, (4, 4)), (2, 8, (2, 8)), (10_000, "auto", (10_000, 10_000)), ("auto", 1, (1, 1))],
    )
    def test_a_number_goes_before_auto(self, least, most, workers):
        assert machine.workers(least, most) == workers

    def test_auto_is_one_a_cpu(self):
        assert machine.workers("auto", "auto") == (machine.cpus(), machine.cpus())
        assert machine.workers(1, "auto") == (1, machine.cpus())
