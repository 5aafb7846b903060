"""Django with a database: fortunes by its ORM, its template language and its own pool of connections.

CommonMiddleware gives answers a length, without which some servers close the connection after each.
"""

from __future__ import annotations

import os
from pathlib import Path

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from tests.bench.real.data import ADDED, DATABASE, POOL, POSTGRES, USER

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [Path(__file__).with_name("templates")],
        }
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ[POSTGRES],
            "USER": USER,
            "NAME": DATABASE,
            "OPTIONS": {"pool": {"min_size": POOL, "max_size": POOL}},
        }
    },
)
django.setup()

from django.db import models  # noqa: E402  # only once there are settings


class Fortune(models.Model):
    id = models.IntegerField(primary_key=True)
    message = models.TextField()

    class Meta:
        app_label = "real"
        db_table = "fortune"


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, world!")


def fortunes(request: HttpRequest) -> HttpResponse:
    shown = [*Fortune.objects.all(), Fortune(id=0, message=ADDED)]
    shown.sort(key=lambda fortune: fortune.message)
    return render(request, "fortunes.html", {"fortunes": shown})


urlpatterns = [path("", hello), path("fortunes", fortunes)]
app = get_wsgi_application()
