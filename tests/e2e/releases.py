"""Releases of a site side by side, and a link to the current one, as Capistrano and Deployer lay them out."""

import shutil
import sys
import venv

APP = """
    import json, os, sys
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/late":
            import late
            return [late.NAME.encode()]
        if environ["PATH_INFO"] == "/where":
            return [json.dumps([os.getcwd(), __file__, sys.prefix, sys.executable, *sys.path]).encode()]
        return [b"{name}"]
"""
PACKAGES = next(path for path in sys.path if path.endswith("site-packages"))


class Releases:
    """`daemon` serves what `current` leads to."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.folder = daemon.folder
        self.current = self.folder / "current"
        self.environ = {"PWD": str(self.current)}

    def path(self, name):
        return self.folder / "releases" / name

    def make(self, name, app=APP, **keys):
        """A release with its own virtual environment, which finds superwsgi in that of the tests."""
        self.daemon.site(**{"workers": 1, **keys})
        self.path(name).mkdir(parents=True)
        (self.folder / "site.yaml").rename(self.path(name) / "site.yaml")
        self.daemon.write(f"releases/{name}/app.py", app.replace("{name}", name))
        self.daemon.write(f"releases/{name}/late.py", f"NAME = 'late {name}'\n")
        environment = self.path(name) / "venv"
        venv.create(environment, symlinks=True, with_pip=False)
        (packages,) = environment.glob("lib/python*/site-packages")
        (packages / "tests.pth").write_text(f"import site; site.addsitedir({PACKAGES!r})\n")
        script = environment / "bin" / "superwsgi"
        script.write_text(f"#!{environment}/bin/python\nfrom superwsgi.cli import main\nmain()\n")
        script.chmod(0o755)

    def switch(self, name):
        """Make a release the current one."""
        link = self.folder / "next"
        link.symlink_to(self.path(name))
        link.rename(self.current)

    def remove(self, name):
        shutil.rmtree(self.path(name))

    def inside(self, *command):
        """The command of somebody who has changed to `current`."""
        return ["env", "-C", str(self.current), *(str(each).format(current=self.current) for each in command)]

    def start(self, *command):
        self.daemon.spawn(self.inside(*command), env=self.environ)

    def where(self):
        """Where the worker that answers is and looks: its folder, module, interpreter and `sys.path`, without
        what is installed for the tests."""
        paths = self.daemon.get("/where").json()
        return [path for path in paths if path.startswith(str(self.folder))]
