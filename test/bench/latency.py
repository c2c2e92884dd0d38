# SPDX-License-Identifier: MIT
"""P10: how soon after its end a span is at the endpoint."""

import subprocess
import time

import measure
from measure import Failed, Result, by_median, cpu_ns, median, percentile, program
from stage import stage
from svg import chart, distribution

RATE, WINDOWS, RING_BYTES = 10_000, 10, 1 << 20
WARM_UP_S = 1


def latency(context):
    window_s = context.pick(2, 1)
    with stage(sink="parse", aistraced={"flush_interval": "5ms"}) as here:
        producer = here.producer(RING_BYTES)
        producer.send(f"pace {RATE} {int((window_s * WINDOWS + WARM_UP_S + 1) * 1000)}")
        time.sleep(WARM_UP_S)
        timer = subprocess.Popen([program("sleep_loop"), "1000", str(window_s * WINDOWS * 1000),
                                  str(measure.SIDECAR_CPU)], stdout=subprocess.PIPE, text=True)
        here.sink.ask("latencies")
        begin, used, windows = time.monotonic_ns(), cpu_ns(here.sidecar.pid), []
        for _ in range(WINDOWS):
            time.sleep(window_s)
            windows.append(here.sink.numbers("latencies"))
        percent = 100 * (cpu_ns(here.sidecar.pid) - used) / (time.monotonic_ns() - begin)
        late_us = [float(word) for word in timer.communicate()[0].split("\n")[1].split()]
        producer.answer()
        requests = {code: count for code, count in
                    here.sidecar.metrics().family("aistrace_export_requests_total", "code").items() if count}
    timer_ms = 1 + percentile(late_us, 0.99) / 1e3
    spans = [us / 1e3 for window in windows for us in window]
    if not 0.95 < len(spans) / (RATE * window_s * WINDOWS) < 1.05:
        raise Failed(f"{len(spans)} spans arrived, {RATE}/s were to")
    chart(context.path("bench-latency.svg"), "Span end to arrival at the endpoint, 10,000 spans/s, 5 ms flush",
          "ms", "% of spans", {"spans": distribution(spans),
                               "bare 1 ms timer": distribution([1 + us / 1e3 for us in late_us])})
    yield by_median("P10-latency", [percentile(window, 0.99) / 1e3 for window in windows],
                    f"1 ms timer p99 {timer_ms:.2f} ms", p50_ms=median(spans), p999_ms=percentile(spans, 0.999),
                    timer_p99_ms=timer_ms, spans=len(spans), requests=requests)
    yield Result("P10-cpu", percent)


BENCHMARKS = {("P10-latency", "P10-cpu"): latency}
