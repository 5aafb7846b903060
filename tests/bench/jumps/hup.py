"""From HUP, when the master has read it, until the mold of the new generation has been started."""

from __future__ import annotations

import signal

from tests.bench.jumps.record import report
from tests.bench.watched import watch


def main() -> None:
    files = watch(signal.SIGHUP, "posix_spawn", lambda site: site.send(signal.SIGHUP))
    print(report("HUP", files))


if __name__ == "__main__":
    main()
