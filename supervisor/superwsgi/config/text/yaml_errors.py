"""What is wrong with a file that is not YAML, in plain words.

PyYAML's messages speak of its scanner and parser. A table says what an operator most likely did; what is
not in it keeps PyYAML's words.
"""

from __future__ import annotations

import re
from typing import Final

import yaml
from yaml.reader import ReaderError

_OPENED: Final = "opened here and never closed"

_NO_COLON: Final = "a key without ':'"

_QUOTES: Final = "put quotes around a value with special characters"

_WORDS: Final = (
    (r"found character '\\t'", "a tab", "YAML is indented with spaces"),
    (r"found character '(.)'", "a value cannot begin with '{0}'", "put quotes around it"),
    (r"mapping values are not allowed here", "a second ': ' in this value, or a wrong indentation", _QUOTES),
    (r"could not find expected ':'", _NO_COLON, "write 'key: value'"),
    (r"found undefined alias '(.*)'", "no anchor &{0} above", "put quotes around a value that begins with *"),
    (r"while scanning an alias", "a value cannot begin with '*'", "put quotes around it"),
    (r"while scanning an anchor", "a value cannot begin with '&'", "put quotes around it"),
    (r"found duplicate anchor '(.*)';", "anchor &{0} is defined twice", ""),
    (r"a single document", "a second document", "a site file is one document; leave out '---'"),
    (r"found unexpected end of stream", f"a quote {_OPENED}", ""),
    (r"flow (?:sequence|mapping).*'<stream end>'", f"a bracket {_OPENED}", ""),
    (r"flow node.*'<stream end>'", "the file ends here, inside a bracket that was opened before", ""),
    (r"but got '{'", "'{{' is not allowed here", 'inside { } and [ ] write "${NAME}" in quotes'),
    (r"but got '<scalar>'", "a ',' or a closing bracket is missing before this", _QUOTES),
    (r"sequence entries", "'-' begins a list item, which is not allowed here", 'for a lone dash write "-"'),
    (r"expected ',' or '(.)', but got '(.*)'", "expected ',' or '{0}', got '{1}'", _QUOTES),
    (r"but found '<block mapping start>'", "this line is not indented like those around it", ""),
    (r"flow node.*but found '(.*)'", "'{0}' is not allowed here", _QUOTES),
    (r"but found '-'", "a list item among keys", "indent it below its key"),
    (r"but found '[?]'", "a key among list items", "indent the list below its key"),
    (r"but found '<scalar>'", "text after the closing quote or bracket", _QUOTES),
    (r"but found '(.*)'", "'{0}' is not allowed here", _QUOTES),
    (r"found unknown escape character '(.*)'", "'\\{0}' means nothing in double quotes", "use single quotes"),
)


def explain(error: yaml.YAMLError, text: str) -> tuple[int, int, str, str]:
    """Line and column (from 0), message and hint."""
    if isinstance(error, ReaderError):
        before = text[: error.position].split("\n")
        message = f"YAML does not allow the character U+{ord(text[error.position]):04X}"
        return len(before) - 1, len(before[-1]), message, ""
    if not isinstance(error, yaml.MarkedYAMLError):
        return 0, 0, str(error), ""
    said = f"{error.context or ''} {error.problem or ''}".strip()
    message, hint = _plain_words(said)
    noticed_late = message.endswith((_OPENED, _NO_COLON))
    mark = (error.context_mark if noticed_late else error.problem_mark) or error.context_mark
    return (mark.line, mark.column, message, hint) if mark else (0, 0, message, hint)


def _plain_words(said: str) -> tuple[str, str]:
    for pattern, message, hint in _WORDS:
        found = re.search(pattern, said)
        if found:
            return message.format(*found.groups()), hint
    return said, ""
