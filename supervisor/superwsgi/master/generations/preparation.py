"""From a new generation to its mold: its log files are opened, what `rollout.before` names runs, and with
`rollout.overlap: no` all other processes of the site have to be gone, as for a generation that comes back
after the new one failed.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from superwsgi.log.files import LogTargetError
from superwsgi.log.spelling import duration, ending
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.children import Children
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.launch import environ_of
from superwsgi.master.generations.rollout import RollOut
from superwsgi.master.logfiles import LogFiles, Opening
from superwsgi.master.processes.program import Program, Result
from superwsgi.master.states import GenerationEvent, GenerationState
from superwsgi.system import privileges
from superwsgi.system.privileges import PrivilegeError

_SHELL = "/bin/sh"


class Preparation:
    """`begin` is told of a new candidate, `go_on` of every turn of the loop."""

    def __init__(self, rollout: RollOut, children: Children, loop: EventLoop) -> None:
        self._rollout = rollout
        self._children = children
        self._loop = loop

    def begin(self, generation: Generation, now: float) -> None:
        """Open its log files and run its command, as far as there is that to do; then it may be loaded."""
        if generation.logs.opened:
            self._begin_command(generation, now)
            return
        try:
            Opening(self._loop, generation.logs.settings, partial(self._opened, generation))
        except (OSError, RuntimeError) as error:
            self._rollout.fail(f"log files cannot be opened: {error}", now, aloud=True)
        else:
            boot = generation.site.timeouts.boot
            self._loop.call_at(now + boot, lambda at: self._check_opened(generation, at))

    def _opened(self, generation: Generation, result: LogFiles | LogTargetError, now: float) -> None:
        given_up = generation.state is not GenerationState.PREPARING
        if isinstance(result, LogFiles) and given_up:
            result.close()
        elif isinstance(result, LogFiles):
            generation.logs.take(result)
            self._begin_command(generation, now)
        elif not given_up:
            self._rollout.fail(f"log: {result}", now, aloud=True)

    def _check_opened(self, generation: Generation, now: float) -> None:
        if generation.state is GenerationState.PREPARING and not generation.logs.opened:
            late = duration(generation.site.timeouts.boot)
            reason = f"log files were not opened after {late} (timeouts.boot): does their disk hang?"
            self._rollout.fail(reason, now, aloud=True)

    def _begin_command(self, generation: Generation, now: float) -> None:
        if generation.site.rollout.before is None:
            self._prepared(generation, now)
            return
        program = Program(
            self._loop, self._children.watch, lambda result, at: self._ran(generation, result, at)
        )
        try:
            self._run(program, generation, now)
        except (OSError, PrivilegeError) as error:
            self._rollout.fail(f"rollout.before cannot be run: {error}", now)

    def _run(self, program: Program, generation: Generation, now: float) -> None:
        """Raises OSError, PrivilegeError."""
        site = generation.site
        command = [_SHELL, "-c", str(site.rollout.before)]
        become = partial(privileges.drop, site.user, site.group, site.umask)
        pid = program.start(
            command, _environ(generation), now, site.timeouts.boot, folder=site.chdir, become=become
        )
        generation.program = program
        log = self._rollout.errors.bind(gen=generation.number)
        log.info("rollout.before begun", command=site.rollout.before, pid=pid)

    def _ran(self, generation: Generation, result: Result, now: float) -> None:
        generation.program = None
        if generation.state is not GenerationState.PREPARING:
            return  # given up meanwhile
        said = "\n".join(result.lines)
        if result.code == 0:
            log = self._rollout.errors.bind(gen=generation.number)
            log.info("rollout.before done", said)
            self._prepared(generation, now)
            return
        how = f"ended with {ending(result.code)}"
        if result.late:
            how = f"was not done after {duration(generation.site.timeouts.boot)} (timeouts.boot)"
        self._rollout.fail(f"rollout.before {how}: {generation.site.rollout.before}", now, said)

    def _prepared(self, generation: Generation, now: float) -> None:
        generation.apply(GenerationEvent.PREPARED)
        self.go_on(now)

    def go_on(self, now: float) -> None:
        """Start what waits, as soon as it may be, and stop what must not run beside it."""
        waiting = self._rollout.candidate or self._rollout.current
        if waiting is None or waiting.state is not GenerationState.WAITING:
            return
        if waiting is self._rollout.candidate and not waiting.site.rollout.overlap:
            self._rollout.make_room(now)
        alone = all(generation.is_clear() for generation in self._rollout)
        if alone or (waiting is self._rollout.candidate and waiting.site.rollout.overlap):
            self._start(waiting, now)

    def _start(self, generation: Generation, now: float) -> None:
        generation.apply(GenerationEvent.START)
        if generation.mold is None:
            self._children.start_mold(generation, now)
        else:
            generation.apply(GenerationEvent.LOADED)  # it has stayed


def _environ(generation: Generation) -> dict[str, str]:
    """The site's; programs of the interpreter's folder are found first, so that `python` is the site's."""
    environ = environ_of(generation.site, generation.release)
    folder = str(Path(generation.release.python).parent)
    return {**environ, "PATH": os.pathsep.join([folder, environ.get("PATH", os.defpath)])}
