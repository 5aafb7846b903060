"""What a framework does in its own development server and not in its application: Django's static files, its
templates read anew for each request, its URLs imported at once. It only looks at what the application has
imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from superwsgi.apps import AppError
from superwsgi.apps.types import Environ, StartResponse, WSGIApp
from superwsgi.log.frames import application_traceback, raised_at
from superwsgi.log.spelling import spell_exception


def completed(app: WSGIApp) -> WSGIApp:
    """The application with what its framework adds to it in development. Raises AppError for code that it
    would import for the first request only."""
    settings = getattr(sys.modules.get("django.conf"), "settings", None)
    if settings is None or not settings.configured:
        return app
    if getattr(settings, "ROOT_URLCONF", None) is not None:
        _require_urls(settings.ROOT_URLCONF)
    if not settings.DEBUG:
        return app
    if "django.contrib.staticfiles" in settings.INSTALLED_APPS:
        app = _with_static_files(app)
    return _with_fresh_templates(app)


def _require_urls(module: str) -> None:
    """As `manage.py check` does: they import all views."""
    from django.urls import get_resolver

    try:
        _ = get_resolver().url_patterns
    except Exception as error:
        place = raised_at(error)
        reason = f"the URLs of {module} cannot be loaded: {spell_exception(error)}"
        raise AppError(f"{reason} ({place})" if place else reason, application_traceback(error)) from error


def _with_static_files(app: WSGIApp) -> WSGIApp:
    """As `manage.py runserver` has it; without STATIC_URL there is nothing to serve."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.exceptions import ImproperlyConfigured

    try:
        handler: WSGIApp = StaticFilesHandler(app)
    except ImproperlyConfigured:
        return app
    return handler


def _with_fresh_templates(app: WSGIApp) -> WSGIApp:
    """Django keeps compiled templates, also with DEBUG, until its own development server sees a change."""
    from django.template import autoreload

    forget: Callable[[], Any] = autoreload.reset_loaders

    def fresh(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        forget()
        return app(environ, start_response)

    return fresh
