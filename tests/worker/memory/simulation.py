"""A worker of eight threads with twenty pages of equal traffic, simulated: its memory, the looks at it, and
what these say."""

import random
from collections import Counter

from superwsgi.worker.memory.blame import MOST, Reading, growing, thinned

KIB, MIB = 1 << 10, 1 << 20
PAGES = [f"GET /{name}" for name in "abcdefghijklmnopqrst"]
THREADS = 8


class Page:
    """What its requests do: `grows` is called at some time in each, and says what is never given back;
    `holds` bytes are had while it runs, `takes` is how long that is. Nothing by default."""

    def __init__(self, grows=lambda: 0, holds=0, takes=1.0):
        self.grows, self.holds, self.takes = grows, holds, takes


def looks(pages, requests, seed=0, resident=None):
    """Those while so many requests of each page run on average, some 16 requests apart. `resident` says what
    is, by what is used."""
    chance = random.Random(seed)
    used, ended, found, left = 30 * MIB, Counter(), [], 1
    running = []  # when it grows or ends, which of these, whose
    now = 0.0
    for _ in range(THREADS):
        _begin(running, pages, now, chance)
    for _ in range(2 * requests * len(PAGES)):
        running.sort()
        now, ends, kind = running.pop(0)
        page = pages.get(kind, Page())
        if not ends:
            used += page.grows() + page.holds
            continue
        used -= page.holds
        ended[kind] += 1
        _begin(running, pages, now, chance)
        left -= 1
        if left == 0:
            in_hand = Counter(kind for _, ends, kind in running if ends)
            noise = chance.randrange(64 * KIB)
            found.append(_look(now, used + noise, dict(ended), dict(in_hand), resident, bool(found)))
            ended, left = Counter(), chance.randint(8, 24)
    return found


def judged(pages, requests, seed=0, each=16):
    """The same as the watch has it: what is known to grow after so many looks each, with older ones
    thinned."""
    kept = []
    for count, look in enumerate(looks(pages, requests, seed), 1):
        kept.append(look)
        if len(kept) > MOST:
            kept = thinned(kept)
        if count % each == 0:
            yield growing(kept)


def _begin(running, pages, now, chance):
    kind = chance.choice(PAGES)
    ends = now + chance.uniform(0.5, 1.5) * pages.get(kind, Page()).takes
    running += [(now + chance.random() * (ends - now), 0, kind), (ends, 1, kind)]


def _look(now, used, ended, in_hand, resident, joined):
    return Reading(int(now * 1e6), used if resident is None else resident(used), used, ended, in_hand, joined)
