"""From a worker's death, when the master has read SIGCHLD, until its replacement has been asked for."""

from __future__ import annotations

import signal

from tests.bench.jumps.record import report
from tests.bench.watched import watch


def main() -> None:
    files = watch(signal.SIGCHLD, "sendmsg", lambda site: site.send(signal.SIGKILL, site.workers()[0]))
    print(report("death", files))


if __name__ == "__main__":
    main()
