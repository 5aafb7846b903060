"""What other tools call our commands: hints for whoever types those, from systemctl, supervisorctl, pm2,
gunicorn, uwsgi, nginx, Flask and Django.
"""

from __future__ import annotations

from typing import Final

STARTING: Final = frozenset({"start", "up", "launch", "spawn", "boot"})

INSTEAD: Final = {
    **dict.fromkeys(("restart", "graceful", "graceful-reload", "refresh", "update", "reread"), "reload"),
    **dict.fromkeys(("deploy", "rolling-restart", "hup", "try-restart", "reload-or-restart"), "reload"),
    **dict.fromkeys(
        ("shutdown", "quit", "halt", "terminate", "down", "exit", "term", "graceful-stop"), "stop"
    ),
    **dict.fromkeys(
        ("ps", "list", "ls", "l", "jlist", "info", "show", "state", "health", "ping", "pid"), "status"
    ),
    **dict.fromkeys(("is-active", "is-failed", "avail", "stats", "metrics"), "status"),
    **dict.fromkeys(("top", "monit", "monitor", "dashboard", "watch"), "status --watch"),
    **dict.fromkeys(("reopen", "reopenlogs", "reload-logs", "flush", "rotate", "usr1"), "logs"),
    **dict.fromkeys(("scale", "ttin", "ttou", "resize"), "workers"),
    **dict.fromkeys(("test", "configtest", "checkconfig", "validate", "verify", "lint"), "check"),
    **dict.fromkeys(("cat", "describe", "settings", "print-config", "get"), "config"),
    **dict.fromkeys(("errors", "events", "incidents", "crashes", "explain"), "why"),
    **dict.fromkeys(("trace", "dump", "threads", "backtrace", "traceback", "spy"), "stacks"),
    **dict.fromkeys(("prof", "flamegraph", "flame"), "profile"),
    **dict.fromkeys(("runserver", "develop", "debug"), "dev"),
    **dict.fromkeys(("new", "create", "generate", "setup", "configure"), "init"),
    **dict.fromkeys(("enable", "install", "systemd", "startup"), "unit --install"),
    **dict.fromkeys(("usr2", "daemon-reexec", "self-update"), "upgrade"),
    "help": "--help",
    "version": "--version",
}
"""The command that does it. What is typed behind the word belongs behind that."""

WORDS: Final = {
    **dict.fromkeys(
        ("tail", "log", "journal"),
        "it writes its logs to stdout and stderr: under systemd, type journalctl -f -u UNIT",
    ),
    **dict.fromkeys(
        ("daemon", "daemonize", "background"),
        "it stays in the foreground, kept by systemd (superwsgi unit --install) or a container",
    ),
}
"""What to do where there is no such command."""
