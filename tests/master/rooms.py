"""The master's rooms without its processes: real objects around one loop, which is turned only for log files
to be opened. A mold's and a worker's end of their channel is held by the test, which is itself the process
that speaks there: so nothing may be killed that has our process id. Times are an hour ahead, so that no timer
is ever due.
"""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from superwsgi.channel import Channel
from superwsgi.config.grammar.addresses import address
from superwsgi.config.schema import Site
from superwsgi.config.sections import Log, RollOutSettings
from superwsgi.log.error import ErrorLog
from superwsgi.master.admin.admin import Admin
from superwsgi.master.companions.companions import Companions
from superwsgi.master.context import MasterContext, Startup
from superwsgi.master.control.server import Control
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.children import Children
from superwsgi.master.generations.deeds import Deeds
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.record import Record
from superwsgi.master.generations.reload import Reloads
from superwsgi.master.generations.resources import Shared
from superwsgi.master.incidents.incidents import Incidents
from superwsgi.master.pidfile import PidFile
from superwsgi.master.policy import governor
from superwsgi.master.policy.actions import EndMold, KillBroken, KillWorker
from superwsgi.master.release import Origin
from superwsgi.master.sitewide import SiteWide
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.inherited import Inherited
from superwsgi.master.systemd.notify import Notifier
from superwsgi.messages import Loaded, Ready, Started
from superwsgi.metrics.folder import MetricsFolder


