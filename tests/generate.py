"""Files of the repository that are made from the schema of the site file: config/reference.yaml, and the
README for its table of keys. `python -m tests.generate` writes them anew; tests say when it has to.
"""

from __future__ import annotations

import re
from pathlib import Path

from superwsgi.config.shown.reference import markdown_table, reference

REPOSITORY = Path(__file__).parents[1]
ANEW = "is not what the schema says: run python -m tests.generate"

_TABLE = re.compile(r"(?<=<!-- keys -->\n).*(?=\n<!-- /keys -->)", re.DOTALL)


def generated() -> dict[Path, str]:
    """The text that each of them should have."""
    readme = REPOSITORY / "README.md"
    table = markdown_table().strip()
    return {
        REPOSITORY / "config/reference.yaml": reference(),
        readme: _TABLE.sub(lambda _: table, readme.read_text()),
    }


if __name__ == "__main__":
    for path, text in generated().items():
        if path.read_text() != text:
            path.write_text(text)
            print(f"{path.relative_to(REPOSITORY)}: written anew")
