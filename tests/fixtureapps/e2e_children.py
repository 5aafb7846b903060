"""Children of every kind, by path: forked, executed, of a pool."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

FORK = multiprocessing.get_context("fork")
POOLS = []


def state(pid="self"):
    """Of a process: its signal masks, and its descriptors with what they are."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    signals = {name: int(status[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")}
    links = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links[int(link.name)] = str(link.readlink())
        except FileNotFoundError:  # the one that listed them
            continue
    return {**signals, "fds": links, "title": Path(f"/proc/{pid}/cmdline").read_bytes().decode()}


def square(number):
    return number * number


def pooled():
    with FORK.Pool(2) as pool:
        return pool.map(square, range(5))


def terminated():
    child = FORK.Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join()
    return child.exitcode


def forked(work):
    """What `work` says in a child of os.fork."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(work()).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        said = json.load(file)
    os.waitpid(child, 0)
    return said


def wait_until_asleep(program):
    """Until it has begun, and has loaded its libraries."""
    while "(sleep) S " not in Path(f"/proc/{program}/stat").read_text():
        time.sleep(0.001)


def executed():
    """What a program says that sees itself; its own end of the pipe is closed by then."""
    with subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL) as program:
        try:
            wait_until_asleep(program.pid)
            return state(program.pid)
        finally:
            program.kill()


def spawned():
    """The same, by posix_spawn, which closes nothing by itself."""
    program = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ)
    try:
        wait_until_asleep(program)
        return state(program)
    finally:
        os.kill(program, signal.SIGKILL)
        os.waitpid(program, 0)


def interrupted():
    """The exit code of a shell that ends by its trap when SIGINT comes."""
    with subprocess.Popen(["sh", "-c", "trap 'exit 42' INT; echo; sleep 60 & wait"], stdout=-1) as program:
        program.stdout.readline()
        program.send_signal(signal.SIGINT)
        return program.wait(20)


def comes_back(how):
    """The exit code of a child that does not end by itself."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if how == "raises":
        raise ValueError("in the child")
    if how == "exits":
        sys.exit(7)
    return "the child's answer"


def executor():
    """Process ids of a pool that stays."""
    if not POOLS:
        POOLS.append(ProcessPoolExecutor(2, mp_context=FORK))
    assert list(POOLS[0].map(square, range(5))) == [0, 1, 4, 9, 16]
    return list(POOLS[0]._processes)


def started(**how):
    child = FORK.Process(target=time.sleep, args=(600,), **how)
    child.start()
    return child.pid


def deaf():
    """A child that takes no notice of SIGTERM, with a child of its own, which is forked twice over."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.write(writer, b"%d" % os.getpid())
        os.close(writer)
        time.sleep(600)
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        return [child, int(file.read())]


def program():
    return subprocess.Popen(["sleep", "600"]).pid


WORK = {
    "self": state,
    "pool": pooled,
    "terminate": terminated,
    "fork": lambda: forked(state),
    "execute": executed,
    "spawn": spawned,
    "interrupt": interrupted,
    "returns": lambda: comes_back("returns"),
    "raises": lambda: comes_back("raises"),
    "exits": lambda: comes_back("exits"),
    "executor": executor,
    "daemons": lambda: [started(daemon=True), started(daemon=True)],
    "child": lambda: started(daemon=False),
    "deaf": deaf,
    "program": program,
    "environ": lambda: dict(os.environ),
    "pid": os.getpid,
}


def app(environ, start_response):
    path = environ["PATH_INFO"][1:]
    if path == "streams":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return streamed()
    said = WORK[path]()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]


def streamed():
    yield b"begun, "
    yield f"and the child ended with {comes_back('returns')}".encode()
