"""Where the figures come from: without this they mean nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from tests.bench.process import Cores
from tests.bench.servers import SERVERS


def describe(cores: Cores, versions: dict[str, str], servers: list[str]) -> dict[str, str]:
    """Hardware, kernel and versions, in the order to be printed."""
    pinning = f"server on core {cores.server}, load on core {cores.load}"
    return {
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores; {pinning}",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Servers": ", ".join(f"{name} {versions[SERVERS[name].package]}" for name in servers),
        "Load": _wrk_version(),
    }


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _wrk_version() -> str:
    output = subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout
    return " ".join(output.split()[:2])
