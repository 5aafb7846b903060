"""The documents made from the schema, and the site files that come with superwsgi."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from superwsgi.config.grammar.formats import ACCESS_NAMES
from superwsgi.config.loading import load
from superwsgi.config.schema import Site
from superwsgi.config.shown.details import details
from superwsgi.config.shown.effective import keys
from superwsgi.config.shown.reference import parts, reference
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


def test_keys_of_what_may_be_a_mapping_stand_beside_it() -> None:
    assert "\n#   idle: 30s       one that has not been needed for so long ends\n" in parts()["threads"]
    assert re.findall(r"^#   (\w+) {2,}", parts()["paths"], re.MULTILINE) == [
        "request",
        "slow",
        "threads",
        "body",
        "log",
    ]
    assert "\n#   signal: TERM    the signal" in parts()["companions"]


def test_the_parts_are_all_keys() -> None:
    mappings = ("workers.", "threads.")
    known = {path for path in key_paths(SITE) if not path.startswith(mappings)}
    assert set(parts()) == known | {"app"}
    assert all(without_section(path).strip() in flat(reference()) for path in parts() if path != "app")


def without_section(path: str) -> str:
    """A part without the line of its section, in one line."""
    return flat(parts()[path].removeprefix(f"{path.rpartition('.')[0]}:\n"))


def flat(text: str) -> str:
    return " ".join(text.split())


def test_details_are_of_keys_and_no_keys_themselves() -> None:
    assert set(details()) <= set(parts())
    assert not [line for text in details().values() for line in text.splitlines() if len(line) > 100]
    assert all(text for text in details().values())


def test_it_has_every_name_of_an_access_log_template() -> None:
    assert set(ACCESS_NAMES) <= set(re.findall(r"\w+", details()["log.format"]))


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
