"""What the units of a site say; systemd itself is asked whether it understands them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from superwsgi.deployment import folders, units
from superwsgi.deployment.installation import ROOT, Installation
from superwsgi.deployment.text.escaping import Unspeakable
from tests.deployment.places import HOME, of_roots, place
from tests.tools import needed


def settings(text: str) -> dict[str, list[str]]:
    """By name, the values that a unit sets."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def service(where: Installation, *writable: str) -> dict[str, list[str]]:
    file, *_ = units.files(where, {}, writable)
    return settings(file.text)


def one(where: Installation, name: str) -> str:
    (value,) = service(where)[name]
    return value


def test_a_users_project_below_home(tmp_path: Path) -> None:
    said = service(place(tmp_path))
    assert said["ExecStart"] == [f"{HOME}/.venv/bin/superwsgi -c {HOME}/site.yaml"]
    assert said["ExecReload"] == [f"{HOME}/.venv/bin/superwsgi reload --wait -c {HOME}/site.yaml"]
    assert said["User"] == ["visitor"]
    assert "DynamicUser" not in said
    assert said["ProtectHome"] == ["tmpfs"]
    assert said["BindReadOnlyPaths"] == ["/home/visitor"], "a deploy may rename the project"
    assert said["InaccessiblePaths"] == ["-/home/visitor/.ssh -/home/visitor/.gnupg"]
    assert said["ReadWritePaths"] == [f"-{HOME}"], "its database is beside its code"
    assert said["ReadOnlyPaths"] == [f"-{HOME}/.venv"]
    assert said["CapabilityBoundingSet"] == [""]


def test_folders_of_files_that_it_sends_are_seen(tmp_path: Path) -> None:
    text = "static: {/static: /home/build/shop/public}\nsendfile: {/protected: /home/files/paid}"
    assert one(place(tmp_path, text), "BindReadOnlyPaths") == "/home/build/shop /home/files /home/visitor"


def test_a_project_of_roots_gets_a_user_of_systemds(tmp_path: Path) -> None:
    said = service(of_roots(tmp_path))
    assert said["DynamicUser"] == ["yes"]
    assert said["ProtectHome"] == ["yes"]
    assert not said.keys() & {"User", "BindReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths"}


@pytest.mark.parametrize(
    ("text", "rights"),
    [
        ("bind: :80", "CAP_NET_BIND_SERVICE"),
        ("bind: [https://0.0.0.0:443, 127.0.0.1:8000]\ntls: {certificate: a.pem}", "CAP_NET_BIND_SERVICE"),
        ("health: {ready: /r, bind: 127.0.0.1:81}", "CAP_NET_BIND_SERVICE"),
        ("admin: {bind: 127.0.0.1:900}", "CAP_NET_BIND_SERVICE"),
        ("bind: :1024", ""),
        ("bind: systemd", ""),
        ("bind: unix:run/a.sock", ""),
    ],
)
def test_a_capability_is_only_for_ports_that_need_it(tmp_path: Path, text: str, rights: str) -> None:
    where = place(tmp_path, text)
    assert (one(where, "AmbientCapabilities"), one(where, "CapabilityBoundingSet")) == (rights, rights)


def test_root_is_who_makes_workers_another_user(tmp_path: Path) -> None:
    where = of_roots(tmp_path, "user: www-data", user=ROOT)
    assert one(where, "User") == "root"
    rights = one(where, "CapabilityBoundingSet")
    assert {"CAP_SETUID", "CAP_SETGID"} <= set(rights.split())
    assert "CAP_NET_BIND_SERVICE" not in rights
    port = of_roots(tmp_path, "user: www-data\nbind: :80", user=ROOT)
    assert one(port, "CapabilityBoundingSet") == f"CAP_NET_BIND_SERVICE {rights}"
    assert "@privileged" not in service(where)["SystemCallFilter"][1]


def test_a_group_of_the_site_file(tmp_path: Path) -> None:
    assert one(place(tmp_path, "group: www-data"), "Group") == "www-data"


