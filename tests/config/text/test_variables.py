"""`${NAME}` in values."""

from __future__ import annotations

import pytest

from superwsgi.config.text.variables import Unset, expand

ENVIRON = {"PORT": "8000", "EMPTY": "", "NESTED": "${PORT}", "a_1": "x"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("", ""),
        ("plain $PORT $ {PORT} $$", "plain $PORT $ {PORT} $$"),
        ("${PORT}", "8000"),
        (":${PORT}/${a_1}", ":8000/x"),
        ("${EMPTY}", ""),
        ("${EMPTY:-full}", "full"),
        ("${GONE:-}", ""),
        ("${GONE:-a b:-c}", "a b:-c"),
        ("${PORT:-1}", "8000"),
        ("${NESTED}", "${PORT}"),
        ("$${PORT}", "${PORT}"),
        ("$${${PORT}}", "${8000}"),
        ("{PORT}", "{PORT}"),
    ],
)
def test_expand(text: str, expanded: str) -> None:
    assert expand(text, ENVIRON) == expanded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${GONE}", "environment variable GONE is not set"),
        ("${}", "'${}' is not a variable"),
        ("${1A}", "'${1A}' is not a variable"),
        ("${PORT-1}", "'${PORT-1}' is not a variable"),
        ("${PORT", "'${PORT' is not a variable"),
        ("${GONE:-${PORT}}", "'${GONE:-${PORT}' is not a variable"),
        ("${ PORT }", "'${ PORT }' is not a variable"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(Unset) as caught:
        expand(text, ENVIRON)
    assert str(caught.value) == message
    assert caught.value.hint
