"""An application that counts by prometheus_client, and says what all processes have counted."""

import json
import os

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.multiprocess import MultiProcessCollector

requests = Counter("requests", "of all processes")
imports = Counter("imports", "of all processes")
level = Gauge("level", "the lowest", multiprocess_mode="min")
imports.inc()
level.set(5)


def app(environ, start_response):
    if environ["PATH_INFO"] == "/count":
        requests.inc()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    seen = {name: registry.get_sample_value(name) for name in ("requests_total", "imports_total", "level")}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), **seen}).encode()]
