"""What applications import, and what that leaves behind: what a fork would break, and what it would not.

`(python)` is a process of the interpreter's name. What multiprocessing begins is forked, as it was by default
until Python 3.14.
"""

FOUND = {
    "a child with pipes": (
        "from subprocess import *\nP = Popen('cat', stdin=PIPE, stdout=PIPE)",
        ["a child process (cat) started at app.py:2", "a pipe made at app.py:2 (2 of them)"],
    ),
    "a child": (
        "import subprocess\nsubprocess.Popen(['sleep', '60'])",
        ["a child process (sleep) started at app.py:2"],
    ),
    "a fork": (
        "import os, time\nif os.fork() == 0: time.sleep(60)",
        ["a child process (python) started at app.py:2"],
    ),
    "posix_spawn": (
        "import os\nos.posix_spawn('/bin/sleep', ['sleep', '60'], {})",
        ["a child process (sleep) started at app.py:2"],
    ),
    "a pool of processes that has begun": (
        "from concurrent.futures import *; from multiprocessing import get_context\n"
        "E = ProcessPoolExecutor(1, get_context('fork'))\nE.submit(int).result()",
        ["a child process (python) started at app.py:3"],
    ),
    "a pool of processes that has not": (
        "from concurrent.futures import *; from multiprocessing import get_context\n"
        "E = ProcessPoolExecutor(1, get_context('fork'))",
        [
            "a pipe made at app.py:2 (6 of them)",
            "a lock shared between processes (semaphore) made at app.py:2",
        ],
    ),
    "a pool of threads": (
        "from concurrent.futures import *\nE = ThreadPoolExecutor(1)\nE.submit(int).result()",
        ["thread 'ThreadPoolExecutor-0_0' started at app.py:3"],
    ),
    "a pool of multiprocessing": (
        "import multiprocessing\nP = multiprocessing.get_context('fork').Pool(1)",
        [
            "a child process (python) started at app.py:2",
            "thread 'Thread-1 (_handle_workers)' started at app.py:2",
        ],
    ),
    "a manager of multiprocessing": (
        "import multiprocessing\nM = multiprocessing.get_context('fork').Manager()",
        ["a child process (python) started at app.py:2"],
    ),
    "a lock of multiprocessing": (
        "import multiprocessing\nL = multiprocessing.Lock()",
        ["a lock shared between processes (semaphore) made at app.py:2"],
    ),
    "a value of multiprocessing": (
        "import multiprocessing\nV = multiprocessing.Value('i', lock=False)",
        ["memory shared between processes (/dev/shm/pym-"],
    ),
    "shared memory": (
        "from multiprocessing.shared_memory import *\nS = SharedMemory(create=True, size=9)\nS.unlink()",
        ["a child process (python) started at app.py:2", "memory shared between processes (/dev/shm/psm_"],
    ),
    "shared memory without a descriptor": (
        "import mmap\nM = mmap.mmap(-1, 9)",
        ["memory shared between processes held by app.M"],
    ),
    "memory that is not forked": (
        "from mmap import *\nM = mmap(-1, 4096, MAP_PRIVATE | MAP_ANONYMOUS)\nM.madvise(MADV_DONTFORK)",
        ["memory that children do not inherit (MADV_DONTFORK)"],
    ),
    "locked memory": (
        "import ctypes\nB = ctypes.create_string_buffer(1)\nassert ctypes.CDLL(None).mlock(B, 1) == 0",
        ["memory locked against swapping (mlock)"],
    ),
    "flock": (
        "import fcntl\nF = open('lk', 'w')\nfcntl.flock(F, fcntl.LOCK_EX)",
        ["a lock on lk made at app.py:3"],
    ),
    "flock of a log file": (
        "import fcntl\nF = open('lk', 'a')\nfcntl.flock(F, fcntl.LOCK_SH)",
        ["a lock on lk made at app.py:3"],
    ),
    "flock of a folder": (
        "import fcntl, os\nF = os.open('.', os.O_RDONLY)\nfcntl.flock(F, fcntl.LOCK_EX)",
        ["a lock on . made at app.py:3"],
    ),
    "lockf": (
        "import fcntl\nF = open('lk', 'w')\nfcntl.lockf(F, fcntl.LOCK_EX)",
        ["a lock on lk made at app.py:3"],
    ),
    "sqlite": (
        "import sqlite3\nC = sqlite3.connect('x.db')",
        ["the file x.db opened at app.py:2"],
    ),
    "sqlite with a write-ahead log": (
        "import sqlite3\nC = sqlite3.connect('x.db')\n"
        "C.execute('pragma journal_mode=wal')\nC.execute('create table t(a)')",
        ["a lock on x.db made at app.py:2"],
    ),
    "sqlite, only read": (
        "import sqlite3\nC = sqlite3.connect('x.db'); C.execute('create table t(a)'); C.close()\n"
        "C = sqlite3.connect('file:x.db?mode=ro', uri=True)\nC.execute('select * from t')",
        ["the file x.db opened at app.py:3"],
    ),
    "sqlite, only read and mapped": (
        "import sqlite3\nC = sqlite3.connect('x.db'); C.execute('create table t(a)'); C.close()\n"
        "C = sqlite3.connect('file:x.db?mode=ro', uri=True)\n"
        "C.execute('pragma mmap_size=999999')\nC.execute('select * from t')",
        ["the file x.db opened at app.py:3"],
    ),
    "a file to read": ("F = open(__file__, 'rb')", ["the file app.py opened at app.py:1"]),
    "a file that has been read": ("F = open(__file__)\nF.read()", ["the file app.py opened at app.py:1"]),
    "a file of pathlib": (
        "from pathlib import Path\nF = Path(__file__).open()",
        ["the file app.py opened at app.py:2"],
    ),
    "a file of os": (
        "import os\nF = os.open(__file__, os.O_RDONLY)",
        ["the file app.py opened at app.py:2"],
    ),
    "a file opened twice, by its own line": (
        "with open(__file__): pass\nF = open(__file__)\nwith open(__file__): pass",
        ["the file app.py opened at app.py:2"],
    ),
    "a file to write": ("F = open('out', 'w')", ["the file out opened at app.py:1"]),
    "a file to append to and read": ("F = open('out', 'a+')", ["the file out opened at app.py:1"]),
    "a mapped file that is read, too": (
        "import mmap\nF = open(__file__, 'rb')\nM = mmap.mmap(F.fileno(), 0, prot=mmap.PROT_READ)\nF.read()",
        ["the file app.py opened at app.py:2"],
    ),
    "an archive": (
        "import zipfile\nwith zipfile.ZipFile('z', 'w'): pass\nZ = zipfile.ZipFile('z')",
        ["the file z opened at app.py:3"],
    ),
    "a temporary file": (
        "import tempfile\nF = tempfile.TemporaryFile()",
        ["a temporary file ("],
    ),
    "a temporary file with a name": (
        "import tempfile\nF = tempfile.NamedTemporaryFile(dir='.')",
        ["the file "],
    ),
    "a file in the place of a descriptor that was there": (
        "import os\nos.dup2(os.open(__file__, 0), 0)",
        ["the file app.py opened at app.py:2"],
    ),
    "a folder that is being read": (
        "import os\nS = os.scandir(os.path.dirname(os.__file__))\nnext(S)",
        ["a folder that is being read ("],
    ),
    "random bytes read ahead": (
        "F = open('/dev/urandom', 'rb')\nF.read(1)",
        ["an open device (/dev/urandom) made at app.py:1"],
    ),
    "a terminal": ("import os\nT = os.openpty()", ["an open device (/dev/ptmx) made at app.py:2"]),
    "a terminal of a child": (
        "import pty, time\npid, T = pty.fork()\nif pid == 0: time.sleep(60)",
        ["a child process (python) started at app.py:2", "an open device (/dev/ptmx) made at app.py:2"],
    ),
    "a pipe": ("import os\nP = os.pipe()", ["a pipe made at app.py:2 (2 of them)"]),
    "a named pipe": (
        "import os\nos.mkfifo('p')\nP = os.open('p', os.O_RDWR)",
        ["a named pipe (p) made at app.py:3"],
    ),
    "a client over UDP": (
        "from socket import *\nS = socket(type=SOCK_DGRAM)\nS.connect(('127.0.0.1', 9))",
        ["a datagram socket to 127.0.0.1:9 made at app.py:2"],
    ),
    "a client over UDP that has not sent yet": (
        "from socket import *\nS = socket(type=SOCK_DGRAM)",
        ["a datagram socket made at app.py:2"],
    ),
    "a server of datagrams": (
        "from socket import *\nS = socket(AF_UNIX, SOCK_DGRAM)\nS.bind('s')",
        ["a datagram socket on s made at app.py:2"],
    ),
    "a pair for datagrams": (
        "from socket import *\nP = socketpair(AF_UNIX, SOCK_DGRAM)",
        ["one end of a socket pair made at app.py:2 (2 of them)"],
    ),
    "a socket that is not connected": (
        "from socket import *\nS = socket()",
        ["an unconnected socket made at app.py:2"],
    ),
    "a socket of the kernel's": (
        "from socket import *\nS = socket(AF_NETLINK, SOCK_RAW)",
        ["a socket of AF_NETLINK made at app.py:2"],
    ),
    "a loop of asyncio": (
        "import asyncio\nL = asyncio.new_event_loop()",
        ["an open event loop of asyncio made at app.py:2"],
    ),
    "a selector": (
        "import selectors\nS = selectors.DefaultSelector()",
        ["an event loop (epoll) made at app.py:2"],
    ),
    "an epoll instance": ("import select\nE = select.epoll()", ["an event loop (epoll) held by app.E"]),
    "inotify": (
        "import ctypes, io\nW = io.FileIO(ctypes.CDLL(None).inotify_init())",
        ["watched files (inotify) held by app.W"],
    ),
    "eventfd": ("import os\nE = os.eventfd(0)", ["a descriptor (eventfd) made at app.py:2"]),
    "memfd": (
        "import os\nE = os.memfd_create('m')",
        ["memory shared between processes (/memfd:m) made at app.py:2"],
    ),
    "pidfd": ("import os\nE = os.pidfd_open(1)", ["a process handle (pidfd) made at app.py:2"]),
    "a queue of messages": (
        "import ctypes, os\nlib, name = ctypes.CDLL('librt.so.1'), b'/superwsgi-%d' % os.getpid()\n"
        "Q = lib.mq_open(name, os.O_RDWR | os.O_CREAT, 384, None)\nlib.mq_unlink(name)",
        ["superwsgi-"],
    ),
    "an alarm": (
        "import signal\nsignal.signal(signal.SIGALRM, print)\nsignal.alarm(1000)",
        ["a timer (ITIMER_REAL) set at app.py:3"],
    ),
    "a profiler's timer": (
        "import signal\nsignal.signal(signal.SIGPROF, print)\nsignal.setitimer(signal.ITIMER_PROF, 1000)",
        ["a timer (ITIMER_PROF) set at app.py:3"],
    ),
    "a timer of POSIX": (
        "import ctypes\nT = ctypes.c_void_p()\n"
        "ctypes.CDLL('librt.so.1').timer_create(0, None, ctypes.byref(T))",
        ["a timer (timer_create)"],
    ),
    "another interpreter": (
        "try:\n  import _interpreters as i\nexcept ImportError:\n  import _xxsubinterpreters as i\n"
        "I = i.create()",
        ["a second interpreter"],
    ),
    "a thread": (
        "from threading import *\nThread(target=Event().wait, name='x', daemon=True).start()",
        ["thread 'x' started at app.py:2"],
    ),
    "a thread of the interpreter": (
        "import faulthandler; faulthandler.dump_traceback_later(60)",
        ["a thread of a native library"],
    ),
}
"""What is imported, and what has to be among what is found."""

