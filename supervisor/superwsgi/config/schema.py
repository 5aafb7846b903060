"""The site file's keys as typed data: one field a setting, with its default, unit and one line of help.

The reference site file, the errors of the loader and the documentation come from these fields. Here are those
of the top, in sections.py those that are mappings themselves; the kinds of their values are in kinds.py.
Nothing here touches the outside: no DNS, no files, no users, no imports of the application.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote

from msgspec import Meta, Struct, field

from superwsgi.config.kinds import (
    Account,
    Command,
    CompanionName,
    ControlPath,
    Cooling,
    FilePath,
    GreenCount,
    ImportString,
    Mount,
    Octal,
    PathPrefix,
    Processes,
    RootPath,
    RulePath,
    SiteName,
    ThreadCount,
    Variable,
)
from superwsgi.config.listening import Address, TcpAddress
from superwsgi.config.parts.companions import CompanionSettings
from superwsgi.config.parts.paths import PathRule
from superwsgi.config.sections import (
    AdminSettings,
    Elastic,
    ElasticWorkers,
    HealthSettings,
    HookSettings,
    Limits,
    ListenAddress,
    Log,
    Memory,
    MetricsSettings,
    MonitorSettings,
    Proxy,
    Requests,
    RollOutSettings,
    Timeouts,
    TlsSettings,
)
from superwsgi.config.sources import Source

Application = Annotated[
    ImportString,
    Meta(
        description="the application: module:attribute, module:factory(), a file or a Paste file",
        examples=["shop.wsgi:application"],
    ),
]
"""`app:` in a site file, short for `apps: {/: ...}`; a Site has `apps` alone."""


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
            description="the site's name; default: that of the file, or of its folder for site.yaml etc.",
            examples=["shop"],
        ),
    ]
    bind: Annotated[
        tuple[ListenAddress, ...],
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
    root: Annotated[
        RootPath,
        Meta(
            description="path that the whole site is below; paths of other keys begin there",
            examples=["/shop"],
        ),
    ] = "/"
    workers: Annotated[
        Processes | Literal["auto"] | ElasticWorkers,
        Meta(
            description="worker processes: a number, auto (one per usable CPU), or as load calls for",
            examples=["{min: 2, max: 8}"],
        ),
    ] = "auto"
    threads: Annotated[
        ThreadCount | Elastic,
        Meta(
            description="requests a worker runs at once: a number, or as needed; idle threads end",
            examples=["8"],
        ),
    ] = Elastic(min=4, max=32)
    green: Annotated[
        GreenCount,
        Meta(
            description="instead of threads: so many greenlets, for requests that mostly wait; extra `green`",
            examples=["2000"],
        ),
    ] = 0
    queue: Annotated[
        Literal["fair", "fifo"],
        Meta(description="which waiting request is next: fair (quick pages pass slow ones) or fifo"),
    ] = "fair"
    paths: Annotated[
        dict[RulePath, PathRule],
        Meta(
            description="rules for some requests by /prefix, host or host/prefix; the longest prefix wins",
            examples=[
                "{/reports: {request: 5m, slow: 1m, threads: 2}, /upload: {body: 2G}, /healthz: {log: off}}"
            ],
        ),
    ] = field(default_factory=dict)
    static: Annotated[
        dict[RulePath, FilePath],
        Meta(
            description="files, before the application: folders by /prefix or host/prefix; extra `static`",
            examples=["{/static: ./public}"],
        ),
    ] = field(default_factory=dict)
    sendfile: Annotated[
        dict[PathPrefix, FilePath],
        Meta(
            description="folders of files that it may name: X-Accel-Redirect by prefix, X-Sendfile by path",
            examples=["{/protected: /srv/files}"],
        ),
    ] = field(default_factory=dict)
    preload: Annotated[
        bool | Literal["auto"],
        Meta(description="import the application once, before forking; auto: unless a fork would break it"),
    ] = "auto"
    warmup: Annotated[
        tuple[Annotated[str, Meta(extra_json_schema={"unit": "page"})], ...],
        Meta(
            description="pages to request before any client may: /path or host/path",
            examples=['[/, "/products?page=1", shop.example.com/cart]'],
        ),
    ] = ()
    chdir: Annotated[FilePath, Meta(description="working folder, also on sys.path")] = "."
    env_file: Annotated[
        FilePath | None,
        Meta(
            description="file of NAME=value lines, for the environment (`env` wins) and for ${NAME}",
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
            description="user that workers run as once sockets are bound, by name or number; sets HOME",
            examples=["www-data"],
        ),
    ] = None
    group: Annotated[
        Account | None,
        Meta(
            description="group that workers run as; default: the user's, or the same number",
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
            description="socket for `superwsgi status`: a path or off; default: named after the site",
            examples=["/run/superwsgi/shop.sock", "off"],
        ),
    ] = None
    memory: Annotated[
        Memory, Meta(description="what a worker may use: a size, or a share of the memory there is")
    ] = Memory()
    requests: Annotated[Requests, Meta(description="replacing workers after so many requests")] = Requests()
    quarantine: Annotated[
        Cooling,
        Meta(
            description="pages that end workers again and again are answered 503: for so long; on: 5m",
            examples=["on"],
        ),
    ] = 0.0
    timeouts: Annotated[Timeouts, Meta(description="every deadline")] = Timeouts()
    limits: Annotated[Limits, Meta(description="what a client may ask of a worker")] = Limits()
    proxy: Annotated[
        Proxy,
        Meta(description="proxies that say who a client is: X-Forwarded-*, Forwarded, PROXY protocol"),
    ] = Proxy()
    health: Annotated[
        HealthSettings,
        Meta(description="pages that tell balancers whether it lives and is ready, without the application"),
    ] = HealthSettings()
    admin: Annotated[
        AdminSettings, Meta(description="page, metrics and actions, in a process of its own; extra `admin`")
    ] = AdminSettings()
    metrics: Annotated[MetricsSettings, Meta(description="what is in /metrics, see admin")] = (
        MetricsSettings()
    )
    tls: Annotated[
        TlsSettings, Meta(description="certificates for the addresses that begin with https://")
    ] = TlsSettings()
    log: Annotated[
        Log, Meta(description="two logs: - is stdout for access and stderr for error, off writes none")
    ] = Log()
    rollout: Annotated[RollOutSettings, Meta(description="moving over to a new generation")] = (
        RollOutSettings()
    )
    companions: Annotated[
        dict[CompanionName, CompanionSettings | Command],
        Meta(
            description="programs of the release that serve no requests, kept running, by name",
            examples=[
                '{mail: "celery -A shop worker"}',
                '{beat: {command: "celery -A shop beat", count: 1, graceful: 5s, memory: {hard: 300M}}}',
            ],
        ),
    ] = field(default_factory=dict)
    hooks: Annotated[
        HookSettings, Meta(description="functions to call at points in a worker's life: module:function")
    ] = HookSettings()
    monitor: Annotated[MonitorSettings, Meta(description="how the master watches workers")] = (
        MonitorSettings()
    )

    sources: dict[str, Source] = field(default_factory=dict)
    """No key: where those that are set were written, without any value."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All that it listens on."""
        return self.bind + self.health.bind

    @property
    def script_name(self) -> str:
        """`root` as SCRIPT_NAME has it (PEP 3333): empty, or the bytes of UTF-8 as latin-1."""
        return self.root.rstrip("/").encode().decode("latin-1")

    def page(self, address: str) -> str:
        """Where clients find it at an address, which is a URL unless it is a unix socket."""
        return address + quote(self.root.rstrip("/")) if address.startswith("http") else address

    @property
    def all_companions(self) -> dict[str, CompanionSettings]:
        """Each with its settings, also those that are a command alone."""
        return {
            name: CompanionSettings(command=each) if isinstance(each, str) else each
            for name, each in self.companions.items()
        }

    @property
    def worker_bounds(self) -> tuple[int | Literal["auto"], int | Literal["auto"]]:
        """The fewest workers and the most; both are the same where the number is fixed."""
        if isinstance(self.workers, ElasticWorkers):
            return self.workers.min, self.workers.max
        return self.workers, self.workers

    @property
    def model(self) -> Literal["green", "threads"]:
        """The key that says what runs requests."""
        return "green" if self.green else "threads"

    @property
    def most_threads(self) -> int:
        """Requests that a worker runs at once, at most."""
        if self.green:
            return self.green
        return self.threads.max if isinstance(self.threads, Elastic) else self.threads

    @property
    def native_threads(self) -> int:
        """Threads that run the application in a worker, at most, as the system counts them: greenlets share
        one."""
        return 1 if self.green else self.most_threads

    @property
    def upgraded_threads(self) -> int:
        """Those that upgraded connections may keep in a worker, beside these."""
        return 0 if self.green else self.limits.upgraded

    @property
    def elastic(self) -> Elastic:
        """The bounds of a worker's threads; both are the same where the number is fixed."""
        if self.green:
            return Elastic(min=1, max=self.green)
        if isinstance(self.threads, Elastic):
            return self.threads
        return Elastic(min=self.threads, max=self.threads)
