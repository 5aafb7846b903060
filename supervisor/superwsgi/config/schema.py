"""The site file's keys as typed data: one field a setting, with its default, unit and one line of help.

The reference site file, the errors of the loader and the documentation come from these fields.
The kinds of their values are in kinds.py. Nothing here touches the outside: no DNS, no files, no users, no
imports of the application.
"""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from superwsgi.config.kinds import (
    Account,
    Backlog,
    Bytes,
    Consent,
    ControlPath,
    Count,
    Deadline,
    FilePath,
    Function,
    ImportString,
    LogFile,
    LogFormat,
    Mount,
    Network,
    Octal,
    PositiveCount,
    Processes,
    Seconds,
    ServerName,
    Share,
    SiteName,
    Switch,
    Threads,
    Variable,
)
from superwsgi.config.listening import Address, TcpAddress

Application = Annotated[
    ImportString,
    Meta(
        description="the application: module:attribute or module:factory()",
        examples=["shop.wsgi:application"],
    ),
]
"""`app:` in a site file, short for `apps: {/: ...}`; a Site has `apps` alone."""


class Memory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`memory:` how much a worker may use before it is replaced. An int is bytes, a float a share."""

    soft: Annotated[
        Bytes | Share | None, Meta(description="recycle a worker above this", examples=["400M", "40%"])
    ] = None
    hard: Annotated[
        Bytes | Share | None, Meta(description="end a worker above this at once", examples=["600M"])
    ] = None
    measure: Annotated[
        Literal["rss", "pss", "uss"], Meta(description="what is compared: rss, pss or uss")
    ] = "rss"


class Requests(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`requests:` recycling by age in requests."""

    max: Annotated[Count, Meta(description="recycle a worker after this many requests; 0 = never")] = 0
    jitter: Annotated[Count, Meta(description="up to this many more, drawn per worker")] = 0


class Timeouts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`timeouts:` every deadline."""

    boot: Annotated[Deadline, Meta(description="loading the application")] = 60.0
    head: Annotated[Deadline, Meta(description="receiving a request's head")] = 10.0
    proxy: Annotated[Deadline, Meta(description="receiving a PROXY protocol header")] = 5.0
    body: Annotated[Deadline, Meta(description="receiving a request's body, at a minimum rate")] = 30.0
    request: Annotated[Deadline, Meta(description="the application starting or continuing its answer")] = 60.0
    queue: Annotated[Seconds, Meta(description="a full request waiting for a free thread")] = 30.0
    send: Annotated[Deadline, Meta(description="a client taking its response, at a minimum rate")] = 30.0
    keepalive: Annotated[Seconds, Meta(description="an idle connection between two requests")] = 75.0
    graceful: Annotated[Seconds, Meta(description="draining a worker, at most")] = 30.0
    linger: Annotated[Seconds, Meta(description="an idle connection while its worker drains")] = 2.0
    lame_duck: Annotated[Seconds, Meta(description="serving on after a drain was asked for")] = 0.0


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`limits:` what a client may ask of a worker."""

    line: Annotated[Bytes, Meta(description="request line; 414 beyond")] = 8 << 10
    head: Annotated[Bytes, Meta(description="request head; 431 beyond")] = 64 << 10
    fields: Annotated[PositiveCount, Meta(description="header fields; 431 beyond")] = 100
    body: Annotated[Bytes, Meta(description="request body; 413 beyond; 0 = no limit")] = 100 << 20
    body_memory: Annotated[Bytes, Meta(description="body kept in memory; a file beyond")] = 256 << 10
    spool: Annotated[
        Bytes, Meta(description="temporary files a worker has for what clients have not taken yet")
    ] = 4 << 30
    queue: Annotated[Count, Meta(description="full requests a worker lets wait for a thread; 503 beyond")] = (
        500
    )
    connections: Annotated[PositiveCount, Meta(description="open connections a worker")] = 1000
    per_address: Annotated[
        Count, Meta(description="open connections a client address and worker; 429 beyond; 0 = no limit")
    ] = 0
    backlog: Annotated[Backlog, Meta(description="connections the kernel holds until accepted")] = 2048

    @property
    def largest_body(self) -> int:
        """Bytes; also where there is no limit."""
        return self.body or sys.maxsize


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`log:` two logs; `-` is stdout (access) or stderr (error), `off` nothing, else a file."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="error log from this level on: debug, info, warning, error"),
    ] = "info"
    access: Annotated[LogFile, Meta(description="access log: - (stdout), off or a file")] = "-"
    error: Annotated[LogFile, Meta(description="error log: - (stderr), off or a file")] = "-"
    format: Annotated[
        LogFormat,
        Meta(
            description="access log's lines: combined, json or a template",
            examples=['"{time} {method} {target} {status} {duration}"'],
        ),
    ] = "combined"


