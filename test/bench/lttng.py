# SPDX-License-Identifier: MIT
"""P13: a span beside LTTng-UST's events of the same content."""

import contextlib
import os
import shutil
import subprocess
import tempfile

from measure import Failed, Missing, Table, by_median, harness, program, run_table
from stage import ring_dir

START_TIMEOUT_S = 10
ROUNDS = 100


@contextlib.contextmanager
def session(environment):
    """A session that records the events into memory, the oldest overwritten; nothing is written to disk."""
    name, daemon = f"aistrace-bench-{os.getpid()}", None

    def lttng(*args, check=True):
        done = subprocess.run(["lttng", "--no-sessiond", *args], capture_output=True, text=True, check=False,
                              env={**os.environ, **environment})
        if check and done.returncode != 0:
            raise Failed(f"lttng {' '.join(args)}: {(done.stderr + done.stdout).strip()[-200:]}")
        return done.returncode == 0

    if not lttng("list", check=False):
        daemon = subprocess.Popen(["lttng-sessiond", "--no-kernel"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, env={**os.environ, **environment})
    try:
        harness.wait_for(lambda: lttng("list", check=False), "lttng-sessiond", deadline_s=START_TIMEOUT_S, interval_s=0.1)
        lttng("create", name, "--snapshot")
        lttng("enable-channel", "--userspace", "--overwrite", "--subbuf-size=1M", "--num-subbuf=4", "-s", name, "spans")
        lttng("enable-event", "--userspace", "aistrace_bench:*", "-c", "spans", "-s", name)
        lttng("start", name)
        yield
    finally:
        lttng("destroy", name, check=False)
        if daemon:
            daemon.terminate()
            daemon.wait(START_TIMEOUT_S)


def lttng_span(context):
    measured = program("lttng_span")
    if not shutil.which("lttng-sessiond") or not shutil.which("lttng"):
        raise Missing("LTTng is not installed: lttng-tools")
    table = Table()
    with tempfile.TemporaryDirectory() as home:
        environment = {"LTTNG_HOME": home, "LTTNG_UST_REGISTER_TIMEOUT": "5000"}
        with session(environment):
            for _ in range(context.pick(6, 3)):
                with ring_dir() as rings:
                    table.more(run_table([measured, rings, ROUNDS], environment))
    yield by_median("P13-opaque", table.ratios("span", "opaque"), f"LTTng {table.median('opaque'):.0f} ns",
                    span_ns=table.median("span"), opaque_ns=table.median("opaque"),
                    opaque_with_start_stamp_ns=table.median("opaque_and_start"))
    yield by_median("P13-described", table.ratios("span", "described"), f"LTTng {table.median('described'):.0f} ns",
                    span_ns=table.median("span"), described_ns=table.median("described"))


BENCHMARKS = {("P13-opaque", "P13-described"): lttng_span}
