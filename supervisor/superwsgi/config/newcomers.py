"""What other servers call our keys: hints for site files that were written with Gunicorn's settings in mind.

Nothing here is accepted; a name has one of our keys, or a line of why there is none.
"""

from __future__ import annotations

from typing import Final

OURS: Final = {
    "access_log_format": "log.format",
    "accesslog": "log.access",
    "ca_certs": "tls.client_ca",
    "cert_reqs": "tls.client",
    "certfile": "tls.certificate",
    "errorlog": "log.error",
    "forwarded_allow_ips": "proxy.trusted",
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
    "timeout": "timeouts.request",
    "worker_connections": "limits.connections",
    "wsgi_app": "app",
}

_NEEDLESS: Final = {
    "daemon": "leave it out: the master stays in the foreground, for systemd or a container to keep",
    "reload": "files are not watched: to develop, use the framework's own server; "
    "to deploy, `superwsgi reload --wait`",
    "worker_class": "leave it out: every worker runs 'threads' threads",
    "worker_tmp_dir": "leave it out: heartbeats are in shared memory",
}


def hint(word: str) -> str:
    """For an unknown key of the whole site; empty where the word is nobody's."""
    if word in OURS:
        return f"here it is {OURS[word]!r}"
    return _NEEDLESS.get(word, "")
