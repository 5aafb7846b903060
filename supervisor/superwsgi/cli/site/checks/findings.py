"""What a check has found: lines for a person, in the order of the file, and JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable

import click
import msgspec

from superwsgi.checking.checked import Checked, Told
from superwsgi.checking.explain.sections import Origins, Section
from superwsgi.config.errors import ConfigError
from superwsgi.config.schema import Site
from superwsgi.log.spelling import duration, printable, printable_lines, spell_fields
from superwsgi.messages import Tried, WentWrong
from superwsgi.worker.hazards.finding import A_LOCK


def tell(wrong: WentWrong) -> None:
    """What goes wrong while the application is loaded."""
    click.echo(f"warning: {printable(wrong.event)} {spell_fields(wrong.fields)}", err=True)
    _show(wrong.detail)


def report(checked: Checked, name: str) -> None:
    """What is wrong, then what is only worth a warning, then how it would be; `name` is what was checked."""
    for each in checked.told:
        _say(each)
    if checked.untried:
        click.echo(f"{name}: the application was not tried: {checked.untried}", err=True)
    if not checked.wrong and checked.tried is not None:
        _fine(checked, name, checked.tried)


def _say(told: Told) -> None:
    if not told.harmless:
        click.echo(str(told.problem), err=True)
        _show(told.detail)
        return
    place = f"{told.problem.place}: " if told.problem.place is not None else ""
    hint = f": {told.problem.hint}" if told.problem.hint else ""
    click.echo(f"{place}warning: {told.problem.message}{hint}", err=True)


def _show(detail: str) -> None:
    if detail:
        click.echo("\n".join(printable_lines(detail)), err=True)


def _fine(checked: Checked, name: str, tried: Tried) -> None:
    site, now = checked.reading.site, checked.running
    runs = f"; it runs already (pid {now.pid}): a reload would bring this" if now is not None else ""
    click.echo(f"{name}: fine; the application loads in {duration(tried.seconds)}{runs}")
    if site.rollout.before is not None:
        command = Origins.of(site).text("rollout.before").strip('"')
        click.echo(f"rollout.before: {command!r} runs before each generation; it was not run now")
    if tried.hazards and site.preload:
        found = printable(", ".join(tried.hazards))
        click.echo(f"preload: {found} would not survive a fork: {_consequence(site, tried.hazards)}")


def _consequence(site: Site, hazards: Iterable[str]) -> str:
    """What follows from fork hazards, and what to do."""
    if site.preload != "auto":
        return "the workers are forked without them; create them in hooks.after_fork, or set preload: auto"
    apart = "every worker imports the application itself"
    if any(hazard.startswith(A_LOCK) for hazard in hazards) and not _runs_alone(site):
        return f"{apart}; if only one may hold the lock, set `workers: 1` and `rollout: {{overlap: no}}`"
    return f"{apart}; to share its memory, create them in hooks.after_fork"


def _runs_alone(site: Site) -> bool:
    return site.workers == 1 and not site.rollout.overlap


def in_json(checked: Checked, file: str | None, sections: Iterable[Section]) -> str:
    """All of it, on one line; `file` is the site file as it was named, if there is one."""
    facts = {each.title: [msgspec.to_builtins(fact) for fact in each.facts] for each in sections}
    would = {"site": checked.reading.site.name, "file": file, "starts": not checked.wrong}
    problems = list(map(_problem, checked.told))
    return msgspec.json.encode({**would, "problems": problems, "explained": facts}).decode()


def unreadable(error: ConfigError, file: str) -> str:
    """The same where nothing could be read of what was named."""
    problems = [_problem(Told(problem)) for problem in error.problems]
    return msgspec.json.encode(
        {"site": None, "file": file, "starts": False, "problems": problems, "explained": {}}
    ).decode()


def _problem(told: Told) -> dict[str, object]:
    line, column = told.problem.position
    return {
        "level": "warning" if told.harmless else "error",
        "file": None if told.problem.place is None else told.problem.place.file,
        "line": line,
        "column": column,
        "message": told.problem.message,
        "hint": told.problem.hint,
        "detail": told.detail,
    }
