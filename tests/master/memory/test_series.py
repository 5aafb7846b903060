"""How the memory of a worker goes on, from what it was."""

import pytest

from superwsgi.master.memory.series import KEPT, Figures, MemorySeries

MIB = 1 << 20


def series(levels):
    """One figure a second, in MiB."""
    made = MemorySeries()
    for at, level in enumerate(levels):
        made.add(Figures(float(at), int(level * MIB)))
    return made


def test_a_steady_growth_reaches_the_limit():
    grows = series(100 + at / 4 for at in range(200))
    assert grows.rate() == pytest.approx(MIB / 4, rel=0.05)
    assert grows.reaches(150 * MIB, 200 * MIB) == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize(
    "levels",
    [
        [100] * 100,
        [*range(60), *[60] * 100],
        [100 + 50 * (at % 10 == 0) for at in range(100)],
        [100 + at % 20 for at in range(99)],
        [100] * 5,
    ],
    ids=["even", "filled", "buffers", "garbage", "too few"],
)
def test_nothing_is_foretold_of_what_does_not_grow_lastingly(levels):
    assert series(levels).reaches(100 * MIB, 10_000 * MIB) is None


def test_nor_without_a_limit_or_beyond_a_week():
    grows = series(100 + at / 4 for at in range(100))
    assert grows.reaches(100 * MIB, None) is None
    assert grows.reaches(100 * MIB, 10**6 * MIB) is None
    assert grows.reaches(100 * MIB, 50 * MIB) is None


def test_it_spans_a_life_with_few_figures():
    made = series([100] * 50_000)
    assert len(made.kept) <= KEPT
    assert made.kept[0].at == 0
    assert made.kept[-1].at > 47_000
