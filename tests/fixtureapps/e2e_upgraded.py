"""WebSockets by Flask-Sock, and pages beside them."""

import os
import threading
import time

from flask import Flask, request
from flask_sock import Sock

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 600}  # who has not answered by the next one is cut off
sock = Sock(app)


@sock.route("/echo")
def echo(ws):
    while True:
        ws.send(ws.receive())


@sock.route("/bye")
def bye(ws):
    ws.send("bye")


@sock.route("/raises")
def raises(ws):
    ws.receive()
    raise LookupError("in a WebSocket")


@sock.route("/forks")
def forks(ws):
    """A child of it goes on for long."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    ws.send(str(child))


@sock.route("/crashes")
def crashes(ws):
    ws.receive()
    os.kill(os.getpid(), 9)


@app.get("/")
def page():
    time.sleep(float(request.args.get("seconds", "0")))
    return threading.current_thread().name
