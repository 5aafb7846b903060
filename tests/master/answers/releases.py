"""Releases that never were: traffic of pages, drawn at random, before a release and while it is watched."""

from random import Random

from superwsgi.master.answers.evidence import NOTHING, Answered, Compared, worse
from superwsgi.master.answers.past import Past

CONFIRM = 10  # seconds
MINUTES = 60
TOLERATED = 0.01


class Release:
    """`rates` are requests a second of each page, `before` and `now` its shares of failures. Good answers are
    looked at one in `each`; `burst` turns the share of a second, by its number, into another."""

    def __init__(
        self, random: Random, rates, before, now, each=1, minutes=MINUTES, burst=lambda _, share: share
    ):
        self.random = random
        self.rates, self.before, self.now, self.each, self.burst = rates, before, now, each, burst
        self.past = Past()
        for minute in range(minutes):
            self.past.add(self._minute(minute), minute * 60.0)
        self.past.cut(minutes * 60.0)

    def back_after(self):
        """Seconds until it goes back; None if it stays."""
        pages = range(len(self.rates))
        now, looks = [NOTHING for _ in pages], [set() for _ in pages]
        for second in range(CONFIRM):
            for page in pages:
                more = self._answers(self.rates[page], self.burst(second, self.now[page]))
                now[page] += more
                looks[page] |= {second} if more.failed else set()
            compared = [
                Compared(page, now[page], frozenset(looks[page]), self.past.reference(page)) for page in pages
            ]
            if worse(compared, TOLERATED):
                return second + 1
        return None

    def _minute(self, minute):
        return {
            page: self._answers(rate * 60, self.burst(-60 * minute, share))
            for page, (rate, share) in enumerate(zip(self.rates, self.before, strict=True))
        }

    def _answers(self, mean, share):
        count = self._around(mean, mean**0.5)
        failed = min(count, self._around(count * share, (count * share * (1 - share)) ** 0.5))
        seen = count - failed
        if self.each > 1:
            seen = self._around(seen / self.each, (seen / self.each) ** 0.5)
        return Answered(failed, seen * self.each, seen * self.each**2)

    def _around(self, mean, deviation):
        """Poisson's or the binomial distribution, nearly; where little is expected, as they are."""
        if mean > 20:
            return max(0, round(self.random.gauss(mean, deviation)))
        left, count = self.random.expovariate(1.0), 0
        while left < mean:
            left, count = left + self.random.expovariate(1.0), count + 1
        return count


def gone_back(count, *args, seed=1, **more):
    """How many of so many releases go back."""
    random = Random(seed)
    return sum(Release(random, *args, **more).back_after() is not None for _ in range(count))
