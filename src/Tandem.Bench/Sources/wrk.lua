-- Says in one line what was measured. wrk walks through all its latencies for each quantile, so only these are asked for.
function done(summary, latency, requests)
  local quantiles = {}
  for p = 0, 99 do quantiles[#quantiles + 1] = p end
  for _, p in ipairs({ 99.5, 99.9, 99.99, 100 }) do quantiles[#quantiles + 1] = p end
  local values = {}
  for i, p in ipairs(quantiles) do
    values[i] = string.format("%d", p == 0 and latency.min or p == 100 and latency.max or latency:percentile(p))
  end
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%d,"microseconds":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"quantiles":[%s]}\n',
    summary.requests, summary.duration, e.connect, e.read, e.write, e.status, e.timeout, table.concat(values, ",")))
end
