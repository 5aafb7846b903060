"""What the options of other servers are here: hints for whoever types them out of habit, from Gunicorn,
waitress-serve, uvicorn, Granian, uWSGI and `flask run`.

None of them is accepted: each is answered with ours, or with the reason why there is none.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from superwsgi.config.grammar.other_servers import OURS
from superwsgi.config.text.reader import SITE, key_paths

_TARGET: Final = "name it as TARGET, as in superwsgi run"
_ALWAYS: Final = "leave it out: it is always so"
_OWN_LOGGING: Final = "leave it out: the application sets up its own logging, and --set log.style=json ours"
_STDERR: Final = "leave it out: logs go to stdout and stderr, under systemd to the journal"
_NO_SUCH: Final = "leave it out: there is nothing of the kind here"
_TO_DEVELOP: Final = "superwsgi dev does so, without an option"
_TO_WATCH: Final = "it is superwsgi dev --watch PATH here"

_KEYS: Final = {
    # Gunicorn
    **{word.replace("-", "_"): key for word, key in OURS.items()},
    "access_logfile": "log.access",
    "access_logformat": "log.format",
    "backlog": "limits.backlog",
    "capture_output": "log.capture=on",
    "control_socket": "control",
    "error_logfile": "log.error",
    "g": "group",
    "keep_alive": "timeouts.keepalive",
    "log_file": "log.error",
    "m": "umask",
    "n": "name",
    "no_control_socket": "control=off",
    "proxy_allow_from": "proxy.trusted",
    "proxy_protocol": "proxy.protocol=on",
    "u": "user",
    # waitress-serve
    "channel_timeout": "timeouts.keepalive",
    "connection_limit": "limits.connections",
    "max_request_body_size": "limits.body",
    "max_request_header_size": "limits.head",
    "trusted_proxy": "proxy.trusted",
    # uvicorn and Granian
    "access_log": "log.access=-",
    "no_access_log": "log.access=off",
    "access_log_fmt": "log.format",
    "app_dir": "chdir",
    "blocking_threads": "threads",
    "env_files": "env_file",
    "http1_header_read_timeout": "timeouts.head",
    "limit_concurrency": "limits.connections",
    "limit_max_requests": "requests.max",
    "limit_max_requests_jitter": "requests.jitter",
    "metrics_address": "admin.bind",
    "pid_file": "pidfile",
    "process_name": "name",
    "ssl_ca": "tls.client_ca",
    "ssl_ca_certs": "tls.client_ca",
    "ssl_cert_reqs": "tls.client",
    "ssl_certfile": "tls.certificate",
    "ssl_certificate": "tls.certificate",
    "ssl_keyfile": "tls.key",
    "timeout_graceful_shutdown": "timeouts.graceful",
    "timeout_keep_alive": "timeouts.keepalive",
    "workers_kill_timeout": "timeouts.graceful",
    "workers_lifetime": "requests.age",
    "working_dir": "chdir",
    # uWSGI and flask run
    "buffer_size": "limits.head",
    "cert": "tls.certificate",
    "gid": "group",
    "harakiri": "timeouts.request",
    "logto": "log.error",
    "pidfile2": "pidfile",
    "procname": "name",
    "uid": "user",
}
"""`key`, to which the same value can be given, or `key=value`."""

_WORDS: Final = {
    **dict.fromkeys(("k", "worker_class"), "leave it out: every worker runs --threads threads"),
    **dict.fromkeys(
        ("D", "daemon", "daemonize", "background"),
        "leave it out: the master stays in the foreground, kept by systemd or a container",
    ),
    **dict.fromkeys(("c", "config"), f"{_TARGET} site.yaml"),
    **dict.fromkeys(
        ("A", "app", "module", "wsgi", "callable", "w_module"), f"{_TARGET} shop.wsgi:application"
    ),
    **dict.fromkeys(("file", "wsgi_file"), f"{_TARGET} shop/wsgi.py"),
    **dict.fromkeys(("ini", "ini_paste", "paste", "paster"), f"{_TARGET} production.ini"),
    **dict.fromkeys(("call", "factory"), f"{_TARGET} 'shop:create_app()'"),
    **dict.fromkeys(("check", "check_config"), "type superwsgi check -c site.yaml"),
    **dict.fromkeys(("print_config", "show_config"), "while it runs, type superwsgi config"),
    **dict.fromkeys(
        ("host", "h", "port", "P", "listen", "l", "http", "http_socket", "socket", "s"),
        "it is --bind HOST:PORT here",
    ),
    **dict.fromkeys(("uds", "unix_socket"), "it is --bind unix:/path here"),
    **dict.fromkeys(
        ("uds_permissions", "unix_socket_perms", "chmod_socket"),
        "it is --set 'bind={unix: /path, mode: 0660}' here",
    ),
    "p": "it is --bind HOST:PORT here, or --set pidfile=FILE",
    "fd": "it is --bind systemd here",
    **dict.fromkeys(
        ("proxy_headers", "trusted_proxy_headers", "url_scheme", "forwarded_headers"),
        "--trusted says from whom X-Forwarded-Proto and the like are believed",
    ),
    **dict.fromkeys(("log_config", "log_config_json", "logger_class"), _OWN_LOGGING),
    **dict.fromkeys(
        ("log_syslog", "log_syslog_to", "log_syslog_prefix", "log_syslog_facility", "syslog"), _STDERR
    ),
    **dict.fromkeys(
        ("statsd_host", "statsd_prefix", "dogstatsd_tags", "metrics", "stats"),
        "Prometheus asks the admin process: --set admin.bind=127.0.0.1:9000",
    ),
    **dict.fromkeys(("ciphers", "ssl_ciphers"), "leave it out: --set tls.minimum=1.3 has only strong ones"),
    **dict.fromkeys(("ssl_version", "ssl_protocol_min"), "it is --set tls.minimum=1.2 here, or 1.3"),
    "ssl_client_verify": "it is --set tls.client=required here",
    "ssl_context": "it is --certificate FILE here",
    "ssl_keyfile_password": "the key has to be unencrypted; only root needs to be able to read it",
    **dict.fromkeys(
        ("H", "home", "virtualenv", "venv", "pyhome"),
        "leave it out: call the superwsgi of that environment, venv/bin/superwsgi",
    ),
    **dict.fromkeys(("debug", "debugger", "reload", "reload_engine", "reload_delay"), _TO_DEVELOP),
    **dict.fromkeys(
        ("reload_extra_file", "reload_dir", "reload_include", "reload_paths", "extra_files"), _TO_WATCH
    ),
    "reload_exclude": "leave it out: only Python files of the project count, and what --watch names",
    **dict.fromkeys(("touch_reload", "touch_chain_reload"), "type superwsgi reload --wait after a deploy"),
    **dict.fromkeys(("lazy", "lazy_apps"), "it is --no-preload here"),
    **dict.fromkeys(("reload_on_rss", "workers_max_rss"), "it is --set memory.soft=400M here"),
    "evil_reload_on_rss": "it is --set memory.hard=600M here",
    "timeout_worker_healthcheck": "it is --set timeouts.request=60s here",
    **dict.fromkeys(
        ("M", "master", "enable_threads", "with_threads", "threaded", "vacuum", "die_on_term", "need_app"),
        _ALWAYS,
    ),
    **dict.fromkeys(
        ("single_interpreter", "thunder_lock", "initgroups", "respawn_failed_workers", "no_sendfile"), _ALWAYS
    ),
    **dict.fromkeys(("ipv4", "ipv6"), "--bind says it: 0.0.0.0:8000 or [::]:8000"),
    **dict.fromkeys(("reuse_port", "worker_tmp_dir", "spew", "R", "enable_stdio_inheritance"), _NO_SUCH),
    **dict.fromkeys(("loop", "ws", "lifespan", "interface", "http_protocols", "runtime_mode"), _NO_SUCH),
    **dict.fromkeys(("ident", "runtime_threads", "task_impl", "use_colors", "server_header"), _NO_SUCH),
}
"""What to do instead, by the name of the option without its dashes."""


class Ours(NamedTuple):
    """`key` is that of the site file, `value` what is meant by an option without one; else there are `words`
    on what to do."""

    key: str = ""
    value: str = ""
    words: str = ""


def ours(option: str) -> Ours | None:
    """What an option such as `--access-logfile` or `-k` is here; None for one that nobody knows."""
    name = option.lstrip("-").replace("-", "_")
    if name in _WORDS:
        return Ours(words=_WORDS[name])
    key, _, value = _KEYS.get(name, "").partition("=")
    known = {each.replace(".", "_"): each for each in key_paths(SITE)}
    key = key or known.get(name.replace(".", "_"), "")
    return Ours(key, value) if key else None
