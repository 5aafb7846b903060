"""The parts of the bench that can be wrong without a server: medians, targets, tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.results import Results
from tests.bench.servers import OURS
from tests.bench.targets import Target, verdicts


def results(**scenarios: dict[str, list[dict[str, float]]]) -> Results:
    return Results(
        {"CPU": "a machine"}, {name.replace("_", "-"): samples for name, samples in scenarios.items()}
    )


def test_the_median_is_over_rounds_and_absent_where_nothing_was_measured() -> None:
    found = results(hello={OURS: [{"rate": 3.0}, {"rate": 900.0}, {"rate": 5.0}]})
    assert found.median("hello", OURS, "rate") == 5.0
    assert found.median("hello", "bjoern", "rate") is None
    assert found.median("flask", OURS, "rate") is None


@pytest.mark.parametrize(("value", "verdict"), [(0.17, "PASS"), (0.18, "FAIL"), (None, "----")])
def test_a_target_that_is_met_exactly_holds(value: float | None, verdict: str) -> None:
    target = Target("a ratio", lambda _: value, at_most=0.17)
    assert target.verdict(results()).startswith(verdict)


def test_a_ratio_is_to_the_best_peer_not_to_ourselves() -> None:
    found = results(sleep={OURS: [{"rate": 90.0}], "granian": [{"rate": 100.0}], "bjoern": [{"rate": 1.0}]})
    assert "FAIL  sleep: requests/s, of the best peer's: 0.9 (at least 0.95)" in verdicts(found)


def test_one_broken_exchange_in_one_round_fails() -> None:
    found = results(
        reload={OURS: [{"broken": 0, "ratio": 1}, {"broken": 1, "ratio": 1}, {"broken": 0, "ratio": 1}]}
    )
    assert "FAIL  reload: broken exchanges, worst round: 1 (at most 0)" in verdicts(found)


def test_the_cost_of_the_access_log_is_stated() -> None:
    found = results(access_log={OURS: [{"off_us": 10.0, "on_us": 12.5, "cost_us": 2.5}]})
    assert verdicts(found)[-1].strip() == "access log on: 2.50 us of CPU per request"


def test_a_table_is_aligned_and_is_markdown() -> None:
    assert report.table([["server", "p99 (ms)"], ["waitress", "1.00"]]).splitlines() == [
        "| server   | p99 (ms) |",
        "| -------- | -------: |",
        "| waitress |     1.00 |",
    ]


def test_the_report_names_the_machine_and_what_was_left_out() -> None:
    found = results(idle={OURS: [{"idle_percent": 0.1234, "pss_mb": 30.0}]})
    found.failures.append("bjoern could not be installed: no compiler")
    text = report.text(found)
    assert "- CPU: a machine" in text
    assert "| superwsgi |             0.123 |             30.0 |" in text
    assert "- bjoern could not be installed: no compiler" in text


def test_the_report_says_how_busy_the_machine_was_otherwise() -> None:
    found = results(
        hello={OURS: [{"others_percent": 2.0}, {"others_percent": 40.0}, {"others_percent": 4.0}]}
    )
    assert report.noise(found) == {"Other processes": "4 % of a core (median), 40 % (worst)"}


def test_results_survive_their_file(tmp_path: Path) -> None:
    found = results(hello={OURS: [{"rate": 1.5}]})
    found.save(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == found
