"""The rules by path of a site, in the words of a worker: ns, and gates that the queue counts at."""

from __future__ import annotations

import sys

from superwsgi.config.parts.paths import PathRule
from superwsgi.config.schema import Site
from superwsgi.http.request.rules import Gate, RequestRule, Rules
from superwsgi.worker.connection.alarm import deadline_after


def rules_of(site: Site) -> Rules | None:
    """None where there are none. Once for each worker: its requests share the gates."""
    if not site.paths:
        return None
    rules = {
        path: _rule(f"paths.{path}", number, rule, site)
        for number, (path, rule) in enumerate(site.paths.items(), 1)
    }
    return Rules(rules, _rule("", 0, PathRule(), site))


def _rule(name: str, number: int, rule: PathRule, site: Site) -> RequestRule:
    request, body = site.timeouts.request, site.limits.body
    return RequestRule(
        request=(deadline_after(request), "timeouts.request")
        if rule.request is None
        else (deadline_after(rule.request), f"{name}.request"),
        slow=deadline_after(site.log.slow if rule.slow is None else rule.slow),
        body=(body or sys.maxsize, "limits.body")
        if rule.body is None
        else (rule.body or sys.maxsize, f"{name}.body"),
        logged=rule.log,
        gates=() if rule.threads is None else (Gate(f"{name}.threads", number, rule.threads),),
    )
