"""What is left of a site file in which something is wrong, so that a check can go on with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.config.loading import SiteReading, from_options, load, read


def reading(folder: Path, text: str) -> SiteReading:
    (folder / "site.yaml").write_text(text)
    return read(folder / "site.yaml", {})


def test_what_is_wrong_has_its_default_and_the_rest_is_there(tmp_path: Path) -> None:
    found = reading(tmp_path, "app: shop:app\nusr: www\nuser: ${NOPE}\nworkers: many\nthreads: 3\n")
    assert found.failed == {"usr", "user", "workers"}
    assert (found.site.apps, found.site.user, found.site.workers) == ({"/": "shop:app"}, None, "auto")
    assert (found.site.threads, found.site.sources["threads"].text) == (3, "site.yaml:5")
    assert len(found.problems) == 3


@pytest.mark.parametrize("app", ["", "app: 'not one'\n", "app: a:b\napps: {/: c:d}\n"])
def test_an_application_that_is_not_known(tmp_path: Path, app: str) -> None:
    found = reading(tmp_path, f"{app}threads: 3\n")
    assert "app" in found.failed
    assert found.site.threads == 3


def test_variables_of_a_broken_file_are_unsure(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("what is this\nWHO=me\n")
    found = reading(tmp_path, "app: shop:app\nenv_file: .env\n")
    assert (found.failed, found.site.env) == ({"env_file"}, {"WHO": "me"})


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("bind", None, (2, 7)),
        ("bind", "127.0.0.1:81", (2, 24)),
        ("paths /x.threads", None, (3, 23)),
        ("paths /x.body", None, (3, 9)),
        ("tls.sni.key", "/b.key", (5, 60)),
        ("memory.soft", None, (0, 0)),
    ],
)
def test_where_a_value_is(tmp_path: Path, key: str, value: str | None, place: tuple[int, int]) -> None:
    text = """app: shop:app
bind: ["127.0.0.1:80", "127.0.0.1:81"]
paths: {/x: {threads: 1}}
tls:
  sni: [{certificate: /a, key: /a}, {certificate: /b, key: /b.key}]
"""
    found = reading(tmp_path, text).places.of(key, value)
    assert found is not None
    assert (found.file, found.line, found.column) == (str(tmp_path / "site.yaml"), *place)


def test_errors_have_the_site(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("app: shop:app\nthreads: none\nuser: www\n")
    with pytest.raises(ConfigError) as of_file:
        load(tmp_path / "site.yaml", {})
    with pytest.raises(ConfigError) as of_options:
        from_options("shop:app", chdir=str(tmp_path), threads="none", workers=2)
    assert of_file.value.site is not None
    assert (of_file.value.site.user, of_file.value.failed) == ("www", {"threads"})
    assert of_options.value.site is not None
    assert (of_options.value.site.workers, of_options.value.failed) == (2, {"threads"})


@pytest.mark.parametrize("text", ["", "- a list\n", "app: [\n"])
def test_nothing_is_left_of_what_is_no_site_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        reading(tmp_path, text)
    assert caught.value.site is None
