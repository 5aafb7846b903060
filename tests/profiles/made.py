"""A profile made by hand, with names that an application might give to do harm."""

from superwsgi.control import Profile, WorkerProfile
from superwsgi.samples import Frame, Sampled, Stack

VIEW = Frame("report", "/srv/shop/views.py", 30, 34)
ELSEWHERE = Frame("report", "/srv/shop/views.py", 30, 36)
QUERY = Frame("Cursor.execute", "/venv/lib/python3.13/site-packages/db/cursor.py", 80, 97)
LOOP = Frame("<lambda>", '/srv/shop/</script><b>"x";\x1b[2J.py', 1, 2)


def sampled(*stacks, groups=("GET /report/*", "GET /"), **more):
    frames = [VIEW, ELSEWHERE, QUERY, LOOP]
    facts = {
        "seconds": 10.0,
        "due": 1000,
        "taken": 990,
        "late": 0.0004,
        "latest": 0.012,
        "spent": 0.1,
        **more,
    }
    return Sampled([*groups], frames, [Stack(*each) for each in stacks], **facts)


ONE = sampled((0, [0, 2], 6.0, 600), (0, [1, 3], 2.0, 200), (1, [0], 2.0, 200))
OTHER = sampled((0, [0], 4.0, 400), groups=("GET /", "GET /report/*"), latest=0.5)


def profile(*workers, **more):
    facts = {"site": "shop", "of": None, "seconds": 10.0, "rate": 100.0, "cpu": False, "path": None, **more}
    return Profile(workers=[*workers], **facts)


def told(number, found, note=""):
    return WorkerProfile(number, 1, 4700 + number, note, found)


PROFILE = profile(told(1, ONE), told(2, OTHER), told(3, None, "died before it told what it had found"))
EMPTY = profile(told(1, sampled(groups=(), taken=1000)))
