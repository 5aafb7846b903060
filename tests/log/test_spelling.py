import pytest

from superwsgi.log import spelling


@pytest.mark.parametrize(
    ("count", "spelled"),
    [
        (0, "0"),
        (900, "900"),
        (8 << 10, "8K"),
        (1536, "1.5K"),
        (612 << 20, "612M"),
        (3 << 29, "1.5G"),
        (5 << 40, "5T"),
    ],
)
def test_sizes_are_spelled_as_a_site_file_has_them(count: int, spelled: str) -> None:
    assert spelling.size(count) == spelled


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [
        (0, "0ms"),
        (0.0004, "0.4ms"),
        (0.25, "250ms"),
        (0.9996, "1s"),
        (1.2, "1.2s"),
        (30, "30s"),
        (59.96, "1m00s"),
        (90, "1m30s"),
        (7500, "2h05m"),
        (273_600, "3d04h"),
    ],
)
def test_durations(seconds: float, spelled: str) -> None:
    assert spelling.duration(seconds) == spelled


@pytest.mark.parametrize(
    ("code", "spelled"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "signal 9 (SIGKILL)"),
        (-11, "signal 11 (SIGSEGV)"),
        (-37, "signal 37 (SIGRTMIN+3)"),
        (-99, "signal 99 (SIG99)"),
    ],
)
def test_the_end_of_a_process_in_words(code: int, spelled: str) -> None:
    assert spelling.ending(code) == spelled
