"""Images and pods for a site: what they say fits its file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from superwsgi.config.schema import Site
from superwsgi.deployment import units
from superwsgi.deployment.around import containers
from tests.config.sites import loaded
from tests.deployment.places import place

BEGIN = "name: shop\napp: app:app\n"
TEXT = """\
bind: ${BIND:-127.0.0.1:9000}
threads: 16
env: {DJANGO_SETTINGS_MODULE: shop.settings, KEY: "${KEY:-a: b}"}
env_file: .env
memory: {soft: 200M, hard: 300M}
health: {live: /alive, ready: /ready}
timeouts: {boot: 3m, graceful: 1m, request: 2m}
log: {access: log/access.log, slow: 9s, capture: off}
proxy: {trusted: [unix], protocol: off}
companions: {mail: {command: "celery -A shop worker", graceful: 90s, memory: {hard: 100M}}}
user: www-data
limits: {body: 1G}
"""


def pods(folder: Path, text: str, **facts: Any) -> tuple[Site, dict[str, Any], dict[str, Any], str]:
    """The site in a pod, the pod, its container, and all of the text."""
    (folder / ".env").touch()
    where = place(folder, text, **facts)
    raw = containers.written(f"name: shop\napp: app:app\n{text}")
    whole = containers.kubernetes(where, raw)
    config, deployment, _ = yaml.safe_load_all(whole)
    pod = deployment["spec"]["template"]["spec"]
    return loaded(folder, config["data"]["site.yaml"]), pod, pod["containers"][0], whole


def test_a_pod_has_the_patience_and_the_room_that_the_site_asks_for(tmp_path: Path) -> None:
    site, pod, container, _ = pods(tmp_path, TEXT)
    startup, readiness = container["startupProbe"], container["readinessProbe"]
    assert pod["terminationGracePeriodSeconds"] > units.stop_time(site) - units.MARGIN
    assert startup["periodSeconds"] * startup["failureThreshold"] > site.timeouts.boot
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < site.timeouts.lame_duck
    assert startup["httpGet"]["path"] == site.health.ready == "/ready"
    assert str(site.bind[0]) == f"0.0.0.0:{container['ports'][0]['containerPort']}" == "0.0.0.0:9000"
    room = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert room == 300 * 6 + 100 + 256
    assert container["envFrom"] == [{"secretRef": {"name": "shop"}}]


def test_the_site_in_a_pod_is_the_same_but_for_its_place(tmp_path: Path) -> None:
    site, *_ = pods(tmp_path, TEXT)
    assert site.timeouts.request == 120
    assert site.limits.body == 1 << 30
    assert site.most_threads == 16
    assert site.env == {"DJANGO_SETTINGS_MODULE": "shop.settings", "KEY": "a: b"}
    assert site.log.slow == 9
    assert (site.log.access, site.user, site.env_file, site.chdir) == ("-", None, None, "/srv/shop")
    assert site.companions["mail"].graceful == 90  # type: ignore[union-attr]


def test_folders_of_files_are_where_the_image_has_them(tmp_path: Path) -> None:
    text = "static: {/static: ./public}\nsendfile: {/protected: /srv/files}\n"
    where = place(tmp_path, text, file=f"{tmp_path}/site.yaml")
    config, *_ = yaml.safe_load_all(containers.kubernetes(where, containers.written(text)))
    said = yaml.safe_load(config["data"]["site.yaml"])
    assert (said["static"], said["sendfile"]) == (
        {"/static": "/srv/shop/public"},
        {"/protected": "/srv/files"},
    )


def test_a_site_that_says_little(tmp_path: Path) -> None:
    site, _, container, whole = pods(tmp_path, "")
    assert site.memory.hard == 0.45
    assert container["resources"]["limits"]["memory"] == "512Mi"
    assert "envFrom" not in container
    assert "# envFrom" in whole


def test_several_applications_and_a_file_of_one(tmp_path: Path) -> None:
    where = place(tmp_path)
    apps = {"/": "/home/visitor/shop/deploy/shop.wsgi:application", "api.example.com/v1": "api:create_app()"}
    text = containers.kubernetes(place(tmp_path, file=where.file), {})
    assert "app: app:app\n" in text
    several = Site(name="Shop_1", apps=apps, chdir="/home/visitor/shop/src")
    config, deployment, _ = yaml.safe_load_all(containers.kubernetes(replaced(where, several), {}))
    assert deployment["metadata"]["name"] == "shop-1"
    site = yaml.safe_load(config["data"]["site.yaml"])
    assert site["apps"]["/"] == "/srv/Shop_1/deploy/shop.wsgi:application"
    assert site["chdir"] == "/srv/Shop_1/src"


def test_what_a_variable_stands_for_is_not_in_a_pod(tmp_path: Path) -> None:
    secret = Site(name="shop", apps={"/": "app:make('s3cret')"}, chdir="/home/visitor/shop")
    where = replaced(place(tmp_path), secret)
    text = containers.kubernetes(where, {"app": "app:make('${KEY}')"})
    assert "s3cret" not in text
    (config, _, _) = yaml.safe_load_all(text)
    assert yaml.safe_load(config["data"]["site.yaml"])["app"] == "app:make('${KEY}')"


def replaced(where: Any, site: Site) -> Any:
    return type(where)(**{name: getattr(where, name) for name in where.__slots__} | {"site": site})


def image(folder: Path, text: str, *files: str) -> str:
    (folder / ".env").touch()
    site = loaded(folder, BEGIN + text)
    return containers.docker(site, "/srv/site.yaml", containers.written(text), frozenset(files), "3.13")


@pytest.mark.parametrize(
    ("files", "steps"),
    [
        (
            ["requirements.txt", "pyproject.toml"],
            r"COPY requirements\.txt .*\nRUN pip .* -r requirements\.txt\nCOPY",
        ),
        (["pyproject.toml"], r"COPY \. \.\nRUN pip install \S+ superwsgi \."),
        ([], r"RUN pip install \S+ superwsgi\nCOPY"),
        (
            ["requirements.txt", "superwsgi-1.0-py3-none-any.whl"],
            r"COPY superwsgi-1\.0\S+ requirements\.txt \./\nRUN pip install \S+ \./superwsgi-1\.0\S+ -r",
        ),
    ],
)
def test_an_image_installs_what_the_project_names(tmp_path: Path, files: list[str], steps: str) -> None:
    assert re.search(steps, image(tmp_path, TEXT, *files))


def test_an_image_listens_where_others_reach_it(tmp_path: Path) -> None:
    text = image(tmp_path, TEXT)
    assert "\nENV BIND=0.0.0.0:9000\nEXPOSE 9000\n" in text
    assert '-v "$PWD/.env:/srv/shop/.env:ro"' in text
    (probe,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)
    assert "http://127.0.0.1:9000/ready" in json.loads(probe)[2]
    (command,) = re.findall(r"^CMD (.*)$", text, re.MULTILINE)
    assert json.loads(command) == ["superwsgi", "-c", "site.yaml"]
    assert "USER 10001" in text


@pytest.mark.parametrize(
    ("text", "extras"),
    [
        ("admin: {bind: 127.0.0.1:9001}\n", "admin"),
        ("static: {/static: ./public}\ngreen: 100\n", "static,green"),
    ],
)
def test_an_image_with_extras(tmp_path: Path, text: str, extras: str) -> None:
    assert f"'superwsgi[{extras}]'" in image(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("", False),
        ("bind: ':8000'", True),
        ("bind: '${BIND:-127.0.0.1:8000}'", True),
        ("bind: unix:a.sock", False),
    ],
)
def test_who_reaches_a_container(tmp_path: Path, text: str, reached: bool) -> None:
    site = loaded(tmp_path, BEGIN + text)
    assert containers.reachable(site, containers.written(text)) is reached


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("log: {access: /var/log/a.log, error: '-'}\npidfile: /run/shop.pid", ["log.access", "pidfile"]),
        ("log: {error: /tmp/a.log, access: 'off'}", []),
        ("bind: unix:/srv/run/a.sock\ncontrol: /srv/c.sock", ["bind", "control"]),
        ("bind: '${BIND:-unix:/srv/run/a.sock}'", []),
    ],
)
def test_what_keeps_a_site_from_starting_in_an_image(tmp_path: Path, text: str, keys: list[str]) -> None:
    found = containers.unwritable(loaded(tmp_path, BEGIN + text), containers.written(text))
    assert [each.partition(":")[0] for each in found] == keys