class Rooms:
    """All of a master but its signals. `site` is what is read at the next reload."""

    def __init__(self, folder: Path, loop: EventLoop) -> None:
        self.folder = folder
        self.log_file = folder / "error.log"
        self.log_file.touch()
        self.site = self.a_site()
        self.loop = loop
        self.now = float(round(time.monotonic())) + 3600  # whole: to add an hour, or take it away, is exact
        self.errors = ErrorLog(os.open(self.log_file, os.O_WRONLY | os.O_APPEND), "debug")
        self.incidents = Incidents()
        self.errors.report_to(self.incidents.add)
        self.generations, self.record, self.agenda = Generations(), Record(), []
        self.first_listeners = []
        self.molds = []  # the molds' ends of their channels, in the order of their starts
        self.workers = {}  # the workers' ends, by key
        self.context = context = MasterContext(loop, self.errors, self.incidents)
        self.children = Children(context, self.generations, self.record, self.agenda)
        self.companions = Companions(context, self.generations, self.children)
        self.deeds = Deeds(context, self.generations, self.children, self.agenda)
        self.pidfile = PidFile(None)
        self.control = Control(loop, {"RUNTIME_DIRECTORY": str(folder)}, self.errors)
        origin = Origin("/", sys.executable)
        metrics = MetricsFolder("site", [])
        self.startup = startup = Startup(
            self.read, self.launch, origin, self.pidfile, Inherited(), Notifier({}), metrics
        )
        self.admin = Admin(context, startup, self.control, self.children.watch)
        self.sitewide = SiteWide(self.site, self.pidfile, self.control, self.admin, self.errors)
        self.reload = Reloads(
            context,
            startup,
            self.generations,
            self.record,
            self.sitewide,
            self.agenda,
            self.children.watch,
        )

    def a_site(self, workers=2, **more):
        log = Log(error=str(self.log_file), access="off")
        more = {
            "rollout": RollOutSettings(confirm=0.0),
            "bind": (address("127.0.0.1:0", self.folder),),
            **more,
        }
        return Site(name="x", apps={"/": "app:app"}, workers=workers, control="off", log=log, **more)

    def read(self):
        if isinstance(self.site, Exception):
            raise self.site
        return self.site

    def launch(self, _site, _release, theirs, _private):
        end = theirs.dup()
        end.setblocking(False)
        self.molds.append(Channel(end))
        Channel.receive(self.molds[-1])  # Boot
        return os.getpid()

    @property
    def log(self):
        return self.log_file.read_text()

    # What happens.

    def start(self):
        """The first generation: its mold is asked for."""
        shared = Shared.prepare(self.site, Inherited())
        self.first_listeners = shared.listeners
        self.reload.start(shared, self.now)
        return self.generations.candidate

    def start_serving(self):
        """The first generation, which serves."""
        first = self.start()
        self.load(first)
        self.serve(first)
        return first

    def ask(self):
        """Somebody wants a reload, as HUP. Returns the number of the attempt."""
        number = self.reload.ask(self.now)
        self.open_logs()
        return number

    def open_logs(self):
        """A thread opens those of a candidate: it is waited for."""
        candidate, deadline = self.generations.candidate, time.monotonic() + 60
        while candidate is not None and not (candidate.logs.opened or candidate.is_leaving()):
            assert time.monotonic() < deadline
            self.loop.turn(deadline)

    def turn(self):
        """What the master does after an event, until it comes to rest. Returns what was done."""
        done = []
        for _ in range(20):
            self.reload.give_up_failed(self.now)
            self.reload.go_on(self.now)
            self.open_logs()
            agenda, self.agenda[:] = [*self.agenda], []
            actions = agenda or governor.decide(self.generations.view(), self.now).actions
            for action in actions:
                assert not isinstance(action, KillWorker | KillBroken | EndMold), f"our own end: {action}"
                self.deeds.do(action, self.now)
            self.generations.sweep()
            done += actions
            if not actions:
                return done
        raise AssertionError(f"does not come to rest: {done}")

    def mold_says(self, generation, word):
        self.molds[-1].send(word)
        self.children.hear_mold(generation, generation.mold, self.now)

    def mold_ends(self, generation, code=1):
        self.children.mold_ended(generation, generation.mold, code, self.now)

    def load(self, generation):
        """Its mold is started, and says that it can be forked."""
        self.turn()
        self.mold_says(generation, Loaded(0.1))
        return self.turn()

    def asked(self):
        """What the mold is asked for next, and that worker's end of its channel. Raises BlockingIOError."""
        request, (fd, pipe) = self.molds[-1].receive()
        os.close(pipe)
        return request, fd

    def begin_workers(self, generation):
        """The workers that its mold has been asked for are processes, and say so. Returns them."""
        begun = []
        with contextlib.suppress(BlockingIOError):
            while True:
                asked, fd = self.asked()
                worker = generation.workers[asked.slot]
                self.adopt(worker, fd)
                worker.take_over(os.getpid())
                self.worker_says(worker, Started(os.getpid()))
                begun.append(worker)
        return begun

    def adopt(self, worker, fd):
        """Hold the worker's end of its channel."""
        end = socket.socket(fileno=fd)
        end.setblocking(False)
        self.workers[worker.key] = Channel(end)
        return self.workers[worker.key]

    def worker_says(self, worker, word):
        self.workers[worker.key].send(word)
        generation = self.generations.find(worker.generation)
        self.children.hear_worker(generation, worker, self.now)

    def serve(self, generation):
        """All workers that it has been asked for begin and serve, for long enough. Returns what was done."""
        for worker in self.begin_workers(generation):
            self.worker_says(worker, Ready(0.1))
        self.now += self.site.rollout.proof + 1
        return self.turn()

    def worker_ends(self, worker, code=0):
        generation = self.generations.find(worker.generation)
        self.children.worker_ended(generation, worker, code, self.now)

    def close(self):
        for channel in [*self.molds, *self.workers.values()]:
            channel.close()
        for generation in self.generations:
            for handle in generation.handles():
                handle.channel.close()
                if getattr(handle, "stacks", None) is not None:
                    handle.stacks.close()
            sockets.close(generation.listeners)
            generation.close()
        sockets.close(self.first_listeners)
        self.errors.close()


@contextlib.contextmanager
def rooms_in(folder):
    with EventLoop(lambda error, _: pytest.fail(str(error))) as loop:
        rooms = Rooms(folder, loop)
        try:
            yield rooms
        finally:
            rooms.close()
