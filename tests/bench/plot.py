"""Results as a picture: a row a kind of work, a column a figure, a bar a server. Needs matplotlib."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.report import rounds
from tests.bench.results import Results
from tests.bench.scenarios import REAL, SCENARIOS
from tests.bench.scenarios.work import WORK
from tests.bench.servers import OWN

WIDTH, HEAD, FOOT = 9.0, 0.62, 0.62  # inches
BAR = 0.24  # inches of a row for each server
DOTS_PER_INCH = 200
LEFT, RIGHT, GAP, TITLE, MARGIN = 1.42, 0.1, 0.12, 0.27, 0.08  # inches
ROOM_FOR_VALUE = 1.28  # of the longest bar

OUR_COLOR, PEER_COLOR, INK, FAINT = "#c2410c", "#c4c9d0", "#1f2328", "#656d76"


@dataclass(frozen=True)
class Panel:
    figure: str
    heading: str
    better: str
    logarithmic: bool = False


PANELS = (
    Panel("cpu_us", "CPU per request (us)", "less is better"),
    Panel("p99_ms", "p99 latency (ms)", "less is better, log scale", logarithmic=True),
    Panel("rate", "Requests a second", "more is better"),
    Panel("pss_mb", "Memory, PSS (MB)", "less is better"),
)


def draw(results: Results, path: Path) -> None:
    """Write the PNG. Every panel has a scale of its own: compare the servers within it."""
    rows = [name for name in (*WORK, *REAL) if name in results.samples]
    heights = [_height(results, name) for name in rows]
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 8, "text.color": INK}):
        picture = Figure(figsize=(WIDTH, HEAD + sum(heights) + FOOT), facecolor="white")
        _headings(picture)
        for number, work in enumerate(rows):
            _row(picture, results, work, above=sum(heights[:number]))
        _footer(picture, results)
        picture.savefig(path, dpi=DOTS_PER_INCH)


def _height(results: Results, work: str) -> float:
    """Inches of a row: as many bars as there are servers."""
    return TITLE + BAR * len(results.samples[work]) + MARGIN


def _row(picture: Figure, results: Results, work: str, above: float) -> None:
    height = picture.get_figheight()
    top, row = height - HEAD - above, _height(results, work)
    picture.text(0.1 / WIDTH, (top - 0.05) / height, SCENARIOS[work].title, weight="bold", va="top")
    for column, panel in enumerate(PANELS):
        box = (
            _left(column) / WIDTH,
            (top - row + MARGIN) / height,
            _width() / WIDTH,
            (row - TITLE - MARGIN) / height,
        )
        _bars(picture.add_axes(box), results, work, panel, named=column == 0)


def _bars(axes: Axes, results: Results, work: str, panel: Panel, named: bool) -> None:
    servers = list(results.samples[work])
    values = [results.median(work, server, panel.figure) or 0.0 for server in servers]
    floor = min(values) / 3 if panel.logarithmic else 0.0
    colors = [OUR_COLOR if server in OWN else PEER_COLOR for server in servers]
    axes.barh(servers, [value - floor for value in values], left=floor, height=0.74, color=colors)
    if panel.logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(floor, _end(floor, max(values), panel.logarithmic))
    for server, value in zip(servers, values, strict=True):
        axes.annotate(
            _written(value),
            (value, server),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            weight="bold" if server in OWN else "normal",
            color=OUR_COLOR if server in OWN else INK,
        )
    _bare(axes, named)


def _written(value: float) -> str:
    """About three significant digits."""
    return format(value, ".2f" if value < 10 else ".1f" if value < 100 else ",.0f")


def _end(floor: float, longest: float, logarithmic: bool) -> float:
    """Where the scale ends, so that the longest bar leaves room for its value."""
    if logarithmic:
        return float(floor * (longest / floor) ** ROOM_FOR_VALUE)
    return longest * ROOM_FOR_VALUE


def _bare(axes: Axes, named: bool) -> None:
    """Values are written at the bars: no ticks, no frame; names only in the first column."""
    axes.invert_yaxis()
    axes.xaxis.set_visible(False)
    axes.tick_params(left=False, labelleft=named, labelsize=8, pad=2)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(FAINT)
    for label in axes.get_yticklabels():
        if label.get_text() in OWN:
            label.set(weight="bold", color=OUR_COLOR)


def _headings(picture: Figure) -> None:
    height = picture.get_figheight()
    for column, panel in enumerate(PANELS):
        x = _left(column) / WIDTH
        picture.text(x, (height - 0.14) / height, panel.heading, fontsize=9, weight="bold", va="top")
        picture.text(x, (height - 0.34) / height, panel.better, color=FAINT, va="top")


def _footer(picture: Figure, results: Results) -> None:
    facts = ". ".join(results.machine.values())
    lines = textwrap.wrap(f"{rounds(results).capitalize()}. {facts}.", width=165)
    picture.text(
        0.1 / WIDTH, 0.1 / picture.get_figheight(), "\n".join(lines), fontsize=7, color=FAINT, va="bottom"
    )


def _width() -> float:
    return (WIDTH - LEFT - RIGHT - GAP * (len(PANELS) - 1)) / len(PANELS)


def _left(column: int) -> float:
    return LEFT + column * (_width() + GAP)
