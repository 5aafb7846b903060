"""Flask-SocketIO on threads or greenlets, as its documentation has it."""

import os

from flask import Flask, request
from flask_socketio import SocketIO, emit

app = Flask(__name__)
socketio = SocketIO(app, async_mode=os.environ["MODE"])


@socketio.on("say")
def say(text):
    emit("said", text.upper())


@socketio.on("disconnect")
def gone(*_):
    print(f"gone {request.sid}", flush=True)
