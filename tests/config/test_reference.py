"""The documents made from the schema, and the site files that come with superwsgi."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from superwsgi.config.loading import load
from superwsgi.config.schema import Site
from superwsgi.config.shown.effective import keys
from superwsgi.config.shown.reference import markdown_table, reference
from superwsgi.config.text.reader import SITE, key_paths
from tests.config.sites import loaded, values
from tests.generate import ANEW, generated

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_what_is_committed_is_what_is_generated(path: Path) -> None:
    assert path.read_text() == generated()[path], f"{path.name} {ANEW}"


def test_the_reference_loads_to_the_defaults() -> None:
    site = load(CONFIG / "reference.yaml", {})
    assert values(site) == Site(name="reference", apps={"/": "shop.wsgi:application"}, chdir=str(CONFIG))


def test_the_reference_has_every_key() -> None:
    words = re.findall(r"^(?:  )?(?:# )?(\w+):", reference(), re.MULTILINE)
    words += re.findall(r"(\w+): ", re.search(r"^threads: {(.*)}", reference(), re.MULTILINE)[1])
    assert set(words) == {path.rpartition(".")[2] for path in key_paths(SITE)} | {"app"}


def test_every_example_of_the_reference_loads(tmp_path: Path) -> None:
    """Each commented key, in the place of its default, is a site file too."""
    (tmp_path / ".env").touch()
    (tmp_path / "admin.token").write_text("0123456789abcdef")
    for example in re.findall(r"^ *# \w+: .*$", reference(), re.MULTILINE):
        key = example.split()[1]
        text = in_company(key, example)
        without = re.sub(
            rf"^ *{'(app|apps)' if key == 'apps:' else key.rstrip(':')}: .*\n", "", text, flags=re.MULTILINE
        )
        site = loaded(tmp_path, without.replace(example, example.replace("# ", "", 1), 1))
        assert values(site) != values(load(CONFIG / "reference.yaml", {})), example
        assert [*keys(site)]  # it can be shown


def in_company(key: str, example: str) -> str:
    """The reference with the other keys that an example makes no sense without."""
    text = reference()
    if key == "green:":
        text = re.sub(r"^threads: .*\n", "", text, flags=re.MULTILINE)
    keys = ("certificate:", "key:", "sni:", "client_ca:", "client:")
    if key in keys or "https://" in example:
        text = text.replace("\nbind: ", "\nbind: https://" if key in keys else "\nbind: ")
        for other in {"certificate:", "client_ca:"} - {key}:
            text = text.replace(f"# {other}", other)
    if key in ("token:", "hosts:") or "superwsgi-admin" in example:
        text = re.sub(r"bind: \[\] *# where its page.*", "bind: 127.0.0.1:9000", text)
    return text.replace("# ready:", "ready:") if "127.0.0.1:8001" in example else text


def test_the_table_has_every_key_with_a_value() -> None:
    rows = markdown_table().splitlines()
    sections = (
        "memory",
        "requests",
        "timeouts",
        "limits",
        "proxy",
        "health",
        "admin",
        "metrics",
        "tls",
        "log",
        "rollout",
        "hooks",
        "monitor",
    )
    all_keys = [re.findall(r"`([\w.*]+)`", row)[0] for row in rows[2:]]
    assert [key for key in all_keys if key.startswith("paths.")] == [
        f"paths.*.{key}" for key in ("request", "slow", "threads", "body", "log")
    ]
    keys = [key for key in all_keys if "*" not in key]
    assert keys == ["app", *(path for path in key_paths(SITE) if path not in sections)]
    assert "companions.*.graceful" in all_keys
    assert all(row.count("|") == 4 for row in rows)
    assert "| `timeouts.boot` | `60s` | loading the application |" in rows


@pytest.mark.parametrize(
    ("name", "environ", "app"),
    [
        ("site", {}, "superwsgi.demo:application"),
        ("flask", {"SECRET_KEY": "x"}, "app:app"),
        ("django", {}, "shop.wsgi:application"),
        ("behind-nginx", {}, "shop.wsgi:application"),
        ("behind-haproxy", {}, "shop.wsgi:application"),
        ("behind-tcp", {}, "shop.wsgi:application"),
    ],
)
def test_the_examples_load(name: str, environ: dict[str, str], app: str) -> None:
    assert load(CONFIG / f"{name}.yaml", environ).apps == {"/": app}


def test_the_bundled_example() -> None:
    site = load(CONFIG / "site.yaml", {})
    assert (site.workers, site.preload, str(site.bind[0])) == (2, "auto", "127.0.0.1:8000")
