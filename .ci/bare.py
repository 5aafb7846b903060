"""The README's two commands, as they are written there, in a clone called `superwsgi` on a system that has
Python and git, and next to nothing else: the first as root and as an ordinary user, the second as that user.

    python .ci/bare.py SKIPPED

writes into the file SKIPPED which tests were skipped there, each with a zero byte behind it; somebody who may
do more has to run these. The system is made by debootstrap from this machine's own mirror, and entered by
chroot. Where that cannot be had, the commands run on this machine itself, in an environment and a home that
are empty: what the machine refuses must not fail, what the commands do must.
"""

from __future__ import annotations

import ast
import contextlib
import os
import platform
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

HERE: Final = Path(__file__).resolve().parent.parent
ADDRESS: Final = "http://127.0.0.1:8000/"
USER: Final = "visitor"
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON: Final = re.compile(r"PIP_\w+|(https?|no)_proxy|SSL_CERT_FILE|REQUESTS_CA_BUNDLE", re.IGNORECASE)

# Seconds.
SYSTEM: Final = 600
SERVING: Final = 600
ENDING: Final = 60
TESTS: Final = 1500


class Refused(Exception):
    """This machine does not let us have such a place; the text says why."""


class Failed(Exception):
    """A command of the README did not do what it is there for."""


class Machine:
    """This machine itself, with an empty environment."""

    name = "this machine, with an empty environment and home"

    def __init__(self, root: Path) -> None:
        self.root = root  # of what `run` calls `/`
        self.environ = settings()

    def make(self) -> None:
        """Raises Refused."""
        try:
            pwd.getpwnam(USER)
        except KeyError:
            run("useradd", "--no-create-home", "--shell", "/bin/sh", USER)

    def clone(self, user: str) -> str:
        """Where the user's clone is, inside. It is the user's own, in the user's home."""
        home = self._home(user)
        home.mkdir(parents=True, exist_ok=True)
        clone(home / "superwsgi")
        run("chown", "-R", self._ids(user), str(home))
        return self._inside(home / "superwsgi")

    def command(self, line: str, user: str, folder: str, **environ: str) -> list[str]:
        """What executes `line` there."""
        home = self._inside(self._home(user))
        more = {**self.environ, "PATH": PATH, "HOME": home, **environ}
        spelled = [f"{name}={value}" for name, value in more.items()]
        shell = ["env", "-i", *spelled, "sh", "-c", f"cd {shlex.quote(folder)} && {line}"]
        return self._enter(user, shell)

    def has_index(self) -> bool:
        """Whether packages can be had here, by nothing of ours."""
        download = "/tmp/probe/bin/pip download -q --no-deps -d /tmp/probe hatchling psutil pytest"
        probe = f"python3 -m venv /tmp/probe && {download}"
        return subprocess.run(self.command(probe, "root", "/"), check=False).returncode == 0

    def report(self) -> tuple[str, Path]:
        """A file that the user may write: its name inside, and from here."""
        path = self._home(USER) / "tests.xml"
        return self._inside(path), path

    def _enter(self, user: str, command: list[str]) -> list[str]:
        rights = [] if user == "root" else ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        return [*rights, *command]

    def _home(self, user: str) -> Path:
        return self.root / user

    def _inside(self, path: Path) -> str:
        return str(path)

    def _ids(self, user: str) -> str:
        """Of user and group, as chown(1) has them."""
        its = pwd.getpwnam(user)
        return f"{its.pw_uid}:{its.pw_gid}"


