-- Run by wrk: at its start what a request brings, at its end the figures as one line of JSON. No per-request
-- hook, which would cost wrk time.
function init(args)
  local size = tonumber(args[1]) or 0
  if size > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("0123456789", size / 10)
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d}\n',
    summary.requests - e.status, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
