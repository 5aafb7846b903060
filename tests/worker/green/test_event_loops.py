"""asyncio in many greenlets at once, in an interpreter of its own that gevent has patched."""

import subprocess
import sys
import textwrap

import pytest

from tests.tools import needed_package

BEGIN = """
    from gevent import monkey
    monkey.patch_all()
    from superwsgi.worker.green import event_loops
    event_loops.give_each_greenlet_its_own()
    import asyncio, subprocess, sys, time
    import gevent, greenlet

    def at_once(view, count=20):
        "What each of so many greenlets gets from it; all wait at the same time."
        waiting = [gevent.spawn(view, each) for each in range(count)]
        gevent.joinall(waiting, timeout=20, raise_error=True)
        assert [each.value for each in waiting] == list(range(count))

    def check_left():
        "Nothing of it is left in the thread."
        gevent.sleep()
        assert asyncio._get_running_loop() is None
        assert sys.get_asyncgen_hooks() == (None, None)
        assert greenlet.gettrace() is None
"""


def run(text):
    """Ends well."""
    needed_package("gevent")
    script = textwrap.dedent(BEGIN) + textwrap.dedent(text) + "\ncheck_left()\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "wait", ["await asyncio.sleep(0.1)", "time.sleep(0.1)", "await asyncio.to_thread(time.sleep, 0.1)"]
)
def test_each_has_a_loop_and_a_task_of_its_own(wait):
    run(f"""
        async def view(number):
            own = asyncio.get_running_loop(), asyncio.current_task()
            {wait}
            assert own == (asyncio.get_running_loop(), asyncio.current_task())
            await asyncio.gather(asyncio.sleep(0.05), asyncio.sleep(0.05))
            return number

        at_once(lambda number: asyncio.run(view(number)))
    """)


def test_one_that_runs_no_loop_sees_none():
    run("""
        began = []

        async def waits():
            began.append(1)
            time.sleep(0.3)

        def asks(number):
            assert began
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return number

        waiting = gevent.spawn(asyncio.run, waits())
        gevent.sleep(0.05)
        at_once(asks)
        assert not waiting.dead
        waiting.get()
    """)


def test_asynchronous_generators_end_in_the_loop_that_began_them():
    run("""
        async def numbers():
            try:
                while True:
                    await asyncio.sleep(0.02)
                    yield asyncio.get_running_loop()
            finally:
                ended.append(asyncio.get_running_loop())

        async def view(number):
            async for loop in numbers():
                assert loop is asyncio.get_running_loop()
                loops.append(loop)
                return number

        ended, loops = [], []
        at_once(lambda number: asyncio.run(view(number)))
        assert sorted(map(id, ended)) == sorted(map(id, loops))
    """)


def test_asgiref_in_both_directions():
    run("""
        from asgiref.sync import async_to_sync, sync_to_async

        async def inner(number):
            await asyncio.sleep(0.05)
            return number

        async def view(number):
            await asyncio.sleep(0.05)
            await sync_to_async(time.sleep, thread_sensitive=False)(0.05)
            return await sync_to_async(lambda: async_to_sync(inner)(number))()

        at_once(async_to_sync(view))
    """)


def test_programs_and_connections():
    run("""
        import socket

        async def view(number):
            program = await asyncio.create_subprocess_exec("echo", str(number), stdout=subprocess.PIPE)
            said, _ = await program.communicate()
            reader, writer = await asyncio.open_connection(*server.getsockname())
            writer.write(said)
            assert await reader.read() == said
            writer.close()
            return int(said)

        def echo():
            while True:
                sock, _ = server.accept()
                sock.sendall(sock.recv(100))
                sock.close()

        server = socket.create_server(("127.0.0.1", 0))
        gevent.spawn(echo)
        at_once(lambda number: asyncio.run(view(number)), 5)
    """)


def test_one_that_is_killed_ends_its_tasks():
    run("""
        async def view():
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(asyncio.current_task())

        ended = []
        waiting = gevent.spawn(asyncio.run, view())
        gevent.sleep(0.05)
        waiting.kill(timeout=10)
        assert waiting.dead
        assert len(ended) == 1
    """)


def test_who_has_followed_the_switches_before_goes_on_doing_so():
    run("""
        seen = []
        before = lambda event, who: seen.append(event)
        greenlet.settrace(before)
        at_once(lambda number: asyncio.run(asyncio.sleep(0.05, number)))
        gevent.sleep()
        assert len(seen) >= 40
        assert greenlet.gettrace() is before
        greenlet.settrace(None)
    """)
