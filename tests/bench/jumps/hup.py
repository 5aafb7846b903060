"""From HUP, when the master has read it, until the new generation's mold has been forked."""

from __future__ import annotations

import signal

from tests.bench.jumps.record import report
from tests.bench.watched import watch


def main() -> None:
    files = watch(signal.SIGHUP, "fork", lambda site: site.send(signal.SIGHUP))
    print(report("HUP", files))


if __name__ == "__main__":
    main()
