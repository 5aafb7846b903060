"""Which processes that a worker has left behind are ended."""

import pytest

from superwsgi.master.processes.strays import orphans
from superwsgi.system.lineage import Mark

MOLD, ONE, TWO, COPY, HELPER = 10, 11, 12, 20, 30
HOME = {MOLD: Mark(MOLD, MOLD), ONE: Mark(MOLD, ONE), TWO: Mark(MOLD, TWO)}


@pytest.mark.parametrize(
    ("gone", "ended"),
    [
        ([], set()),
        ([ONE], set()),
        ([TWO], {COPY}),
        ([MOLD], set()),  # its helper is its workers' as well
        ([MOLD, ONE], set()),
        ([MOLD, ONE, TWO], {COPY, HELPER}),
    ],
)
def test_a_copy_ends_with_the_last_that_may_use_it(gone, ended):
    marks = {**HOME, COPY: Mark(MOLD, TWO), HELPER: Mark(MOLD, MOLD)}
    assert orphans({pid: mark for pid, mark in marks.items() if pid not in gone}, ()) == ended


def test_a_worker_that_has_just_been_forked_still_has_the_mark_of_its_mold():
    assert orphans({MOLD: Mark(MOLD, MOLD), ONE: Mark(MOLD, MOLD)}, ()) == set()


def test_where_marks_of_workers_cannot_be_read_the_master_knows_them():
    copies = {COPY: Mark(ONE, ONE), HELPER: Mark(TWO, TWO)}
    assert orphans(copies, [MOLD, ONE]) == {HELPER}
