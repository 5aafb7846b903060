"""Claims: fields about what only a proxy can know, such as who the client is, how and where it connected.

Applications, frameworks and their extensions look for them under many names, each used by some proxy, cloud
or content network. From an untrusted peer they are the client's own word, and never reach the application;
those from a trusted peer are passed on as they are, since only the operator knows which of them that proxy
sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_BY_SOURCE: Final[dict[str, tuple[str, ...]]] = {
    "RFC 7239": ("forwarded",),
    "X-Forwarded-For and its like, as django-ipware, request-ip and others look for them": (
        *("x-forwarded", "x-forwarded-for", "forwarded-for", "forwarded-for-ip", "x-forward-for"),
        *("x-forwarded-proto", "x-forwarded-protocol", "x-forwarded-scheme", "x-forwarded-ssl"),
        *("x-forwarded-host", "x-forwarded-server", "x-forwarded-port", "x-forwarded-by"),
        *("x-forwarded-prefix", "x-forwarded-path", "x-forwarded-client-cert", "x-forwarded-user"),
    ),
    "nginx, its habit": ("x-real-ip", "x-real-port", "x-scheme"),
    "ingress-nginx": ("x-original-forwarded-for", "x-original-uri"),
    "Apache's mod_remoteip, Azure App Service": ("x-client-ip", "x-client-port"),
    "Rackspace, Riverbed": ("x-cluster-client-ip", "cluster-client-ip"),
    "NetScaler; Rails and PHP applications ask for it": ("client-ip", "http-client-ip"),
    "Akamai, Cloudflare": ("true-client-ip", "x-true-client-ip", "akamai-client-ip"),
    "Cloudflare": ("cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4", "cf-visitor"),
    "Fastly": ("fastly-client-ip", "fastly-ssl", "fastly-temp-xff"),
    "Amazon CloudFront": ("cloudfront-viewer-address", "cloudfront-forwarded-proto"),
    "Google App Engine and other services": (
        *("x-appengine-user-ip", "x-appengine-remote-addr", "x-proxyuser-ip", "x-google-real-ip"),
    ),
    "Azure Front Door, Application Gateway, App Service": (
        *("x-azure-clientip", "x-azure-socketip", "x-original-host", "disguised-host"),
        *("was-default-hostname", "x-arr-ssl"),
    ),
    "Fly.io": ("fly-client-ip", "fly-forwarded-port", "fly-forwarded-proto", "fly-forwarded-ssl"),
    "Vercel": ("x-vercel-forwarded-for", "x-vercel-proxied-for"),
    "Netlify": ("x-nf-client-connection-ip",),
    "DigitalOcean": ("do-connecting-ip",),
    "Alibaba": ("ali-cdn-real-ip", "ali-real-client-ip"),
    "Huawei, ChinaCache and other networks in China": ("cdn-src-ip", "cdn-real-ip", "x-cdn-src-ip"),
    "Tencent EdgeOne": ("eo-connecting-ip", "eo-client-ip", "edge-inner-client-ip"),
    "Imperva": ("incap-client-ip", "x-incap-client-ip"),
    "Sucuri": ("x-sucuri-clientip", "x-sucuri-client-ip"),
    "StackPath": ("x-sp-forwarded-ip", "x-sp-edge-ip", "x-sp-edge-scheme"),
    "F5": ("rlnclientipaddr",),
    "Ezoic, GTranslate": ("x-middleton-ip", "x-gt-viewer-ip"),
    "Envoy and Istio": (
        *("x-envoy-external-address", "x-envoy-internal", "x-envoy-original-path"),
        *("x-envoy-original-host", "x-envoy-original-dst-host"),
    ),
    "WebLogic's plug-ins": ("wl-proxy-client-ip", "proxy-client-ip", "wl-proxy-ssl"),
    "ASP.NET Core, for what it has replaced": (
        *("x-original-for", "x-original-proto", "x-original-prefix", "x-original-remote-endpoint"),
    ),
    "HAProxy, option originalto": ("x-original-to",),
    "Exchange and webmail": ("x-originating-ip",),
    "IIS and its URL rewriting, Symfony": ("front-end-https", "x-original-url", "x-rewrite-url"),
    "deployments below a prefix, as snippets of Flask's and Gunicorn's have it": (
        *("x-script-name", "script-name", "path-info"),
    ),
    "lists of names in applications and their extensions": (
        *("remote-addr", "remote-host", "remote-port", "remote-ip"),
        *("x-remote-addr", "x-remote-host", "x-remote-ip", "x-remote-port"),
        *("real-ip", "x-true-ip", "x-ip", "x-connecting-ip", "x-device-ip", "x-user-ip", "x-coming-from"),
        *("x-source-ip", "source-ip", "x-host", "x-http-host-override", "https", "x-https"),
        *("x-url-scheme", "x-protocol-scheme"),
    ),
    "the id by which proxies and applications follow a request": ("x-request-id",),
}

FORWARDING: Final = {name: source for source, names in _BY_SOURCE.items() for name in names}
"""Name in lower case → where it comes from."""

UNDERSTOOD: Final = frozenset(
    {
        *("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"),
        *("x-forwarded-ssl", "x-forwarded-protocol"),
    }
)
"""Those that we use ourselves if the peer is trusted: forwarded.py."""

# Names that the next proxy may use: any with `forwarded` in it, and any that ends in the address, scheme,
# host or port of somebody on the way.
_FAMILY: Final = re.compile(
    r"forwarded|^x-forward-"
    r"|(?:client|real|true|connecting|remote|source|src|user|viewer|visitor|origin|original|originating|socket)"
    r"-?(?:ip(?:-?v[46])?|(?:ip-?)?addr(?:ess)?)$"
    r"|(?:client|viewer|visitor|edge|url|original)-(?:proto(?:col)?|scheme|ssl|tls|host|port)$"
)


def is_claim(lower: str) -> bool:
    """Whether a field of this name, in lower case, is a claim."""
    return lower in FORWARDING or _FAMILY.search(lower) is not None


class SiteClaims:
    """Those that a site names itself (`proxy.fields`), by name or by how names begin: what the proxy has
    found out about a user, say.

    `X_User`, `X-User` and `x-USER` become one variable, so each has one spelling, but for its case: `-` and
    `_` as the site spells them, behind a beginning only that which it ends in. The longest beginning wins.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._names: dict[str, str] = {}  # the spelling in lower case, by that with `_` alone
        self._beginnings: dict[str, str] = {}
        for pattern in sorted(patterns, key=len, reverse=True):
            lower = pattern.lower()
            bare = lower.removesuffix("*")
            (self._names if bare == lower else self._beginnings)[bare.replace("-", "_")] = bare
        self._longest_first = tuple(self._beginnings)

    def pattern(self, lower: str) -> str:
        """The one that has a field of this name, in lower case and in whatever spelling; or empty."""
        variable = lower.replace("-", "_")
        if variable in self._names:
            return self._names[variable]
        for beginning in self._longest_first:
            if variable.startswith(beginning) and variable != beginning:
                return self._beginnings[beginning] + "*"
        return ""


def is_spelled(lower: str, pattern: str) -> bool:
    """Whether a name, in lower case, is spelled as the pattern that has it."""
    if not pattern.endswith("*"):
        return lower == pattern
    beginning = pattern[:-1]
    other = "_" if beginning.endswith("-") else "-"
    return lower.startswith(beginning) and other not in lower[len(beginning) :]