class Bare(Machine):
    """A system of its own. What is mounted in it is so only for the command that runs there."""

    name = "debootstrap's minbase, with python3 and git"

    def make(self) -> None:
        if os.geteuid() != 0 or not shutil.which("debootstrap"):
            raise Refused("debootstrap needs root, and to be installed")
        mirror, suite, components = our_mirror()
        packages = "python3,git" + (",ca-certificates" if mirror.startswith("https:") else "")
        make = ["debootstrap", "--variant=minbase", f"--include={packages}", f"--components={components}"]
        run(*self._apart(shlex.join([*make, suite, str(self.root), mirror])))
        self._set_up()
        run(*self.command("useradd --create-home --shell /bin/sh " + USER, "root", "/"))
        run(
            *self.command(
                "apt-get update -qq && id && test -e /proc/self/fd && echo > /dev/null", "root", "/"
            )
        )

    def _set_up(self) -> None:
        """What whoever uses such a system would have set up to reach anything."""
        for name in ("hosts", "resolv.conf"):
            with contextlib.suppress(OSError):
                shutil.copyfile(f"/etc/{name}", self.root / "etc" / name)
        (self.root / "etc/apt/apt.conf.d/99network").write_text(apt_network())
        for path in named_paths(self.environ):
            if path.is_dir():
                (self.root / str(path).lstrip("/")).mkdir(parents=True, exist_ok=True)
            else:
                self._bring(path)

    def _bring(self, path: Path) -> None:
        """Where no package puts something else in its place, as ca-certificates would."""
        inside = f"/settings{path}"
        target = Path(f"{self.root}{inside}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        for name, value in self.environ.items():
            words = [inside if word == str(path) else word for word in value.split()]
            self.environ[name] = " ".join(words)

    def _enter(self, user: str, command: list[str]) -> list[str]:
        shared = [Path("/proc"), Path("/dev"), Path("/sys"), *filter(Path.is_dir, named_paths(self.environ))]
        mounts = [shlex.join(["mount", "--rbind", str(path), f"{self.root}{path}"]) for path in shared]
        chroot = shlex.join(["chroot", f"--userspec={user}", str(self.root), *command])
        return self._apart(" && ".join([*mounts, f"exec {chroot}"]))

    def _apart(self, line: str) -> list[str]:
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", line]

    def _home(self, user: str) -> Path:
        return self.root / ("root" if user == "root" else f"home/{user}")

    def _inside(self, path: Path) -> str:
        return f"/{path.relative_to(self.root)}"

    def _ids(self, user: str) -> str:
        """Not those of this machine."""
        lines = (self.root / "etc/passwd").read_text().splitlines()
        its = next(line.split(":") for line in lines if line.startswith(f"{user}:"))
        return f"{its[2]}:{its[3]}"


def run(*command: str) -> None:
    """Raises Refused where it fails."""
    try:
        done = subprocess.run(
            command, check=False, text=True, timeout=SYSTEM, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(str(error)) from None
    if done.returncode:
        raise Refused(f"{command[0]}: exit code {done.returncode}\n{done.stdout[-2000:]}")


def clone(to: Path) -> None:
    """Of what is committed here; whoever owns the checkout, git is to read it (safe.directory)."""
    with tempfile.NamedTemporaryFile("w", suffix=".gitconfig") as config:
        config.write("[safe]\n\tdirectory = *\n")
        config.flush()
        environ = {**os.environ, "GIT_CONFIG_GLOBAL": config.name}
        subprocess.run(["git", "clone", "-q", str(HERE), str(to)], check=True, env=environ)


def our_mirror() -> tuple[str, str, str]:
    """Where this machine has its packages from: address, suite, components. Raises Refused."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    spelled = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]
    said = subprocess.run([*spelled, "Created-By: Packages"], check=False, text=True, stdout=subprocess.PIPE)
    found = [line.split() for line in said.stdout.splitlines() if line.count(" ") == 2]
    mirror = next((uri for uri, its, component in found if (its, component) == (suite, "main")), None)
    if mirror is None:
        raise Refused(f"no mirror of {suite or 'this system'} in apt's sources")
    ours = {component for uri, its, component in found if (uri, its) == (mirror, suite)}
    return mirror, suite, ",".join(sorted(ours & {"main", "universe"}))


def apt_network() -> str:
    """This machine's own settings for apt's way to the mirror, such as a proxy."""
    said = subprocess.run(["apt-config", "dump"], check=False, text=True, stdout=subprocess.PIPE).stdout
    return "\n".join(re.findall(r"(?m)^Acquire::https?::.*;$", said)) + "\n"


def settings() -> dict[str, str]:
    """What this machine says about the network and pip's index, its pip's files included, as variables."""
    ours = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=False, text=True, stdout=subprocess.PIPE
    ).stdout
    for name, value in re.findall(r"(?m)^(?:global|install|download)\.([\w-]+)=(.+)$", said):
        spelled = str(ast.literal_eval(value)).split("\n")
        ours.setdefault(f"PIP_{name.upper().replace('-', '_')}", " ".join(spelled).strip())
    return ours


def named_paths(environ: dict[str, str]) -> list[Path]:
    """Files and folders of this machine that settings name. An index (PEP 503) is a folder `simple`, with
    files beside it."""
    words = (word.removeprefix("file://") for value in environ.values() for word in value.split())
    paths = (Path(word) for word in words if word.startswith("/"))
    return sorted({path.parent if path.name == "simple" else path for path in paths if path.exists()})


def commands() -> tuple[str, str]:
    """The two of the README."""
    first, second = re.findall(r"```sh\n(.+)\n```", (HERE / "README.md").read_text())[:2]
    return first, second


def answers() -> bool:
    """Whether the example does, with 200."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(ADDRESS, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for_silence() -> None:
    """Raises Failed where somebody else serves at the address."""
    deadline = time.monotonic() + ENDING
    while answers():
        if time.monotonic() > deadline:
            raise Failed(f"somebody else serves {ADDRESS}")
        time.sleep(0.5)


@contextlib.contextmanager
def begun(command: list[str], out: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A command and all that it starts, which ends with the block."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
                wait_for_end(process)
        process.wait()


def wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Of its group. Raises ProcessLookupError once all of it has ended."""
    deadline = time.monotonic() + ENDING
    while time.monotonic() < deadline:
        process.poll()
        os.killpg(process.pid, 0)
        time.sleep(0.1)


def serve(place: Machine, user: str, folder: str, line: str) -> None:
    """Until the example answers. Raises Failed."""
    print(f"\n-- as {user}: {line}", flush=True)
    wait_for_silence()
    deadline = time.monotonic() + SERVING
    with tempfile.TemporaryFile() as log, begun(place.command(line, user, folder), log) as process:
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                raise Failed(f"{ADDRESS} does not answer\n{log.read().decode(errors='replace')[-6000:]}")
            time.sleep(0.5)
    wait_for_silence()
    print(f"{ADDRESS} has answered 200", flush=True)


def test(place: Machine, folder: str, line: str) -> Path:
    """Returns the report. Raises Failed."""
    print(f"\n-- as {USER}: {line}", flush=True)
    inside, report = place.report()
    command = place.command(line, USER, folder, PYTEST_ADDOPTS=f"--junitxml={inside}")
    with begun(command) as process:
        try:
            code = process.wait(TESTS)
        except subprocess.TimeoutExpired:
            raise Failed(f"no end after {TESTS} s") from None
    if code:
        raise Failed(f"exit code {code}")
    return report


def skipped(report: Path) -> list[str]:
    """The tests that were skipped, or their files, as pytest wants them; prints how many, and why."""
    found = [(case, skip) for case in ET.parse(report).iter("testcase") for skip in case.iter("skipped")]
    print(f"\n{len(found)} tests were skipped as {USER}:")
    for reason, times in Counter(skip.get("message", "") for _, skip in found).most_common():
        print(f"{times:5} {reason}")
    return sorted({node_of(case.get("classname", ""), case.get("name", "")) for case, _ in found})


def node_of(group: str, name: str) -> str:
    """`tests.e2e.test_root.TestLinks`, `test_one` -> `tests/e2e/test_root.py::TestLinks::test_one`. A file
    that was skipped as a whole is a name without a group."""
    parts = (group or name).split(".")
    for length in range(len(parts), 0, -1):
        file = HERE.joinpath(*parts[:length]).with_suffix(".py")
        if file.is_file():
            inside = [*parts[length:], name] if group else []
            return "::".join([str(file.relative_to(HERE)), *inside])
    raise Failed(f"a test was skipped, but there is none called {group} {name}")


def all_of_it(place: Machine) -> list[str]:
    """Raises Refused, or Failed."""
    first, second = commands()
    serve(place, "root", place.clone("root"), first)
    folder = place.clone(USER)
    serve(place, USER, folder, first)
    return skipped(test(place, folder, second))


def in_bare(root: Path) -> list[str]:
    """Raises Refused, also where a command fails since no package can be had; else Failed."""
    place = Bare(root)
    place.make()
    print(f"in {place.name}", flush=True)
    try:
        return all_of_it(place)
    except Failed as failure:
        if place.has_index():
            raise
        raise Refused(f"no packages can be had there: {failure}") from None


def on_machine(root: Path) -> list[str]:
    place = Machine(root)
    place.make()
    print(f"in {place.name}", flush=True)
    return all_of_it(place)


def main(to: str) -> None:
    with tempfile.TemporaryDirectory(prefix="bare-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "system").mkdir()
        (folder / "homes").mkdir()
        try:
            tests = in_bare(folder / "system")
        except Refused as refusal:
            print(f"no bare system: {refusal}", flush=True)
            tests = on_machine(folder / "homes")
    Path(to).write_text("".join(f"{test}\0" for test in tests))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (Refused, Failed) as error:
        sys.exit(f"{type(error).__name__}: {error}")
