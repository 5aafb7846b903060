"""The way to the plot, whose library may be missing: asked for before the long run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import click

from tests.bench.results import Results


def plotter() -> Callable[[Results, Path], None]:
    """What draws the plot. Raises ClickException without matplotlib."""
    try:
        draw: Callable[[Results, Path], None] = importlib.import_module("tests.bench.plot").draw
    except ImportError as error:
        raise click.ClickException(f"no plot without {error.name}: pip install 'superwsgi[bench]'") from error
    return draw
