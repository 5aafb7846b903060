"""superwsgi runs Python web applications in production.

`superwsgi.run(app)` serves an application object from a script, the command `superwsgi` all else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from superwsgi.embed import run, run_simple

__version__ = "0.1.0"
__all__ = ["__version__", "run", "run_simple"]


def __getattr__(name: str) -> object:
    """`run` and `run_simple` are imported on first use: molds and workers import this package too."""
    if name in ("run", "run_simple"):
        from superwsgi import embed

        return getattr(embed, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
