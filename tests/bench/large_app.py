"""An application of 150 MB: Flask answers, Django and data are only there. What a mold shares."""

import os

import django
from django.conf import settings
from flask import Flask

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
    ]
)
django.setup()

PRODUCTS = [{"id": n, "name": f"product {n}", "price": n * 1.5, "tags": [n % 97, n]} for n in range(220_000)]

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return "Hello, world!"


@app.get("/pid")
def pid() -> str:
    return str(os.getpid())
