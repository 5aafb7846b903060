"""What the pages of real work show: known to the applications, to who fills the database, and to who checks.

No framework and no driver is imported here: the bench itself has none.
"""

from __future__ import annotations

POSTGRES = "BENCH_POSTGRES"
"""The environment variable with the folder of PostgreSQL's socket."""

USER = "bench"
DATABASE = "postgres"
POOL = 8
"""Connections to the database that an application keeps."""

ROWS = 10_000
LISTED = 20

PRODUCTS = [
    {
        "id": n,
        "name": f"product {n}",
        "price": n * 1.25,
        "tags": ["new", f"shelf {n % 7}"],
        "stock": n * 37 % 11,
    }
    for n in range(LISTED)
]

ADDED = "What the page adds to them as it is asked for."
FORTUNES = (
    "A watched daemon never forks.",
    "It works on my machine; so ship the machine.",
    "There are two hard things: names, caches, and counting.",
    "Es läuft, aber niemand weiß, warum.",
    "<script>alert('never run this');</script>",
    'He said "restart it" & left.',
    "Whoever measures once believes; whoever measures twice doubts.",
    "静かな夜は監視が壊れている。",
    "The queue is short because the door is shut.",
    "A backup is a rumour until it is restored.",
    "Every timeout is somebody's patience.",
    "Read the log before it reads you.",
)


def number(row: int) -> int:
    """What stands in row number `row`."""
    return row * 7919 % ROWS


def shown_fortunes() -> list[str]:
    """In the order of the page."""
    return sorted([*FORTUNES, ADDED])


def filling() -> str:
    """The SQL that makes and fills the tables."""
    fortunes = ", ".join(f"({n}, {_literal(text)})" for n, text in enumerate(FORTUNES, 1))
    return (
        "CREATE TABLE world (id integer PRIMARY KEY, number integer NOT NULL);\n"
        f"INSERT INTO world SELECT n, n * 7919 % {ROWS} FROM generate_series(1, {ROWS}) AS n;\n"
        "CREATE TABLE fortune (id integer PRIMARY KEY, message text NOT NULL);\n"
        f"INSERT INTO fortune VALUES {fortunes};\n"
        "ANALYZE;\n"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
