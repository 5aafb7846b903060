import pytest

from superwsgi.http.request.trace import named_by, traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("said", "logged"),
    [
        (VALID, VALID),
        (f"00-{TRACE}-{PARENT}-ff", f"00-{TRACE}-{PARENT}-ff"),
        (f"cc-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01"),
        (f"cc-{TRACE}-{PARENT}-01-what the future will be like", f"cc-{TRACE}-{PARENT}-01"),
        (f"cc-{TRACE}-{PARENT}-01-", f"cc-{TRACE}-{PARENT}-01"),
    ],
)
def test_valid(said: str, logged: str) -> None:
    assert traceparent({"HTTP_TRACEPARENT": said}) == logged


@pytest.mark.parametrize(
    "said",
    [
        "",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE}-{PARENT}-01-more",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"cc-{TRACE}-{PARENT}-011",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}0-01",
        f"00-{TRACE}-{PARENT}-0g",
        f"00-{TRACE}-{PARENT}",
        f"0-{TRACE}-{PARENT}-01",
        f"{VALID},{VALID}",  # two fields
        f" {VALID}",
        f"{VALID}\n",
        f"00-{TRACE}-{PARENT}-\u0661\u0661",
        None,
        7,
        VALID.encode(),
    ],
)
def test_invalid(said: object) -> None:
    assert traceparent({"HTTP_TRACEPARENT": said}) == ""


def test_a_request_without_a_trace_has_its_id_alone() -> None:
    assert traceparent({}) == ""
    assert named_by("ab-1", "") == {"request": "ab-1"}
    assert named_by("ab-1", VALID) == {"request": "ab-1", "traceparent": VALID}
