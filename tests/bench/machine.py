"""Where the figures come from: without this they mean nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from tests.bench.environment import Environment
from tests.bench.process import Cores
from tests.bench.servers import OURS, SERVERS

COMPILED = "compiled: the wheel that `pip install .` makes"
PLAIN = "plain Python, not compiled"


def describe(cores: Cores, environment: Environment, servers: list[str]) -> dict[str, str]:
    """Versions, hardware and kernel, in the order to be printed."""
    pinning = f"server on core {cores.server}, load on core {cores.load}"
    return {
        "Python": environment.python_version,
        OURS: COMPILED if environment.is_compiled() else PLAIN,
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores; {pinning}",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Servers": ", ".join(_versions(environment, servers)),
        "Load": _wrk_version(),
    }


def _versions(environment: Environment, servers: list[str]) -> list[str]:
    """Of what comes from `environment`, or from the system."""
    versions = environment.versions()
    return [
        f"{name} {versions.get(SERVERS[name].package) or _system_version(name)}"
        for name in servers
        if not SERVERS[name].earlier
    ]


def _system_version(name: str) -> str:
    """As nginx says it on stderr: `nginx version: nginx/1.22.1`."""
    try:
        said = subprocess.run([name, "-v"], capture_output=True, text=True).stderr
    except OSError:
        return "(none)"
    return said.strip().rpartition("/")[2]


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _wrk_version() -> str:
    output = subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout
    return " ".join(output.split()[:2])
