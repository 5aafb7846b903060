"""Which loop a worker has. Plain: gevent is imported only where a site wants greenlets."""

from __future__ import annotations

from superwsgi.config.schema import Site
from superwsgi.worker.serve.loop import Loop


def loop_of(site: Site) -> type[Loop]:
    """Raises ImportError."""
    if not site.green:
        return Loop
    from superwsgi.worker.green.loop import GreenLoop

    return GreenLoop
