"""How sizes, durations and the end of a process are spelled: in logs, status and messages alike."""

from __future__ import annotations

import signal
from typing import Final

_SIZES: Final = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))


def size(count: float) -> str:
    """`612M` for 612 << 20 bytes, `1.5G`, `900`: as a site file would say it, three digits at most."""
    for unit, letter in _SIZES:
        if count >= unit:
            amount = count / unit
            return f"{amount:.1f}".removesuffix(".0") + letter if amount < 10 else f"{amount:.0f}{letter}"
    return f"{count:.0f}"


def duration(seconds: float) -> str:
    """`0.4ms`, `250ms`, `1.2s`, `1m30s`, `2h05m`, `3d04h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms" if seconds >= 0.00995 or not seconds else f"{seconds * 1000:.1f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02}m"
    return f"{hours // 24}d{hours % 24:02}h"


def ending(code: int) -> str:
    """`exit code 3`, or `signal 9 (SIGKILL)` for -9: `code` as os.waitstatus_to_exitcode gives it."""
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal_name(-code)})"


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; `SIGRTMIN+3` and `SIG99` for what has no name of its own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        if signal.SIGRTMIN < number < signal.SIGRTMAX:
            return f"SIGRTMIN+{number - signal.SIGRTMIN}"
        return f"SIG{number}"
