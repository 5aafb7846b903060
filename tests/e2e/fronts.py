"""Real nginx and HAProxy in front of a daemon, with the files of config/.

Of those files nothing changes but addresses, paths and the application's name; `shipped` does it, and fails
where there is nothing to change. What the distribution's own main file has, and needs root, is written here.
The ports are the kernel's choice: both programs take listening sockets from whoever starts them.
"""

import contextlib
import getpass
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from tests.e2e.daemon import end, wait_for
from tests.tools import needed, needed_file

CONFIG = Path(__file__).parents[2] / "config"

MAIN = "daemon off; worker_processes 2; pid nginx.pid; error_log stderr notice; events {}"
HTTP = "access_log off; " + " ".join(
    f"{kind}_temp_path tmp-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
"""What nginx's main file and its `http` have to say where there is no root."""


def shipped(name, changes):
    """The text of config/`name`, with other values in the places of these."""
    text = (CONFIG / name).read_text()
    for value, other in changes.items():
        assert value in text, f"{value} is not in config/{name}"
        text = text.replace(value, other)
    return text


class Front:
    """A proxy in `folder`, listening on ports of the kernel's where its file names these `ports`."""

    program: str

    def __init__(self, folder: Path, *ports: str):
        self.path = needed(self.program)
        self.folder = folder
        self.log_file = folder / "front.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.sockets = {port: self._listening() for port in ports}

    def _listening(self):
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(1024)
        sock.setblocking(False)  # nginx takes it as it is, and its workers race for connections
        return sock

    def address(self, port="80"):
        return self.sockets[port].getsockname()

    def connect(self, port="80", source="127.0.0.1"):
        return socket.create_connection(self.address(port), 20, source_address=(source, 0))

    def run(self, *arguments, env=None):
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [self.path, *map(str, arguments)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[sock.fileno() for sock in self.sockets.values()],
                env={**os.environ, **(env or {})},
            )

    @property
    def log(self):
        return self.log_file.read_text(errors="replace")

    def wait_log(self, pattern):
        return wait_for(
            lambda: re.search(pattern, self.log), f"{pattern!r} in its log", context=lambda: self.log
        )

    def clean_up(self):
        if self.process is not None:
            end(self.process, signal.SIGTERM)
        for sock in self.sockets.values():
            sock.close()


class Nginx(Front):
    """Sockets are handed over as nginx does it itself when its binary is replaced: by the variable NGINX."""

    program = "nginx"

    def start(self, name, changes):
        """With config/`name`, which stands within `http`, or is a `stream` of its own."""
        self.start_with(shipped(name, changes), stream="stream" in name)

    def start_with(self, text, *, stream=False):
        """With the text of such a file."""
        for port in self.sockets:
            assert f"listen {port}" in text
            text = text.replace(f"listen {port}", "listen {}:{}".format(*self.address(port)))
        site, main = self.folder / "site.conf", self.folder / "main.conf"
        site.write_text(text)
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        include = f"include {site};" if stream else f"http {{ {HTTP} include {site}; }}"
        main.write_text("\n".join([self._module() if stream else "", MAIN, user, include, ""]))
        fds = "".join(f"{sock.fileno()};" for sock in self.sockets.values())
        self.run("-p", self.folder, "-e", "stderr", "-c", main, env={"NGINX": fds})

    def _module(self):
        """The stream module, which distributions put into a file of its own."""
        built = subprocess.run([self.path, "-V"], capture_output=True, text=True, check=True).stderr
        if "--with-stream=dynamic" not in built:
            return ""
        (folder,) = re.findall(r"--modules-path=(\S+)", built)
        return f"load_module {needed_file(Path(folder) / 'ngx_stream_module.so')};"


class Apache(Front):
    """It takes no sockets of others, so its port is one that was free a moment ago."""

    program = "apache2"
    modules = Path("/usr/lib/apache2/modules")

    def __init__(self, folder):
        super().__init__(folder)
        with self._listening() as sock:
            self._address = sock.getsockname()

    def address(self, port="80"):
        return self._address

    def start(self, directives, path, upstream):
        """With these directives, before `upstream`, which is asked for what is below `path`."""
        address = "{}:{}".format(*self._address)
        names = ("mpm_event", "authz_core", "headers", "proxy", "proxy_http")
        lines = [
            f"ServerRoot {self.folder}\nServerName localhost\nListen {address}",
            f"PidFile {self.folder}/apache.pid\nErrorLog {self.folder}/apache.log",
            *(f"LoadModule {name}_module {self._module(name)}" for name in names),
            f"ProxyPass {path} {upstream}{path}\n{directives}",
            "" if os.geteuid() else "User www-data\nGroup www-data",
        ]
        main = self.folder / "apache.conf"
        main.write_text("\n".join([*lines, ""]))
        self.run("-D", "FOREGROUND", "-f", main)
        wait_for(self._listens, "Apache", context=lambda: self.log)

    def _listens(self):
        with contextlib.suppress(OSError), self.connect():
            return True
        return self.process.poll() is not None

    def _module(self, name):
        return needed_file(self.modules / f"mod_{name}.so")


class HAProxy(Front):
    program = "haproxy"

    def start(self, name, changes):
        """With config/`name` below a `global` section that needs no root."""
        self.start_with(shipped(name, changes))

    def start_with(self, text):
        """With the text of such a file."""
        for port, sock in self.sockets.items():
            assert f"bind :{port}" in text
            text = text.replace(f"bind :{port}", f"bind fd@{sock.fileno()}")
        site, main = self.folder / "site.cfg", self.folder / "global.cfg"
        site.write_text(text)
        main.write_text("global\n    log stdout format raw local0\n    maxconn 1000\n    nbthread 2\n")
        self.run("-db", "-f", main, "-f", site)
