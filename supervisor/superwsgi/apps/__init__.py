"""From the site file's `apps` to one WSGI application."""

from __future__ import annotations

from collections.abc import Mapping

from superwsgi.apps.load import load
from superwsgi.apps.mount import mount
from superwsgi.apps.patched import refusal
from superwsgi.apps.spec import AppError
from superwsgi.apps.types import WSGIApp

__all__ = ["AppError", "load_all", "refusal"]


def load_all(apps: Mapping[str, str]) -> WSGIApp:
    """Load every application and mount it where `apps` says. Raises one AppError for all that fail."""
    loaded: dict[str, WSGIApp] = {}
    failed: dict[str, AppError] = {}
    for place, spec in apps.items():
        try:
            loaded[place] = load(spec)
        except AppError as exc:
            failed[place] = exc
    if failed:
        raise AppError(
            "; ".join(error.reason for error in failed.values()),
            "\n".join(filter(None, (error.detail for error in failed.values()))),
            locked=any(error.locked for error in failed.values()),
            each=failed,
        )
    return mount(loaded)
