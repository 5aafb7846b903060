"""What other servers call our keys, where they send logs and how they format them: hints for site files that
were written with Gunicorn's settings, Apache's or nginx's in mind.

None of them is accepted: each is answered with our key, or with the reason why there is none.
"""

from __future__ import annotations

import re
from typing import Final

from superwsgi.config.errors import one_of

OURS: Final = {
    "access_log_format": "log.format",
    "accesslog": "log.access",
    "application": "app",
    "attach-daemon": "companions",
    "attach-daemon2": "companions",
    "ca_certs": "tls.client_ca",
    "callable": "app",
    "cert_reqs": "tls.client",
    "certfile": "tls.certificate",
    "errorlog": "log.error",
    "force_script_name": "root",
    "forwarded_allow_ips": "proxy.trusted",
    "forwarder_headers": "proxy.fields",
    "graceful_timeout": "timeouts.graceful",
    "host": "bind",
    "keyfile": "tls.key",
    "limit_request_field_size": "limits.head",
    "limit_request_fields": "limits.fields",
    "limit_request_line": "limits.line",
    "listen": "bind",
    "loglevel": "log.level",
    "max_requests": "requests.max",
    "max_requests_jitter": "requests.jitter",
    "max-worker-lifetime": "requests.age",
    "module": "app",
    "paste": "app",
    "pid": "pidfile",
    "port": "bind",
    "post_fork": "hooks.after_fork",
    "post_worker_init": "hooks.after_fork",
    "pre_fork": "hooks.before_fork",
    "preload_app": "preload",
    "proc_name": "name",
    "processes": "workers",
    "proxy_allow_ips": "proxy.trusted",
    "proxy_protocol": "proxy.protocol",
    "pythonpath": "chdir",
    "raw_env": "env",
    **dict.fromkeys(("root_path", "script_name", "url_prefix", "url_path_prefix"), "root"),
    "timeout": "timeouts.request",
    **dict.fromkeys(
        ("static-map", "static_map", "static-mount", "static_path_mount", "static_folder"), "static"
    ),
    **dict.fromkeys(("static_path_route", "static_root", "static_url_path", "whitenoise"), "static"),
    **dict.fromkeys(("x_sendfile", "x_accel_redirect", "xsendfile", "xsendfilepath"), "sendfile"),
    "smart-attach-daemon": "companions",
    "worker_connections": "limits.connections",
    "wsgi-file": "app",
    "wsgi_app": "app",
}

_NEEDLESS: Final = {
    **dict.fromkeys(("cheaper", "autoscale"), "it is a range here: workers: {min: 2, max: 8}"),
    "daemon": "leave it out: the master stays in the foreground, kept by systemd or a container",
    "paste": "it is 'app' here: app: paste:shop.ini#main",
    "reload": "to develop, type `superwsgi dev`; to deploy, `superwsgi reload --wait`",
    "header_map": "leave it out: fields with _ in their names are dropped, but for those of 'proxy.fields'",
    "manage-script-name": "leave it out: 'root' and 'apps' take their part of the path and set SCRIPT_NAME",
    "worker_class": "leave it out: every worker runs 'threads' threads; for gevent, 'green: 1000' instead",
    "worker_tmp_dir": "leave it out: heartbeats are in shared memory",
}

_IS_ALWAYS_KEPT: Final = "leave it out: a companion is started with the site, and again when it dies"
_ENDS_WHOLE: Final = "leave it out: what a companion has started ends with it"
_TO_THE_LOGS: Final = (
    "leave it out: its output goes where the master's goes, or with log.capture to the error log"
)
_OF_SUPERVISORD: Final = {
    **dict.fromkeys(("autostart", "autorestart", "restart", "startretries", "startsecs"), _IS_ALWAYS_KEPT),
    **dict.fromkeys(("stopasgroup", "killasgroup"), _ENDS_WHOLE),
    **dict.fromkeys(("stdout_logfile", "stderr_logfile", "redirect_stderr"), _TO_THE_LOGS),
    **dict.fromkeys(("directory", "chdir", "cwd"), "it is the site's: 'chdir'"),
    **dict.fromkeys(("environment", "env"), "it is the site's: 'env'"),
    **dict.fromkeys(("user", "group", "umask"), "it is the site's, at the top level"),
    "numprocs": "it is 'count' here",
    "stopsignal": "it is 'signal' here",
    "stopwaitsecs": "it is 'graceful' here",
}
"""What supervisord's `[program:x]` and others say of a program."""


def companion_hint(word: str) -> str:
    """For an unknown key of a companion; empty for a word that nobody else knows."""
    return _OF_SUPERVISORD.get(word, "")


def hint(word: str) -> str:
    """For an unknown key at the top level; empty for a word that no other server knows."""
    if word in OURS:
        return f"it is {OURS[word]!r} here"
    return _NEEDLESS.get(word, "")