def test_memory_is_for_the_workers_of_two_generations(tmp_path: Path) -> None:
    where = place(
        tmp_path, "memory: {hard: 100M}\ncompanions: {a: {command: x, count: 3, memory: {hard: 50M}}}"
    )
    assert int(one(where, "MemoryMax")) == (100 * 6 + 3 * 50 + 256) << 20


@pytest.mark.parametrize(
    "text",
    ["", "memory: {soft: 1G}", "memory: {hard: 40%}", "memory: {hard: 1G}\ncompanions: {a: x}"],
    ids=["none", "soft", "a share of what there is", "a companion without a limit"],
)
def test_no_limit_of_memory_without_one_for_all(tmp_path: Path, text: str) -> None:
    assert "MemoryMax" not in service(place(tmp_path, text))


def test_many_threads_are_many_tasks(tmp_path: Path) -> None:
    assert "TasksMax" not in service(place(tmp_path))
    for each in ("threads: 5000", "limits: {upgraded: 5000}"):
        assert int(one(place(tmp_path, each), "TasksMax")) > 2 * 2 * 5000
    assert "TasksMax" not in service(place(tmp_path, "green: 2000\nlimits: {upgraded: 2000}"))


def test_the_times_are_those_of_the_site(tmp_path: Path) -> None:
    text = "timeouts: {boot: 10m, graceful: 2m, lame_duck: 5s}\ncompanions: {a: {command: x, graceful: 1m}}"
    said = service(place(tmp_path, text))
    assert int(said["TimeoutStopSec"][0][:-1]) >= 120 + 5 + 60
    assert int(said["TimeoutStartSec"][0][:-1]) >= 2 * 600
    assert one(place(tmp_path), "TimeoutStartSec") == "600s"


def test_folders_that_the_site_writes_to(tmp_path: Path) -> None:
    text = "log: {access: /var/log/shop/access.log}\npidfile: /run/shop/pid\nbind: unix:/run/shop/web.sock"
    where = place(tmp_path, text)
    files = units.files(where, {}, ("/srv/uploads",))
    assert settings(files[0].text)["ReadWritePaths"] == [f"-{HOME} -/var/log/shop -/run/shop -/srv/uploads"]
    made = files[1]
    assert made.path == "/etc/tmpfiles.d/superwsgi-shop.conf"
    assert made.text.splitlines()[1:] == [
        "d /var/log/shop 0755 visitor - -",
        "d /run/shop 0755 visitor - -",
    ]


def test_a_folder_of_somebody_else_is_not_made_the_sites(tmp_path: Path) -> None:
    where = place(tmp_path, "log: {access: /var/log/shop.log}", others=frozenset({"/var/log"}))
    assert len(units.files(where, {})) == 1


def test_what_systemd_makes_itself_is_not_made_twice(tmp_path: Path) -> None:
    where = place(
        tmp_path, "log: {access: /var/log/superwsgi/shop/access.log}\npidfile: /run/superwsgi/shop/pid"
    )
    assert len(units.files(where, {})) == 1
    assert one(where, "ReadWritePaths") == f"-{HOME}"


def test_what_is_in_tmp_is_where_others_find_it(tmp_path: Path) -> None:
    said = service(place(tmp_path, "bind: unix:/tmp/shop.sock"))
    assert said["PrivateTmp"] == ["no"]
    assert said["ReadWritePaths"] == [f"-{HOME} -/tmp -/var/tmp"]
    assert one(place(tmp_path), "PrivateTmp") == "yes"


def test_a_dynamic_user_has_tmp_to_itself(tmp_path: Path) -> None:
    """systemd has it so whatever PrivateTmp= says; what is there is mounted for it."""
    said = service(of_roots(tmp_path, project="/tmp/trial/shop"))
    assert said["PrivateTmp"] == ["yes"]
    assert said["BindReadOnlyPaths"] == ["/tmp/trial"]


def test_links_of_a_deploy_can_be_followed(tmp_path: Path) -> None:
    """`current` leads to a release elsewhere; the next one has to be there as well."""
    project = "/home/visitor/app/current"
    links = ((project, "/home/visitor/releases/42"),)
    where = place(tmp_path, project=project, links=links)
    assert folders.seen(where) == ["/home/visitor/app", "/home/visitor/releases"]


