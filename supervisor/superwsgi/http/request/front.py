"""What a site file says of the way to its application: who may say what about clients, and below which path
it is. Made once for a worker, for all of its connections.
"""

from __future__ import annotations

from superwsgi.config.schema import Site
from superwsgi.http.claims import SiteClaims
from superwsgi.http.fields import FROM_OTHERS, FROM_TRUSTED, EnvironKeys
from superwsgi.http.request.root import Root


class Front:
    """The keys for fields of peers that are `believed` about their clients, and of `others`; `root` is None
    where all paths are the site's and nobody takes anything from them."""

    __slots__ = ("believed", "others", "root")

    def __init__(
        self,
        believed: EnvironKeys = FROM_TRUSTED,
        others: EnvironKeys = FROM_OTHERS,
        root: Root | None = None,
    ) -> None:
        self.believed = believed
        self.others = others
        self.root = root


def front_of(site: Site) -> Front:
    prefixed, script_name = site.proxy.prefix, site.script_name
    checks = [path for path in (site.health.live, site.health.ready) if path is not None]
    root = Root(script_name, prefixed=prefixed, checks=checks) if script_name or prefixed else None
    if not prefixed and not site.proxy.fields:
        return Front(root=root)
    named = SiteClaims(site.proxy.fields) if site.proxy.fields else None
    return Front(
        EnvironKeys(believed=True, named=named, prefixed=prefixed),
        EnvironKeys(believed=False, named=named, prefixed=prefixed),
        root,
    )
