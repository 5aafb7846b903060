"""Asynchronous views, which all wait for the file `go`: of Flask and of Django by asgiref, and asyncio.run in
an ordinary one. Each tells the number that it was asked for."""

import asyncio
import threading
from pathlib import Path

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from flask import Flask

flask = Flask(__name__)


async def told(number):
    """Once the file is there; which loop and task are its own is the same before and after."""
    own = asyncio.get_running_loop(), asyncio.current_task()
    Path(f"inside-{number}").touch()
    while not Path("go").exists():
        await asyncio.sleep(0.02)
        await sync_to_async(threading.current_thread)()
    assert own == (asyncio.get_running_loop(), asyncio.current_task())
    return str(number)


@flask.get("/flask/<int:number>")
async def of_flask(number):
    return await told(number)


@flask.get("/run/<int:number>")
def with_run(number):
    return asyncio.run(told(number))


async def of_django(request, number):
    return HttpResponse(await told(number))


urlpatterns = [path("<int:number>", of_django)]

settings.configure(SECRET_KEY="for tests", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
django = get_wsgi_application()
