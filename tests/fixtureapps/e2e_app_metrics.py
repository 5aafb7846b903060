"""A Flask application with metrics of its own, which knows nothing of several processes."""

import os

from flask import Flask, jsonify
from prometheus_client import Counter, Gauge, Histogram

app = Flask(__name__)

pages = Counter("shop_pages", "Pages that were shown.", ["page"])
took = Histogram("shop_seconds", "Time of pages.", buckets=(0.5, 1.0))
workers = Gauge("shop_workers", "Workers that live.", multiprocess_mode="livesum")
baskets = Gauge("shop_baskets", "Baskets of each worker.")
imports = Counter("shop_imports", "Imports, one for each worker.")
imports.inc()
workers.set(1)


@app.get("/count")
def count():
    pages.labels("count").inc()
    took.observe(0.7)
    baskets.inc()
    return jsonify(pid=os.getpid(), folder=os.environ.get("PROMETHEUS_MULTIPROC_DIR"))


@app.get("/")
def about():
    return jsonify(pid=os.getpid(), folder=os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