class Proxy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`proxy:` whom to believe about the client. A network is spelled `10.0.0.0/8`, `::1/128` or `unix`."""

    trusted: Annotated[
        tuple[Network, ...],
        Meta(
            description="peers believed about their clients: networks, unix",
            examples=["[10.0.0.0/8, unix]"],
        ),
    ] = ("127.0.0.1/32", "::1/128")
    protocol: Annotated[
        Switch, Meta(description="every connection begins with a PROXY protocol header, version 1 or 2")
    ] = False


class NamedCertificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An item of `tls.sni:` one more certificate, and the names it is for; by default those that it holds."""

    certificate: FilePath
    key: FilePath | None = None
    names: tuple[ServerName, ...] = ()


class TlsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tls:` certificates for the addresses that begin with `https://`; read again at each reload."""

    certificate: Annotated[
        FilePath | None,
        Meta(
            description="PEM file: certificate, the chain behind it, and the key where tls.key is not set",
            examples=["/etc/letsencrypt/live/example.com/fullchain.pem"],
        ),
    ] = None
    key: Annotated[
        FilePath | None,
        Meta(
            description="PEM file of its private key, not encrypted",
            examples=["/etc/letsencrypt/live/example.com/privkey.pem"],
        ),
    ] = None
    sni: Annotated[
        tuple[NamedCertificate, ...],
        Meta(
            description="more certificates, chosen by the name a client asks for",
            examples=["[{certificate: api.pem, key: api.key, names: [api.example.com]}]"],
        ),
    ] = ()
    minimum: Annotated[Literal["1.2", "1.3"], Meta(description="oldest TLS version: 1.2 or 1.3")] = "1.2"
    client_ca: Annotated[
        FilePath | None,
        Meta(
            description="PEM file of authorities whose client certificates count", examples=["staff-ca.pem"]
        ),
    ] = None
    client: Annotated[
        Literal["required", "optional"] | None,
        Meta(
            description="whether a client needs a certificate; required once client_ca is set",
            examples=["optional"],
        ),
    ] = None


class RollOutSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rollout:` how the workers move over to a new generation."""

    overlap: Annotated[
        Consent, Meta(description="new processes start beside the old ones; no: once these are gone")
    ] = True
    before: Annotated[
        str | None,
        Meta(
            description="shell command that has to succeed before a generation is loaded",
            examples=["python manage.py migrate --check"],
        ),
    ] = None
    batch: Annotated[PositiveCount, Meta(description="workers replaced at a time, after the first")] = 1
    confirm: Annotated[
        Seconds, Meta(description="all new workers serve so long before the old generation is given up")
    ] = 10.0
    max_failures: Annotated[
        PositiveCount, Meta(description="crashes of new workers until then that lead back to the old ones")
    ] = 3


class HookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`hooks:` functions that are called in a worker's life, module:function."""

    before_fork: Annotated[
        Function | None,
        Meta(
            description="called in the process that has imported the application, before each fork",
            examples=["shop.hooks:before_fork"],
        ),
    ] = None
    after_fork: Annotated[
        Function | None,
        Meta(
            description="called in each worker once the application is there",
            examples=["shop.hooks:after_fork"],
        ),
    ] = None
    worker_exit: Annotated[
        Function | None,
        Meta(description="called in a worker that ends", examples=["shop.hooks:worker_exit"]),
    ] = None


class MonitorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`monitor:` watching workers from the master."""

    interval: Annotated[
        Deadline, Meta(description="between two looks at the workers' memory and heartbeat")
    ] = 1.0


class Site(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One site: everything that superwsgi is told about it.

    Made by `superwsgi.config.load` (a site file) or `superwsgi.config.from_options` (the command line);
    paths are absolute by then, `workers: auto` is still `"auto"`, and user and group are still names.
    """

    apps: Annotated[
        dict[Mount, Application],
        Meta(
            min_length=1,
            description="several applications by /prefix, host or host/prefix; the longest prefix wins",
            examples=['{/: "shop.wsgi:application", api.example.com/v1: "api:create_app()"}'],
        ),
    ]
    name: Annotated[
        SiteName,
        Meta(
            description="the site's name; default: the file's, or its folder's for site.yaml and its like",
            examples=["shop"],
        ),
    ]
    bind: Annotated[
        tuple[Annotated[Address, Meta(extra_json_schema={"unit": "address"})], ...],
        Meta(
            min_length=1,
            description="where to listen: an address or a list of them; https:// is TLS",
            examples=[
                '[":80", "https://:443", "[::1]:8000", "unix:run/shop.sock"]',
                "{unix: run/shop.sock, mode: 0660}",
                "systemd",
            ],
        ),
    ] = (TcpAddress("127.0.0.1", 8000),)
    workers: Annotated[
        Processes | Literal["auto"], Meta(description="worker processes; auto = usable CPUs")
    ] = "auto"
    threads: Annotated[Threads, Meta(description="requests a worker runs at once")] = 8
    preload: Annotated[
        bool | Literal["auto"],
        Meta(description="import the application once, before forking; auto: unless a fork would break it"),
    ] = "auto"
    warmup: Annotated[
        tuple[Annotated[str, Meta(extra_json_schema={"unit": "page"})], ...],
        Meta(
            description="pages requested of the application before anybody else may: /path or host/path",
            examples=['[/, "/products?page=1", shop.example.com/cart]'],
        ),
    ] = ()
    chdir: Annotated[FilePath, Meta(description="working folder, also on sys.path")] = "."
    env_file: Annotated[
        FilePath | None,
        Meta(
            description="file of NAME=value lines for `env`, which goes before it, and for ${NAME}",
            examples=[".env"],
        ),
    ] = None
    env: Annotated[
        dict[Variable, str],
        Meta(
            description="environment variables for the application",
            examples=["{DJANGO_SETTINGS_MODULE: shop.settings}"],
        ),
    ] = field(default_factory=dict)
    user: Annotated[
        Account | None,
        Meta(
            description="user that workers run as, after binding, with its HOME; a number needs no name",
            examples=["www-data"],
        ),
    ] = None
    group: Annotated[
        Account | None,
        Meta(
            description="group of the workers; default: the user's, or the same number",
            examples=["www-data"],
        ),
    ] = None
    umask: Annotated[Octal | None, Meta(description="file mode mask of workers", examples=["0027"])] = None
    pidfile: Annotated[
        FilePath | None,
        Meta(description="file that holds the master's process id", examples=["/run/superwsgi/shop.pid"]),
    ] = None
    control: Annotated[
        ControlPath | None,
        Meta(
            description="socket of `superwsgi status`: a path or off; default: by the site's name",
            examples=["/run/superwsgi/shop.sock", "off"],
        ),
    ] = None
    memory: Annotated[
        Memory, Meta(description="what a worker may use: a size, or a share of what this process may use")
    ] = Memory()
    requests: Annotated[Requests, Meta(description="replacing workers by age in requests")] = Requests()
    timeouts: Annotated[Timeouts, Meta(description="every deadline")] = Timeouts()
    limits: Annotated[Limits, Meta(description="what a client may ask of a worker")] = Limits()
    proxy: Annotated[
        Proxy,
        Meta(description="who may say, in X-Forwarded-*, Forwarded or the PROXY protocol, who a client is"),
    ] = Proxy()
    tls: Annotated[
        TlsSettings, Meta(description="certificates for the addresses that begin with https://")
    ] = TlsSettings()
    log: Annotated[
        Log, Meta(description="two logs: - is stdout for access and stderr for error, off is none")
    ] = Log()
    rollout: Annotated[RollOutSettings, Meta(description="moving over to a new generation")] = (
        RollOutSettings()
    )
    hooks: Annotated[
        HookSettings, Meta(description="functions that are called in a worker's life: module:function")
    ] = HookSettings()
    monitor: Annotated[MonitorSettings, Meta(description="watching workers from the master")] = (
        MonitorSettings()
    )
