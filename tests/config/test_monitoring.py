"""The dashboard and the alerts ask for metrics that there are, and fire when they should."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.admin.shown import snapshot
from tests.tools import needed

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from superwsgi.admin.metrics.application import AppMetrics
from superwsgi.admin.metrics.exposition import exposition

CONFIG = Path(__file__).parents[2] / "config"
RULES = CONFIG / "prometheus-rules.yaml"
DASHBOARD = json.loads((CONFIG / "grafana.json").read_text())
VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$instance": ".*"}
SITE = 'job="superwsgi", instance="a:9000"'


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield from (panel, *panel.get("panels", ()))


def expressions() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    asked += [each["expr"] for each in DASHBOARD["annotations"]["list"]]
    for variable, value in VARIABLES.items():
        asked = [expression.replace(variable, value) for expression in asked]
    return asked


def metrics() -> dict[str, set[str]]:
    """The labels of each metric that there may be."""
    _, body = exposition(snapshot(paths=1, candidate=4), "", AppMetrics("/nowhere"))
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_every_metric_that_is_asked_for_is_there() -> None:
    asked = [*expressions(), *(rule["expr"] for rule in rules())]
    asked += [
        variable["definition"] for variable in DASHBOARD["templating"]["list"] if "definition" in variable
    ]
    known = metrics()
    names = {name for each in asked for name in re.findall(r"\bsuperwsgi_\w+", each)}
    assert names - set(known) == set()


def test_every_label_that_is_asked_for_is_there() -> None:
    known = metrics()
    for each in [*expressions(), *(rule["expr"] for rule in rules())]:
        for name, selector in re.findall(r"\b(superwsgi_\w+)\{([^}]*)\}", each):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", selector))
            assert labels - {"job", "instance"} <= known[name], each


def test_promtool_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    wrapped = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions())]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": wrapped}]}))
    promtool("check", "rules", file)


def test_panels_do_not_overlap_and_have_what_grafana_needs() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["type"] in ("row", "timeseries", "stat", "heatmap", "table")
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    assert DASHBOARD["schemaVersion"] >= 36
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance"]
    sources = re.findall(r'"uid": "([^"]*)"', (CONFIG / "grafana.json").read_text())
    assert set(sources) == {"${datasource}", "superwsgi"}


def test_the_rules_are_good(tmp_path: Path) -> None:
    promtool("check", "rules", RULES)
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    assert {rule["labels"]["severity"] for rule in rules()} == {"warning", "critical"}


@pytest.mark.parametrize(
    ("alert", "series", "firing"),
    [
        ("SuperwsgiNotScraped", {"up": "0x60"}, True),
        ("SuperwsgiNotScraped", {"up": "1x60"}, False),
        ("SuperwsgiDown", {'superwsgi_health{superwsgi_health="down"}': "1x60"}, True),
        ("SuperwsgiDown", {'superwsgi_health{superwsgi_health="down"}': "0x60"}, False),
        ("SuperwsgiDegraded", {'superwsgi_health{superwsgi_health="degraded"}': "1x60"}, True),
        (
            "SuperwsgiWorkersMissing",
            {"superwsgi_workers_serving": "1x60", "superwsgi_workers_wanted": "2x60"},
            True,
        ),
        (
            "SuperwsgiWorkersMissing",
            {"superwsgi_workers_serving": "2x60", "superwsgi_workers_wanted": "2x60"},
            False,
        ),
        ("SuperwsgiCompanionDown", {'superwsgi_companion_up{companion="mail"}': "0x60"}, True),
        ("SuperwsgiCompanionDown", {'superwsgi_companion_up{companion="mail"}': "0 1x60"}, False),
        ("SuperwsgiQueue", {"superwsgi_queue_oldest_seconds": "2.5x60"}, True),
        ("SuperwsgiQueue", {"superwsgi_queue_oldest_seconds": "0 0 0 5 0 0x60"}, False),
        ("SuperwsgiThreadsAbandoned", {"superwsgi_threads_abandoned": "1x60"}, True),
        ("SuperwsgiSheds", {"superwsgi_requests_shed_total": "0+30x60"}, True),
        ("SuperwsgiSheds", {"superwsgi_requests_shed_total": "30x60"}, False),
        (
            "SuperwsgiErrors",
            {
                'superwsgi_requests_total{method="GET", status="2xx"}': "0+90x60",
                'superwsgi_requests_total{method="GET", status="5xx"}': "0+10x60",
            },
            True,
        ),
        (
            "SuperwsgiErrors",
            {
                'superwsgi_requests_total{method="GET", status="2xx"}': "0+99x60",
                'superwsgi_requests_total{method="GET", status="5xx"}': "0+1x60",
            },
            False,
        ),
        ("SuperwsgiRestarts", {'superwsgi_worker_restarts_total{cause="SIGKILL"}': "0+1x60"}, True),
        ("SuperwsgiRestarts", {'superwsgi_worker_restarts_total{cause="SIGKILL"}': "7x60"}, False),
        ("SuperwsgiReloadFailed", {'superwsgi_reloads_total{result="rolled back"}': "0x28 1x30"}, True),
        ("SuperwsgiReloadFailed", {'superwsgi_reloads_total{result="complete"}': "0x28 1x30"}, False),
        ("SuperwsgiAppMetricsLeftOut", {'superwsgi_app_left_out{reason="unreadable"}': "1x60"}, True),
    ],
)
def test_alerts_fire_when_they_should(
    tmp_path: Path, alert: str, series: dict[str, str], firing: bool
) -> None:
    """After half an hour, with a number each minute."""
    (rule,) = (rule for rule in rules() if rule["alert"] == alert)
    kept = (
        re.findall(r'(status|reason)="', next(iter(series))) if alert == "SuperwsgiAppMetricsLeftOut" else []
    )
    labels = {"job": "superwsgi", "instance": "a:9000", **rule["labels"]}
    labels |= dict.fromkeys(kept, "unreadable")
    labels |= {"companion": "mail"} if alert == "SuperwsgiCompanionDown" else {}
    if alert in ("SuperwsgiDown", "SuperwsgiDegraded"):
        labels["superwsgi_health"] = alert.removeprefix("Superwsgi").lower()
    file = tmp_path / "alerts.yaml"
    only = tmp_path / "rules.yaml"
    bare = {key: value for key, value in rule.items() if key != "annotations"}
    only.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [bare]}]}))
    expected = [{"exp_labels": labels}] if firing else []
    test = {
        "interval": "1m",
        "input_series": [{"series": labelled(name), "values": value} for name, value in series.items()],
        "alert_rule_test": [{"eval_time": "30m", "alertname": alert, "exp_alerts": expected}],
    }
    file.write_text(yaml.safe_dump({"rule_files": [str(only)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", file)


def labelled(series: str) -> str:
    name, _, more = series.partition("{")
    return f"{name}{{{SITE}, {more}" if more else f"{name}{{{SITE}}}"


def promtool(*arguments: object) -> None:
    command = [needed("promtool"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
