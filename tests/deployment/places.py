"""Sites and where they are installed, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superwsgi.deployment.installation import DYNAMIC, Installation
from superwsgi.deployment.text import escaping
from tests.config.sites import loaded

HOME = "/home/visitor/shop"


def place(folder: Path, text: str = "", **facts: Any) -> Installation:
    """That of a user's project below /home, unless `facts` say otherwise; `text` is more of its site file."""
    chdir = escaping.yaml(facts.pop("project", HOME))
    site = loaded(folder, f"name: shop\napp: app:app\nchdir: {chdir}\n{text}")
    usual: dict[str, Any] = {
        "site": site,
        "file": f"{site.chdir}/site.yaml",
        "command": (f"{site.chdir}/.venv/bin/superwsgi",),
        "folders": (f"{site.chdir}/.venv", "/usr"),
        "user": "visitor",
        "owner": True,
        "workers": 2,
    }
    return Installation(**{**usual, **facts})


def of_roots(folder: Path, text: str = "", **facts: Any) -> Installation:
    """A project below /srv that is root's."""
    return place(folder, text, **{"project": "/srv/shop", "user": DYNAMIC, "owner": False, **facts})
