"""What TLS costs: hello world without it, then with it over connections that stay open, in each round."""

from __future__ import annotations

from pathlib import Path

from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import BenchError
from tests.bench.scenarios.work import WORK
from tests.bench.scenarios.work import measure as measure_work
from tests.bench.servers import Pair, Server


def measure(server: Server, bench: Bench) -> Sample:
    hello, pair = WORK["hello"], _pair(bench.folder)
    plain = measure_work(hello, server, bench)
    tls = measure_work(hello, server, bench, tls=pair)
    return {
        "plain_us": plain["cpu_us"],
        "tls_us": tls["cpu_us"],
        "cost_us": tls["cpu_us"] - plain["cpu_us"],
        "rate": tls["rate"],
        "share": tls["rate"] / plain["rate"],
        "p99_ms": tls["p99_ms"],
    }


def _pair(folder: Path) -> Pair:
    """A certificate for the run. Connections are few and stay, so its kind of key does not count."""
    try:
        import trustme
    except ImportError:
        raise BenchError("trustme is missing: pip install 'superwsgi[bench]'") from None
    pair = Pair(str(folder / "tls.pem"), str(folder / "tls.key"))
    if not Path(pair.key).exists():
        made = trustme.CA().issue_cert("localhost", key_type=trustme.KeyType.RSA)
        made.private_key_pem.write_to_path(pair.key)
        Path(pair.certificate).write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    return pair


SCENARIO = Scenario(
    title="TLS: hello world, 1 worker, 8 threads, 32 keep-alive connections",
    columns={
        "plain_us": Column("CPU per request, plain (us)"),
        "tls_us": Column("by TLS (us)"),
        "cost_us": Column("cost (us)"),
        "rate": Column("requests/s by TLS", ",.0f"),
        "share": Column("of plain", ",.2f"),
        "p99_ms": Column("p99 by TLS (ms)", ",.2f"),
    },
    measure=measure,
    fits=lambda server: server.tls,
)
