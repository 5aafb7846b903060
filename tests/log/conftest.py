from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Its ends for reading and writing, closed after the test."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)