# Where logs go.

_BY_STDERR: Final = "write - (under systemd that is the journal; elsewhere run `superwsgi … 2>&1 | logger`)"
_NO_FILES: Final = {
    **dict.fromkeys(("syslog", "journal", "journald", "systemd", "logger", "/dev/log"), _BY_STDERR),
    **dict.fromkeys(("1", "enable", "enabled", "default", "auto", "console", "tty"), "write on"),
    **dict.fromkeys(("&1", "sys.stdout"), "write stdout"),
    **dict.fromkeys(("2", "&2", "sys.stderr"), "write stderr"),
    **dict.fromkeys(("0", "disable", "disabled", "null", "nil", "nothing", "never"), "write off"),
    **dict.fromkeys(("combined", "common", "json", "text"), "log.format sets how its lines look"),
    **dict.fromkeys(
        ("debug", "info", "warning", "warn", "error", "critical"), "log.level sets the lowest level"
    ),
    "file": "write the file's path",
}
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def no_log_file(text: str) -> str:
    """What to write instead of something that is hardly meant as the file of a log; empty for a file."""
    if text.startswith("|"):
        return "logs cannot be piped to a program: write -, and run `superwsgi … | program`"
    url = _URL.match(text)
    if url is None:
        return _NO_FILES.get(text.lower(), "")
    return "write its path alone" if url[1].lower() == "file" else _BY_STDERR


# How their lines look.

_REQUEST: Final = "{method} {target} {protocol}"
_BY_LETTER: Final = {
    **dict.fromkeys("lu", "-"),
    **dict.fromkeys("ha", "{remote}"),
    **dict.fromkeys("bBO", "{sent}"),
    **dict.fromkeys("TDML", "{duration}"),
    **dict.fromkeys("pP", "{pid}"),
    **dict.fromkeys("vV", "{host}"),
    "t": "{time}",
    "r": _REQUEST,
    "m": "{method}",
    "U": "{target}",
    "H": "{protocol}",
    "s": "{status}",
    "{host}i": "{host}",
    "{referer}i": "{referer}",
    "{user-agent}i": "{agent}",
    "{x-request-id}i": "{request_id}",
    "{x-request-id}o": "{request_id}",
}
"""Apache's, https://httpd.apache.org/docs/2.4/mod/mod_log_config.html; Gunicorn's are these but for two."""

_BY_NAME: Final = {
    **dict.fromkeys(("remote_addr", "realip_remote_addr"), "{remote}"),
    **dict.fromkeys(("time_local", "time_iso8601", "msec"), "{time}"),
    **dict.fromkeys(("request_uri", "uri"), "{target}"),
    **dict.fromkeys(("body_bytes_sent", "bytes_sent"), "{sent}"),
    **dict.fromkeys(("host", "http_host", "server_name"), "{host}"),
    "remote_user": "-",
    "request": _REQUEST,
    "request_method": "{method}",
    "status": "{status}",
    "server_protocol": "{protocol}",
    "request_time": "{duration}",
    "request_id": "{request_id}",
    "http_referer": "{referer}",
    "http_user_agent": "{agent}",
    "pid": "{pid}",
}
"""nginx's, https://nginx.org/en/docs/http/ngx_http_log_module.html"""

_FOREIGN: Final = re.compile(
    r"%\((?P<gunicorn>[^()]*)\)[A-Za-z]"
    r"|(?<!\w)%[<>]?(?P<apache>(?:\{[^{}]*\})?[A-Za-z])\b"
    r"|\$(?P<nginx>[a-z][a-z0-9_]+)"
)
_COMBINED: Final = '{remote} - - {time} "{method} {target} {protocol}" {status} {sent} "{referer}" "{agent}"'


def log_format(text: str) -> str:
    """The hint for a format that is another server's, with what it is here; empty for one of ours."""
    if text.lstrip().startswith(('{"', "{'")):
        return "for lines of JSON write json; a brace that is no name's is written twice"
    if not _FOREIGN.search(text):
        return ""
    ours = _FOREIGN.sub(lambda found: _ours(found) or "", text)
    if ours.replace("[{time}]", "{time}") == _COMBINED:
        return "it is 'combined' here"
    missing = sorted({found[0] for found in _FOREIGN.finditer(text) if not _ours(found)})
    there_is = f"; there is nothing for {one_of(missing)}" if missing else ""
    example = ours.strip() if "{" in ours else _COMBINED
    return f"names go in braces here, as in {example!r}{there_is}"


def _ours(found: re.Match[str]) -> str | None:
    if found["nginx"]:
        return _BY_NAME.get(found["nginx"])
    if found["gunicorn"] in ("a", "f"):
        return {"a": "{agent}", "f": "{referer}"}[found["gunicorn"]]
    name = found["gunicorn"] or found["apache"] or ""
    return _BY_LETTER.get(name.lower() if name.startswith("{") else name)
