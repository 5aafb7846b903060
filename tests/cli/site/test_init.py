"""`superwsgi init` in projects as people have them; its files are read back as sites."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from superwsgi.cli.main import main
from superwsgi.config.loading import load
from superwsgi.config.schema import Site
from superwsgi.config.shown.reference import parts, reference

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
MANAGE = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; what it is called is a site's name."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    for name in ("FLASK_APP", "DJANGO_SETTINGS_MODULE", "BIND"):
        monkeypatch.delenv(name, raising=False)
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def init(*options: str) -> Result:
    return CliRunner().invoke(main, ["init", *options])


def made(folder: Path, *options: str) -> Site:
    done = init(*options)
    assert done.exit_code == 0, done.output
    assert "next:   superwsgi check -c " in re.sub(r"\S+/superwsgi|\S+pytest\S*", "superwsgi", done.output)
    return load(folder / "site.yaml", {})


def test_flask(folder: Path) -> None:
    write(folder, {"app.py": FLASK, ".env": "SECRET_KEY=x\n", "static/a.css": ""})
    site = made(folder)
    assert site.apps == {"/": "app:app"}
    assert (site.name, str(site.bind[0]), site.chdir) == ("shop", "127.0.0.1:8000", str(folder))
    assert (site.health.live, site.health.ready) == ("/livez", "/readyz")
    assert site.env == {"SECRET_KEY": "x"}
    assert "# static: {/static: ./static}" in (folder / "site.yaml").read_text()


def test_django(folder: Path) -> None:
    settings = "WSGI_APPLICATION = 'shop.wsgi.application'\n"
    write(folder, {"manage.py": MANAGE, "shop/__init__.py": "", "shop/settings.py": settings})
    write(folder, {"shop/wsgi.py": "application = object()\n"})
    site = made(folder)
    assert site.apps == {"/": "shop.wsgi:application"}
    assert site.env == {"DJANGO_SETTINGS_MODULE": "shop.settings"}
    assert "migrate --check" in (folder / "site.yaml").read_text()


def test_a_source_folder_of_its_own(folder: Path) -> None:
    write(folder, {"src/shop/__init__.py": "", "src/shop/wsgi.py": "application = object()\n"})
    assert Path(made(folder).apps["/"].partition(":")[0].replace("shop.wsgi", "wsgi.py")).name == "wsgi.py"


def test_another_folder(folder: Path) -> None:
    write(folder, {"blog/app.py": FLASK})
    site = made(folder / "blog", "blog")
    assert (site.name, site.chdir) == ("blog", str(folder / "blog"))


def test_a_package_is_no_folder_of_its_own(folder: Path) -> None:
    write(folder, {"shop/__init__.py": FLASK})
    assert made(folder, "shop").chdir == str(folder)


def test_a_site_file_is_no_project(folder: Path) -> None:
    write(folder, {"app.py": FLASK})
    done = init("new.yaml")
    assert (done.exit_code, list(folder.glob("*.yaml"))) == (2, [])
    assert "-o new.yaml" in done.output


def test_an_application_by_its_name(folder: Path) -> None:
    write(folder, {"main.py": "def make(): ...\n"})
    assert made(folder, "main:make()").apps == {"/": "main:make()"}


def test_what_the_project_says_itself_goes_before(folder: Path) -> None:
    text = (
        'app = "shop:app"\nbind = "127.0.0.1:${PORT:-9000}"\nwarmup = ["/"]\nthreads = {min = 2, max = 4}\n'
    )
    write(folder, {"pyproject.toml": f"[tool.superwsgi]\n{text}", "shop.py": "app = object()\n"})
    site = made(folder)
    assert (str(site.bind[0]), site.warmup, site.most_threads) == ("127.0.0.1:9000", ("/",), 4)


def test_what_the_project_says_is_explained_as_its_own(folder: Path) -> None:
    text = '[tool.superwsgi]\nworkers = 3\nhealth = {live = "/alive"}\nenv = {COLOUR = "blue"}'
    manage = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")'
    write(folder, {"pyproject.toml": text, "manage.py": manage, "shop/settings.py": ""})
    done = init()
    site = made(folder, "--force")
    assert site.env == {"DJANGO_SETTINGS_MODULE": "shop.settings", "COLOUR": "blue"}
    assert (site.workers, site.health.live, site.health.ready) == (3, "/alive", None)
    assert "/livez" not in done.output
    assert "one a CPU" not in (folder / "site.yaml").read_text()


def test_a_dotenv_that_may_mean_two_things_is_not_used(folder: Path) -> None:
    write(folder, {"app.py": FLASK, ".env": "what is this\n"})
    done = init()
    assert re.search(r"warning: not used: .*\.env:1:", done.output)
    assert load(folder / "site.yaml", {}).env_file is None


def test_nothing_is_overwritten(folder: Path) -> None:
    write(folder, {"app.py": FLASK, "site.yaml": "app: mine:app\n"})
    done = init()
    assert done.exit_code == 2
    assert "site.yaml is there already, and nothing was written; --force replaces it" in done.output
    assert (folder / "site.yaml").read_text() == "app: mine:app\n"
    assert "\napp: app:app " in init("-o", "-").output
    assert made(folder, "--force").apps == {"/": "app:app"}


def test_one_site_file_is_enough(folder: Path) -> None:
    write(folder, {"app.py": FLASK, "superwsgi.yml": "app: mine:app\n"})
    done = init()
    assert (done.exit_code, list(folder.glob("site*"))) == (2, [])
    assert "superwsgi.yml is there already" in done.output


def test_what_fails_leaves_the_old_file(folder: Path) -> None:
    write(folder, {"site.yaml": "app: mine:app\n"})
    assert init("--force").exit_code == 2
    assert (folder / "site.yaml").read_text() == "app: mine:app\n"


def test_a_link_that_leads_nowhere_is_a_file(folder: Path) -> None:
    write(folder, {"app.py": FLASK})
    (folder / "site.yaml").symlink_to("gone")
    assert init().exit_code == 2
    assert not (folder / "gone").exists()


def test_to_stdout_or_elsewhere(folder: Path) -> None:
    write(folder, {"app.py": FLASK})
    assert "\napp: app:app " in init("-o", "-").output
    assert not (folder / "site.yaml").exists()
    assert init("-o", "deploy.yaml").exit_code == 0
    assert load(folder / "deploy.yaml", {}).apps == {"/": "app:app"}
    assert init("-o", "no/such/folder.yaml").exit_code == 2


@pytest.mark.parametrize(
    ("files", "said"),
    [({}, "no application found"), ({"a.py": FLASK, "b.py": FLASK}, "several applications")],
)
def test_without_an_application_or_with_several(folder: Path, files: dict[str, str], said: str) -> None:
    write(folder, files)
    done = init()
    assert done.exit_code == 2
    assert said in done.output
    assert not (folder / "site.yaml").exists()


@pytest.mark.parametrize("name", ["100% $HOME ${x}", "öd", "yes", "a: b #c", "'\"", "1"])
def test_odd_names(folder: Path, name: str) -> None:
    write(folder, {f"{name}/app.py": FLASK})
    assert made(folder / name, name).apps == {"/": "app:app"}


def test_the_reference_is_printed() -> None:
    assert CliRunner().invoke(main, ["reference"]).output == reference()


def test_some_keys_of_the_reference() -> None:
    printed = CliRunner().invoke(main, ["reference", "threads.max", "log.sample"]).output
    assert printed == f"{parts()['threads']}\n{parts()['log.sample']}"
    assert printed.count("\nlog:\n  # share of") == 1
    unknown = CliRunner().invoke(main, ["reference", "tread"])
    assert unknown.exit_code == 2
    assert "There is no key 'tread'; did you mean 'threads'?" in unknown.output


def test_every_comment_is_a_key_that_could_be_set(folder: Path) -> None:
    """Also where a tool that is named there is not installed."""
    write(folder, {"app.py": FLASK, ".env": "", "log/x": ""})
    made(folder)
    text = (folder / "site.yaml").read_text()
    for line in re.findall(r"^# (\w+: .*)$", text, re.MULTILINE):
        if not line.startswith("static:"):
            (folder / "one.yaml").write_text(f"app: app:app\n{line}\n")
            load(folder / "one.yaml", dict(os.environ))


KINDS = ("nginx", "haproxy", "docker", "kubernetes")


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_around_a_site_goes_to_stdout(folder: Path, kind: str) -> None:
    write(folder, {"app.py": FLASK})
    assert "there is none yet: " in init("--for", kind).output
    made(folder)
    done = init("--for", kind)
    assert done.exit_code == 0, done.output
    assert "shop" in done.output
    assert sorted(path.name for path in folder.iterdir()) == ["app.py", "site.yaml"]


def test_a_dockerfile_has_what_it_ignores_beside_it(folder: Path) -> None:
    write(folder, {"app.py": FLASK})
    made(folder)
    missing = "note: .dockerignore belongs beside it, and is not there: -o FILE writes both"
    assert missing in init("--for", "docker").output
    assert "Dockerfile: written" in init("--for", "docker", "-o", "Dockerfile").output
    assert ".env\n" in (folder / ".dockerignore").read_text()
    (folder / ".dockerignore").write_text("mine\n")
    assert init("--for", "docker", "-o", "Dockerfile").exit_code == 2
    assert init("--for", "docker", "-o", "Dockerfile", "--force").exit_code == 0
    assert (folder / ".dockerignore").read_text() == "mine\n"
    assert missing not in init("--for", "docker").output


def test_notes_on_what_would_not_work(folder: Path) -> None:
    write(folder, {"site.yaml": "app: app:app\nbind: unix:run/a.sock\nlog: {access: /srv/a.log}\n"})
    assert (
        "the site does not believe this proxy about its clients: proxy: {trusted: [unix]}"
        in init("--for", "nginx").output
    )
    done = init("--for", "docker")
    assert "nobody outside of the container reaches it" in done.output
    assert "a.log: the image's user may not write there" in done.output
    write(folder, {"site.yaml": "app: app:app\n"})
    done = init("--for", "logrotate", "-c", "site.yaml")
    assert (done.exit_code, "no log files" in done.output) == (2, True)
