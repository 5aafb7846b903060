"""Files of the repository that are made from the schema of the site file: config/reference.yaml; and from the
templates of superwsgi: what is in front of it or around it, and the units of systemd for any site.
`python -m tests.generate` writes them anew; tests say when it has to.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from superwsgi.config.listening import TcpAddress, UnixAddress
from superwsgi.config.loading import load
from superwsgi.config.schema import Site
from superwsgi.config.shown.reference import reference
from superwsgi.deployment import units
from superwsgi.deployment.around import containers, fronts
from superwsgi.deployment.installation import DYNAMIC, Installation
from superwsgi.deployment.text.filling import filled

REPOSITORY = Path(__file__).parents[1]
ANEW = "is not what schema and templates say: run python -m tests.generate"


def generated() -> dict[Path, str]:
    """The text that each of them should have."""
    return {
        REPOSITORY / "config/reference.yaml": reference(),
        REPOSITORY / "config/nginx.conf": fronts.nginx(
            example("nginx"), "behind-nginx.yaml", "/etc/ssl/shop.pem", "/etc/ssl/shop.key"
        ),
        REPOSITORY / "config/haproxy.cfg": fronts.haproxy(
            example("haproxy"), "behind-haproxy.yaml", "/etc/ssl/shop-with-key.pem"
        ),
        REPOSITORY / "config/kubernetes.yaml": kubernetes(),
        REPOSITORY / "systemd/superwsgi@.service": for_any("service", _SERVICE),
        REPOSITORY / "systemd/superwsgi@.socket": for_any("socket", _SOCKET),
    }


_SERVICE = """\
# One site a file: `systemctl enable --now superwsgi@shop` serves /etc/superwsgi/shop.yaml, with superwsgi in
# /usr/local/bin and the code outside of /home. For a single site: `superwsgi unit`.
# Sites differ: `systemctl edit superwsgi@shop` takes back for one what is too strict for it."""
_SOCKET = """\
# With it, systemd binds the port of a site whose file says `bind: systemd`, and starts the site with the
# first connection, or before: `systemctl enable --now superwsgi@shop.socket superwsgi@shop.service`. Give
# each site its own address: `systemctl edit superwsgi@shop.socket`, there ListenStream= and then
# ListenStream=443."""


def example(front: str) -> Site:
    """The site file for it, in the place that it speaks of."""
    site = load(REPOSITORY / f"config/behind-{front}.yaml", {})
    (address,) = site.bind
    if isinstance(address, UnixAddress):
        address = UnixAddress("/srv/shop/run/shop.sock")
    return msgspec.structs.replace(site, bind=(address,), chdir="/srv/shop")


def kubernetes() -> str:
    site = Site(name="shop", apps={"/": "shop.wsgi:application"}, chdir="/srv/shop")
    return containers.kubernetes(installation(site), {"threads": "8"})


def installation(site: Site) -> Installation:
    """Of a file in /etc/superwsgi."""
    return Installation(
        site=site,
        file="/etc/superwsgi/SITE.yaml",
        command=("/usr/local/bin/superwsgi",),
        folders=(),
        user=DYNAMIC,
        owner=False,
        workers=1,
    )


def for_any(template: str, head: str) -> str:
    """A unit whose instances are the sites of /etc/superwsgi, which may have ports below 1024."""
    site = Site(name="%i", apps={"/": "app:app"}, chdir="/srv", bind=(TcpAddress("", 80),))
    place = installation(site)
    values = {
        **units.values(place),
        **units.socket_values(place, "", "80"),
        "head": head,
        "stop_seconds": None,
    }
    return filled(template, values).replace("SITE", "%i")


if __name__ == "__main__":
    for path, text in generated().items():
        if path.read_text() != text:
            path.write_text(text)
            print(f"{path.relative_to(REPOSITORY)}: written anew")
