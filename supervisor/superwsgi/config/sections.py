"""The sections of the site file: keys whose values are mappings, each with its fields as in schema.py."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from msgspec import Meta, Struct

from superwsgi.config.kinds import (
    Account,
    Backlog,
    Bytes,
    Consent,
    Count,
    Deadline,
    FilePath,
    Function,
    HealthPath,
    HostName,
    LogFile,
    LogFormat,
    Network,
    PathPrefix,
    Places,
    PositiveCount,
    Processes,
    ProxyField,
    Sample,
    Seconds,
    ServerName,
    Share,
    Switch,
    ThreadCount,
    Threshold,
    Tolerance,
)
from superwsgi.config.listening import Address

ListenAddress = Annotated[Address, Meta(extra_json_schema={"unit": "address"})]


class Memory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`memory:` how much a worker may use before it is replaced. An int is bytes, a float a share."""

    soft: Annotated[
        Bytes | Share | None, Meta(description="recycle a worker above this", examples=["400M", "40%"])
    ] = None
    hard: Annotated[
        Bytes | Share | None, Meta(description="kill a worker above this at once", examples=["600M"])
    ] = None
    measure: Annotated[
        Literal["rss", "pss", "uss"], Meta(description="which figure is compared: rss, pss or uss")
    ] = "rss"