@pytest.mark.parametrize(
    ("leads_to", "writable"),
    [
        ("/home/visitor/releases/42", ["/home/visitor/releases"]),
        ("/srv/shop/releases/42", ["/srv/shop/releases"]),
        ("/home/visitor/42", []),
        ("/root/42", []),
        ("/tmp/42", []),
        ("/srv/42", []),
    ],
)
def test_the_next_release_may_be_written_to(tmp_path: Path, leads_to: str, writable: list[str]) -> None:
    """But never a whole home, nor what is above all projects."""
    links = (("/home/visitor/app/current", leads_to),)
    where = place(tmp_path, project="/home/visitor/app/current", links=links)
    said = service(where)
    given = [*said["ReadWritePaths"], *said.get("BindPaths", [])]
    assert " ".join(given).replace("-/", "/").split() == ["/home/visitor/app/current", *writable]


def test_a_folder_that_is_mounted_and_written_to_is_writable(tmp_path: Path) -> None:
    """systemd takes one of two settings for the same path."""
    said = service(place(tmp_path, project="/home/visitor"))
    assert said["BindPaths"] == ["/home/visitor"]
    assert not said.keys() & {"BindReadOnlyPaths", "ReadWritePaths"}


def test_folders_in_the_project_are_made_by_its_user(tmp_path: Path) -> None:
    """Before each start and reload: the next release may be without them. Elsewhere root makes them."""
    text = (
        f"log: {{access: {HOME}/log/a.log}}\nbind: unix:{HOME}/my run/a.sock\n"
        f"pidfile: /run/shop/pid\ncontrol: {HOME}/a.sock"
    )
    where = place(tmp_path, text)
    makes = f'-/bin/mkdir -p -m 0755 {HOME}/log "{HOME}/my run"'
    assert one(where, "ExecStartPre") == makes
    assert service(where)["ExecReload"][0] == makes
    _, made = units.files(where, {})
    assert "/run/shop " in made.text
    assert HOME not in made.text.partition("\n")[2]


def test_no_folder_is_made_where_none_is_named(tmp_path: Path) -> None:
    assert "ExecStartPre" not in service(place(tmp_path))
    assert "ExecStartPre" not in service(of_roots(tmp_path, "log: {access: /var/log/superwsgi/shop/a.log}"))
    assert "ExecStartPre" not in service(of_roots(tmp_path, "log: {access: /srv/shop/log/a.log}"))


def test_a_folder_that_is_there_already_changes_no_unit(tmp_path: Path) -> None:
    """A user of systemd's has another number each time."""
    text = "log: {access: /var/log/superwsgi/shop/web/a.log}"
    before = service(of_roots(tmp_path, text))
    assert before["ExecStartPre"] == ["-/bin/mkdir -p -m 0755 /var/log/superwsgi/shop/web"]
    assert service(of_roots(tmp_path, text, others=frozenset(["/var/log/superwsgi/shop/web"]))) == before


def test_homes_that_are_no_ones_stay_hidden(tmp_path: Path) -> None:
    where = place(tmp_path, folders=("/root/.pyenv/versions/3.13.0", "/home/tools/venv"))
    assert folders.seen(where) == ["/home/tools", "/home/visitor", "/root/.pyenv/versions"]


def test_what_the_site_file_names_below_homes_is_seen(tmp_path: Path) -> None:
    text = "tls: {certificate: /home/keys/shop/a.pem}\nenv: {PYTHONPATH: '/home/tools/lib:lib'}\nbind: https://:443"
    served = "static: {/static: /home/web/static}\nsendfile: {/protected: /home/files/a/b}"
    seen = folders.seen(place(tmp_path, f"{text}\n{served}"))
    assert seen == ["/home/files/a", "/home/keys", "/home/tools", "/home/visitor", "/home/web"]


def test_paths_are_such_as_systemd_takes(tmp_path: Path) -> None:
    where = place(tmp_path, "pidfile: /srv//run/../pids/pid", project="/home/visitor/conf/../code")
    said = service(where, "/srv/up/../loads")
    assert said["BindReadOnlyPaths"] == ["/home/visitor"]
    assert said["ReadWritePaths"] == ["-/home/visitor/code -/srv/pids -/srv/loads"]


