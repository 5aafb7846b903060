"""The parser under atheris, guided by coverage: `python -m tests.fuzz -max_total_time=600 [folder]`.

Arguments are libFuzzer's; what it finds interesting is kept in `folder`. An input that breaks a property is
written to `crash-…`; `python -m tests.fuzz crash-…` runs it again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main() -> None:
    try:
        import atheris
    except ImportError:
        sys.exit("python -m tests.fuzz needs atheris: pip install atheris (wheels for Python 3.11 to 3.13)")
    with atheris.instrument_imports(include=["superwsgi.http"]):
        from tests.fuzz.properties import check, write_dictionary, write_seeds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        write_seeds(folder / "seeds")
        write_dictionary(folder / "words")
        again = any(Path(argument).is_file() for argument in sys.argv[1:])
        given = [] if again else [f"-dict={folder / 'words'}", str(folder / "seeds")]
        atheris.Setup([*sys.argv, *given], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