class Elastic(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`threads:` as a mapping: as many as are needed, within bounds."""

    min: Annotated[ThreadCount, Meta(description="threads that are always there")]
    max: Annotated[ThreadCount, Meta(description="started up to this many while requests wait")]
    idle: Annotated[Deadline, Meta(description="one that has not been needed for so long ends")] = 30.0


class ElasticWorkers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`workers:` as a mapping: as many as the load calls for, within bounds. `auto` is one per usable CPU,
    and gives way to a number beside it: on two CPUs `{min: 4, max: auto}` are four."""

    min: Annotated[
        Processes | Literal["auto"], Meta(description="workers that are always there; a number or auto")
    ]
    max: Annotated[
        Processes | Literal["auto"],
        Meta(description="started up to this many while requests wait, if memory allows; a number or auto"),
    ]


class Requests(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`requests:` recycling by number of requests, and by age. A `jitter` that is a float is a share."""

    max: Annotated[Count, Meta(description="recycle a worker after this many requests; 0 = never")] = 0
    age: Annotated[
        Threshold, Meta(description="recycle a worker after this long, plus up to a tenth; off: never")
    ] = 0.0
    jitter: Annotated[
        Count | Share,
        Meta(description="plus up to this many, drawn at random for each worker; 20%: of max and age"),
    ] = 0

    @property
    def most_extra(self) -> int:
        """Requests that a worker may answer beyond `max`."""
        return int(self.max * self.jitter) if isinstance(self.jitter, float) else self.jitter

    @property
    def extra_age(self) -> float:
        """The share of `age` that a worker may serve beyond it: without one, all that were forked together
        would have to go together."""
        return self.jitter if isinstance(self.jitter, float) else 0.1


class Timeouts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`timeouts:` every deadline."""

    boot: Annotated[Deadline, Meta(description="loading the application")] = 60.0
    head: Annotated[Deadline, Meta(description="receiving a request's head")] = 10.0
    proxy: Annotated[Deadline, Meta(description="receiving a PROXY protocol header")] = 5.0
    body: Annotated[Deadline, Meta(description="receiving a request's body, at a minimum rate")] = 30.0
    request: Annotated[Deadline, Meta(description="the application starting or continuing its response")] = (
        60.0
    )
    queue: Annotated[Seconds, Meta(description="a complete request waiting for a free thread")] = 30.0
    send: Annotated[Deadline, Meta(description="a client taking its response, at a minimum rate")] = 30.0
    keepalive: Annotated[Seconds, Meta(description="an idle connection between requests")] = 75.0
    graceful: Annotated[Seconds, Meta(description="draining a worker")] = 30.0
    linger: Annotated[Seconds, Meta(description="an idle connection while its worker drains")] = 2.0
    lame_duck: Annotated[Seconds, Meta(description="going on as before once a drain is asked for")] = 0.0


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`limits:` what a client may ask of a worker."""

    line: Annotated[Bytes, Meta(description="request line; 414 beyond")] = 8 << 10
    head: Annotated[Bytes, Meta(description="request head; 431 beyond")] = 64 << 10
    fields: Annotated[PositiveCount, Meta(description="header fields; 431 beyond")] = 100
    body: Annotated[Bytes, Meta(description="request body; 413 beyond; 0 = no limit")] = 100 << 20
    body_memory: Annotated[
        Bytes,
        Meta(description="request body kept in memory; in memory shared by all, or a file beyond"),
    ] = 256 << 10
    spool: Annotated[
        Bytes, Meta(description="temporary files per worker for what clients have not taken yet")
    ] = 4 << 30
    queue: Annotated[
        Count, Meta(description="complete requests per worker that wait for a thread; 503 beyond")
    ] = 500
    queue_age: Annotated[
        Threshold,
        Meta(description="503 for what would wait longer, once everything has for that long; off: never"),
    ] = 5.0
    connections: Annotated[PositiveCount, Meta(description="open connections per worker")] = 1000
    per_address: Annotated[
        Count, Meta(description="open connections per client address and worker; 429 beyond; 0 = no limit")
    ] = 0
    upgraded: Annotated[
        Places,
        Meta(
            description="connections per worker that an application has taken over (WebSocket); 503 beyond; "
            "off: none"
        ),
    ] = 100
    backlog: Annotated[Backlog, Meta(description="connections the kernel queues until they are accepted")] = (
        2048
    )

    @property
    def largest_body(self) -> int:
        """Bytes; also where there is no limit."""
        return self.body or sys.maxsize


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`log:` two logs; `-` is stdout (access) or stderr (error), `off` nothing, else a file."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="lowest level in the error log: debug, info, warning, error"),
    ] = "info"
    style: Annotated[
        Literal["text", "json"], Meta(description="error log's lines: text, or json (one object a line)")
    ] = "text"
    access: Annotated[LogFile, Meta(description="access log: - (stdout), off or a file")] = "-"
    error: Annotated[LogFile, Meta(description="error log: - (stderr), off or a file")] = "-"
    capture: Annotated[
        Switch,
        Meta(description="what the application prints goes to the error log, with its request's id"),
    ] = False
    format: Annotated[
        LogFormat,
        Meta(
            description="access log's format: combined, json or a template",
            examples=['"{time} {method} {target} {status} {duration}"'],
        ),
    ] = "combined"
    skip: Annotated[
        tuple[PathPrefix, ...],
        Meta(
            description="paths, with what is below them, of which only what went wrong or was slow is logged",
            examples=["[/healthz, /static]"],
        ),
    ] = ()
    sample: Annotated[
        Sample | Annotated[dict[PathPrefix, Sample], Meta(min_length=1)] | None,
        Meta(
            description="share of the other requests that is logged, also by path; the longest prefix wins",
            examples=["10%", "{/api: 10%, /feed: 0.1%}"],
        ),
    ] = None
    slow: Annotated[
        Threshold,
        Meta(description="log the stack of a request after this long without a sign of life; off: never"),
    ] = 5.0

    @property
    def samples(self) -> dict[str, float]:
        """By path, the share of requests there that `sample` says."""
        if isinstance(self.sample, dict):
            return self.sample
        return {} if self.sample is None else {"/": self.sample}

    @property
    def shares(self) -> dict[str, float]:
        """By path, the share of requests there and below that has a line in the access log, if they went
        well; below no path all have."""
        return {**self.samples, **dict.fromkeys(self.skip, 0.0)}


class Proxy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`proxy:` whom to believe about the client. A network is spelled `10.0.0.0/8`, `::1/128` or `unix`."""

    trusted: Annotated[
        tuple[Network, ...],
        Meta(
            description="peers to believe about their clients: networks or unix",
            examples=["[10.0.0.0/8, unix]"],
        ),
    ] = ("127.0.0.1/32", "::1/128")
    protocol: Annotated[
        Switch, Meta(description="every connection begins with a PROXY protocol header, version 1 or 2")
    ] = False
    prefix: Annotated[
        Switch, Meta(description="believe X-Forwarded-Prefix: what a trusted peer has taken from the path")
    ] = False
    fields: Annotated[
        tuple[ProxyField, ...],
        Meta(
            description="fields, also with _, that trusted peers alone may set: names, or beginnings with *",
            examples=["[OIDC_CLAIM_*, REMOTE_USER]"],
        ),
    ] = ()


class HealthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`health:` pages for balancers and probes, answered by each worker's loop without a thread."""

    live: Annotated[
        HealthPath | None,
        Meta(
            description="path that answers 200 while a worker's loop turns; if none does, nothing answers",
            examples=["/livez"],
        ),
    ] = None
    ready: Annotated[
        HealthPath | None,
        Meta(
            description="path that answers 200, and 503 once the site stops or no worker is to serve",
            examples=["/readyz"],
        ),
    ] = None
    bind: Annotated[
        tuple[ListenAddress, ...],
        Meta(
            description="more addresses, on which these paths are answered and nothing else",
            examples=['"127.0.0.1:8001"'],
        ),
    ] = ()


class AdminSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`admin:` a process of its own, with a page, metrics and an interface to act on the site."""

    bind: Annotated[
        tuple[ListenAddress, ...],
        Meta(
            description="where its page and metrics are; default: there is no such process",
            examples=['"127.0.0.1:9000"', "{unix: run/admin.sock, mode: 0660}"],
        ),
    ] = ()
    token: Annotated[
        str | None,
        Meta(
            description="secret for whatever changes something, and for all where other machines can ask",
            examples=["${file:admin.token}"],
        ),
    ] = None
    user: Annotated[
        Account | None,
        Meta(
            description="who it runs as where superwsgi is started by root; default: nobody",
            examples=["superwsgi-admin"],
        ),
    ] = None
    hosts: Annotated[
        tuple[HostName, ...],
        Meta(description="more host names by which it is asked", examples=["[ops.example.com]"]),
    ] = ()


class MetricsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`metrics:` what /metrics of the admin process has beyond the site's own numbers."""

    app: Annotated[
        Switch, Meta(description="also the application's own metrics, of prometheus_client, over all workers")
    ] = False
    paths: Annotated[
        Switch, Meta(description="also answers and latencies by method and path, such as /orders/*")
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
            description="PEM file: certificate, its chain, and the key unless tls.key is set",
            examples=["/etc/letsencrypt/live/example.com/fullchain.pem"],
        ),
    ] = None
    key: Annotated[
        FilePath | None,
        Meta(
            description="PEM file of the private key, unencrypted",
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
            description="PEM file of the authorities that sign client certificates", examples=["staff-ca.pem"]
        ),
    ] = None
    client: Annotated[
        Literal["required", "optional"] | None,
        Meta(
            description="whether clients need a certificate; default: required if client_ca is set",
            examples=["optional"],
        ),
    ] = None


class RollOutSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rollout:` how the workers move over to a new generation."""

    overlap: Annotated[
        Consent, Meta(description="start new processes beside the old ones; no: once those are gone")
    ] = True
    before: Annotated[
        str | None,
        Meta(
            description="shell command that must succeed before a generation is loaded",
            examples=["python manage.py migrate --check"],
        ),
    ] = None
    proof: Annotated[
        Seconds, Meta(description="how long the first new worker serves before any other moves over")
    ] = 1.0
    batch: Annotated[PositiveCount, Meta(description="workers replaced at a time, after the first")] = 1
    confirm: Annotated[
        Seconds, Meta(description="how long all new workers must serve before the old generation goes")
    ] = 10.0
    max_failures: Annotated[
        PositiveCount, Meta(description="crashes of new workers within that time that cause a rollback")
    ] = 3
    max_errors: Annotated[
        Tolerance,
        Meta(description="tolerated share of 5xx in a page's answers beyond what it was before; off: any"),
    ] = 0.01


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
            description="called in each worker once the application is loaded",
            examples=["shop.hooks:after_fork"],
        ),
    ] = None
    worker_exit: Annotated[
        Function | None,
        Meta(description="called in each worker as it ends", examples=["shop.hooks:worker_exit"]),
    ] = None


class MonitorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`monitor:` how the master watches workers."""

    interval: Annotated[
        Deadline, Meta(description="time between checks of the workers' memory and heartbeat")
    ] = 1.0