@pytest.mark.parametrize(
    ("project", "seen"),
    [
        ("/home/visitor", ["/home/visitor"]),
        ("/root", ["/root"]),
        ("/root/shop", ["/root"]),
        ("/srv/shop", []),
    ],
)
def test_all_homes_are_never_given(tmp_path: Path, project: str, seen: list[str]) -> None:
    assert folders.seen(place(tmp_path, project=project)) == seen


def test_sockets_of_systemd(tmp_path: Path) -> None:
    where = place(tmp_path, "bind: [systemd, 'https://systemd:tls']\ntls: {certificate: a.pem}")
    assert units.socket_names(where.site) == ["", "tls"]
    main, web, tls = units.files(where, {"": "80", "tls": "127.0.0.1:443"})
    assert (web.path, tls.path) == (
        "/etc/systemd/system/superwsgi-shop.socket",
        "/etc/systemd/system/superwsgi-shop-tls.socket",
    )
    assert settings(main.text)["Requires"] == ["superwsgi-shop.socket superwsgi-shop-tls.socket"]
    assert settings(tls.text)["ListenStream"] == ["127.0.0.1:443"]
    assert settings(tls.text)["FileDescriptorName"] == ["tls"]
    assert settings(tls.text)["Service"] == ["superwsgi-shop.service"]
    assert "BindIPv6Only" in settings(web.text)
    assert "BindIPv6Only" not in settings(tls.text)


def test_variables_of_the_environment_have_a_file(tmp_path: Path) -> None:
    file, *_ = units.files(place(tmp_path, variables=("SECRET_KEY",)), {})
    assert "such as SECRET_KEY" in file.text
    assert settings(file.text)["EnvironmentFile"] == ["-/etc/default/superwsgi-shop"]


def test_a_line_end_in_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unspeakable, match="rename it"):
        units.files(place(tmp_path, file="/srv/a\nUser=root/site.yaml"), {})


KINDS = {
    "home": lambda folder: place(folder),
    "dynamic": lambda folder: of_roots(folder),
    "port": lambda folder: of_roots(folder, "bind: :80"),
    "ports of a user": lambda folder: place(
        folder, "bind: [':80', 'https://:443']\ntls: {certificate: a.pem}"
    ),
    "companions": lambda folder: place(folder, "companions: {mail: celery -A shop worker}"),
    "admin": lambda folder: place(folder, "admin: {bind: 127.0.0.1:9000}"),
    "files": lambda folder: place(folder, "log: {access: log/access.log}\nbind: unix:run/shop.sock"),
    "odd files": lambda folder: place(folder, "log: {access: 'log 100% $HOME/a.log'}"),
    "in tmp": lambda folder: place(folder, "bind: unix:/tmp/shop.sock"),
    "root": lambda folder: of_roots(folder, "user: www-data", user=ROOT),
    "odd path": lambda folder: place(folder, project="/srv/öd 100% $HOME ${x} \"q\" 'p' \\n #;"),
}


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [needed("systemd-analyze"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path) -> None:
    """One look at all kinds together: each would take as long."""
    paths = [_without_programs(KINDS[kind](tmp_path), tmp_path / str(n)) for n, kind in enumerate(KINDS)]
    done = analyze("verify", *paths)
    assert (done.returncode, done.stderr) == (0, "")
    for path, kind in zip(paths, KINDS, strict=True):
        said = analyze("security", "--offline=true", path)
        exposure = re.search(r"Overall exposure level for .*: ([0-9.]+)", said.stdout)
        assert exposure, said.stderr
        assert float(exposure[1]) <= (2.4 if kind == "root" else 2.0), kind


def _without_programs(where: Installation, folder: Path) -> Path:
    """Its service, in a folder and with a name of its own; the commands need not be installed here."""
    (file,) = (file for file in units.files(where, {}) if file.path.endswith(".service"))
    folder.mkdir()
    path = folder / f"kind-{folder.name}.service"
    text = re.sub(
        r'^(ExecStart|ExecReload)=(?!-)(?:"(?:\\.|[^"])*"|\S+)',
        r"\1=/bin/true",
        file.text,
        flags=re.MULTILINE,
    )
    path.write_text(text)
    return path
