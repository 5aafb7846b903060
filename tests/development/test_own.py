"""What of a site file is used while its application is developed."""

from pathlib import Path

from superwsgi.config.given.command_line import CommandLine
from superwsgi.config.loading import load, read_application
from superwsgi.development import own
from superwsgi.development.project import Project
from superwsgi.development.shown.summary import facts

FILE = """\
app: shop:app
bind: "https://0.0.0.0:443"
tls: {certificate: /nowhere/shop.pem}
proxy: {protocol: on, trusted: [10.0.0.0/8]}
user: www-data
workers: 8
threads: 1
env: {A: b}
timeouts: {boot: 5m}
"""


def site_of(tmp_path, said):
    (tmp_path / "site.yaml").write_text(FILE)
    return own.without_production(load(tmp_path / "site.yaml", {}), said)


def test_production_is_left_out(tmp_path):
    site = site_of(tmp_path, set())
    assert [str(each) for each in site.bind] == ["127.0.0.1:8000"]
    assert (site.tls.certificate, site.proxy.protocol, site.user) == (None, False, None)
    assert (site.apps, site.env, site.threads) == ({"/": "shop:app"}, {"A": "b"}, 1)
    assert own.is_private(site)
    used, unused = own.described(site, set())
    assert used == ["app", "env", "threads", "timeouts"]
    assert unused == ["bind", "proxy", "tls", "user", "workers"]


def test_what_an_option_says_counts(tmp_path):
    site = site_of(tmp_path, {"bind"})
    assert site.tls.certificate == "/nowhere/shop.pem"
    assert not own.is_private(site)


def test_what_runs_is_one_worker_that_is_exchanged_at_once(tmp_path):
    site = own.to_run(site_of(tmp_path, set()), Path("/tmp/x"), {"FLASK_DEBUG": "0"})
    assert (site.workers, site.rollout.proof, site.rollout.confirm) == (1, 0.0, 0.0)
    assert "FLASK_DEBUG" not in site.env
    assert site.env["A"] == "b"
    assert site.timeouts.boot == 300.0


def developed(environ, *, options=None, port_host="127.0.0.1"):
    """The site of `app:app`, as `superwsgi dev` takes it."""
    said = CommandLine(options or {})
    site = read_application("app:app", "/srv", "TARGET", said, environ, port_host=port_host).faultless()
    return own.without_production(site, said.options.keys())


def test_a_port_of_the_environment_counts_as_if_it_was_typed():
    (address,) = developed({"PORT": "9123"}).bind
    assert str(address) == "127.0.0.1:9123"
    (address,) = developed({"PORT": "9123"}, options={"bind": "127.0.0.1:9124"}).bind
    assert str(address) == "127.0.0.1:9124"


def test_addresses_of_a_site_file_are_those_of_production(tmp_path):
    file = tmp_path / "site.yaml"
    file.write_text("app: app:app\nbind: 10.0.0.1:${PORT}\nworkers: 7")
    site = own.without_production(load(file, {"PORT": "9123"}), set())
    assert list(map(str, site.bind)) == ["127.0.0.1:8000"]
    assert site.workers == "auto"


def test_options_that_have_no_effect_are_named():
    said = CommandLine(
        {"workers": "4", "bind": "127.0.0.1:1"},
        {"workers": "--workers"},
        (("timeouts.request", "5m"), ("timeouts.boot", "1m"), ("log.level", "debug"), ("log.format", "json")),
    )
    site = read_application("app:app", "/srv", "TARGET", said, {}).faultless()
    site = own.without_production(site, {"workers", "bind", "timeouts", "log"})
    named = ["--set log.format", "--set timeouts.request", "--workers"]
    assert own.unheard(site) == named
    project = Project("app.py defines app", None, lambda: site, "/srv", frozenset({"workers"}))
    assert ("options", f"not used here: {', '.join(named)}") in list(facts(project, site, [], watches=True))


def test_the_address_to_click_has_the_root_of_the_site():
    site = developed({"SCRIPT_NAME": "/shop"})
    project = Project("app.py defines app", None, lambda: site, "/srv", frozenset())
    assert (
        dict(facts(project, site, ["http://127.0.0.1:1"], watches=False))["address"]
        == "http://127.0.0.1:1/shop"
    )