HARMLESS = {
    "nothing": "",
    "what has ended": (
        "import subprocess, os\nsubprocess.run('true')\nif os.fork() == 0: os._exit(0)\nos.wait()"
    ),
    "what nobody waits for": (
        "import os, subprocess\nV = os.popen('echo 1; exec 1>&-; sleep 0.05').read()\n"
        "subprocess.Popen('exec 1>&-; sleep 0.05', shell=True, stdout=-1).stdout.read()"
    ),
    "what is garbage": (
        "import asyncio, socket\nasyncio.new_event_loop()\ndef f():\n  s = socket.socket()\n"
        "  def g(): return g, s\nf()"
    ),
    "what has ended unseen": (
        "import subprocess, psutil\nP = subprocess.Popen('true')\n"
        "while psutil.Process(P.pid).status() != 'zombie': pass"
    ),
    "what has been closed": "import os, socket\nos.close(os.dup(0))\nfor s in socket.socketpair(): s.close()",
    "a log file": (
        "import logging\nlogging.getLogger().addHandler(logging.FileHandler('log'))\nlogging.error('x')"
    ),
    "a log file that turns": (
        "import logging.handlers as h\nH = h.RotatingFileHandler('a')\nG = h.TimedRotatingFileHandler('b')"
    ),
    "a log sent in datagrams": (
        "import logging.handlers as h\nH = h.SysLogHandler(('127.0.0.1', 9))\n"
        "D = h.DatagramHandler('127.0.0.1', 9)\nD.send(b'x')"
    ),
    "syslog": (
        "from socket import *\nL = socket(AF_UNIX, SOCK_DGRAM)\nL.bind('log')\n"
        "S = socket(AF_UNIX, SOCK_DGRAM)\nS.connect('log')\nL.close()"
    ),
    "a file that is mapped to be read": (
        "import mmap\nF = open(__file__, 'rb')\nM = mmap.mmap(F.fileno(), 0, prot=mmap.PROT_READ)"
    ),
    "a file that was read and mapped": (
        "import mmap\nwith open(__file__, 'rb') as F:\n"
        "  F.read()\n  M = mmap.mmap(F.fileno(), 0, access=mmap.ACCESS_READ)"
    ),
    "the start of paths": "import os\nD = os.open('.', os.O_RDONLY)\nP = os.open(__file__, os.O_PATH)",
    "devices that keep nothing": (
        "import os\nN = open(os.devnull, 'w')\nZ = open('/dev/zero', 'rb')\nR = os.open('/dev/urandom', 0)"
    ),
    "duplicates of what there was": "import os\nprint('x', flush=True)\nD = [os.dup(fd) for fd in range(3)]",
    "a database in memory": "import sqlite3\nC = sqlite3.connect(':memory:')\nC.execute('create table t(a)')",
    "private memory": "import mmap\nM = mmap.mmap(-1, 9, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)",
}
