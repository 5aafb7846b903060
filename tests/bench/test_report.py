"""The parts of the bench that can be wrong without a server: medians, targets, tables."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.results import Results
from tests.bench.scenarios import SCENARIOS
from tests.bench.servers import BEFORE, GREEN, OURS, THREADS
from tests.bench.targets import REAL_TARGETS, TARGETS, Target, verdicts


def results(**scenarios: dict[str, list[dict[str, float]]]) -> Results:
    return Results(
        {"CPU": "a machine"}, {name.replace("_", "-"): samples for name, samples in scenarios.items()}
    )


def test_the_median_is_over_rounds_and_absent_where_nothing_was_measured() -> None:
    found = results(hello={OURS: [{"rate": 3.0}, {"rate": 900.0}, {"rate": 5.0}]})
    assert found.median("hello", OURS, "rate") == 5.0
    assert found.median("hello", "bjoern", "rate") is None
    assert found.median("flask", OURS, "rate") is None


@pytest.mark.parametrize(("value", "verdict"), [(0.17, "PASS"), (0.18, "FAIL"), (None, "")])
def test_a_target_that_is_met_exactly_holds(value: float | None, verdict: str) -> None:
    target = Target("a ratio", lambda _: value, at_most=0.17)
    assert target.verdict(results()).split(" ")[0] == verdict


def test_a_ratio_is_to_the_best_peer_not_to_ourselves() -> None:
    found = results(sleep={OURS: [{"rate": 90.0}], "granian": [{"rate": 100.0}], "bjoern": [{"rate": 1.0}]})
    assert "FAIL  sleep: requests/s, of the best peer's: 0.9 (at least 0.95)" in verdicts(found)


def test_one_broken_exchange_in_one_round_fails() -> None:
    found = results(
        reload={OURS: [{"broken": 0, "ratio": 1}, {"broken": 1, "ratio": 1}, {"broken": 0, "ratio": 1}]}
    )
    assert "FAIL  reload: broken exchanges, worst round: 1 (at most 0)" in verdicts(found)


def test_what_was_measured_before_is_no_peer() -> None:
    found = results(flask={OURS: [{"cpu_us": 90.0, "rate": 95.0, "p50_ms": 1.0, "p99_ms": 1.0}]})
    found.samples["flask"] |= {
        BEFORE: [{"cpu_us": 100.0, "rate": 1000.0, "p99_ms": 1.0}],
        "bjoern": [{"rate": 100.0}],
    }
    assert "PASS  flask: CPU per request, of before: 0.9 (at most 1.03)" in verdicts(found)
    assert "PASS  flask: requests/s, of the best peer's: 0.95 (at least 0.95)" in verdicts(found)


def test_pages_that_were_never_answered_are_a_finding() -> None:
    starved = dict.fromkeys(SCENARIOS["mixed"].columns, 0.0) | {"p50_ms": math.inf, "p99_ms": math.inf}
    text = report.text(results(mixed={OURS: [starved]}))
    assert "|                 0 |    never |    never |" in text
    assert "FAIL  mixed: quick p50 in ms, threads by default: inf (at most 5)" in text


def test_a_mix_is_compared_with_the_same_mix_in_turn() -> None:
    fair, fifo = {"slow_rate": 70.0, "p50_ms": 0.5}, {"slow_rate": 80.0, "p50_ms": 700.0}
    found = results(mixed_fixed={OURS: [fair]}, mixed_fifo={OURS: [fifo]})
    assert "FAIL  mixed-fixed: slow requests/s, of queue: fifo: 0.875 (at least 0.9)" in verdicts(found)


def test_real_work_is_that_of_the_best_of_ours_to_the_best_peer_that_answered_everything() -> None:
    def did(rate: float, p99_ms: float, errors: float = 0) -> list[dict[str, float]]:
        return [{"rate": rate, "p99_ms": p99_ms, "cpu_us": 40.0, "errors": errors}]

    found = results(
        real_sleepers={
            OURS: did(300.0, 1.0, errors=5000),
            THREADS: did(7000.0, 150.0),
            GREEN: did(9500.0, 120.0),
            "granian": did(9000.0, 100.0),
            "uwsgi": did(20_000.0, 5.0, errors=900),
        }
    )
    said = "\n".join(verdicts(found))
    assert "PASS  real-sleepers: requests/s, of the best peer's: 1.06 (at least 0.97)" in said
    assert "FAIL  real-sleepers: p99, of the best peer's: 1.2 (at most 1.1)" in said
    assert "FAIL  real-sleepers: requests/s, threads, of the best peer's: 0.778 (at least 0.9)" in said
    assert "PASS  real-sleepers: requests/s, green, of the best peer's: 1.06 (at least 1)" in said
    assert "FAIL  real-sleepers: CPU in us, green: 40 (at most 36)" in said
    assert f"not measured: {len(REAL_TARGETS) - 5} of {len(REAL_TARGETS)} targets" in said


def test_targets_that_were_not_measured_are_counted() -> None:
    found = results(sequential={OURS: [dict.fromkeys(SCENARIOS["sequential"].columns, 2.0)]})
    assert [line[:4] for line in verdicts(found)] == ["PASS"] * 4 + ["    "]
    assert f"not measured: {len(TARGETS) - 4} of {len(TARGETS)} targets" in verdicts(found)[-1]


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
