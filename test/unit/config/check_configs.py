#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Whole configuration files through aistraced: each broken one is one error that names place, key and remedy, each sound
one passes and prints. The files and what is expected of them: test/configs."""

import concurrent.futures
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "e2e"))
import harness  # noqa: E402
from harness import AISTRACED, ROOT, check, check_equal  # noqa: E402

DIRECTORY = os.path.join("test", "configs")
EXPECTED = "EXPECTED"
MOST_AT_ONCE = 2
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("AIS_TRACING_", "OTEL_"))}


def files(folder):
    return sorted(name for name in os.listdir(os.path.join(ROOT, DIRECTORY, folder)) if name != EXPECTED)


def run(folder, name, flag):
    """-> CompletedProcess; paths in the files are relative to the repository"""
    return subprocess.run([AISTRACED, "--config", os.path.join(DIRECTORY, folder, name), flag], cwd=ROOT, timeout=60,
                          env=ENVIRONMENT, capture_output=True, encoding="utf-8", errors="surrogateescape", check=False)


def run_all(folder, flag):
    """-> [(name, CompletedProcess)]"""
    with concurrent.futures.ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        return list(zip(files(folder), pool.map(lambda name: run(folder, name, flag), files(folder))))


def expectations():
    """-> {file name: [words]}"""
    with open(os.path.join(ROOT, DIRECTORY, "broken", EXPECTED), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(" | ") for line in file if not line.startswith("#")]
    check_equal(len({row[0] for row in rows}), len(rows), "distinct rows")
    return {row[0]: row[1:] for row in rows}


def test_every_broken_configuration_is_one_error_with_place_key_and_mend(_scene):
    expected = expectations()
    check_equal(files("broken"), sorted(expected), "files against rows")
    check(len(expected) >= 40, f"only {len(expected)} broken configurations")
    wrong = []
    for name, result in run_all("broken", "--check-config"):
        path = os.path.join(DIRECTORY, "broken", name)
        lines = result.stderr.split("\n")
        missing = [words for words in expected[name] if words not in result.stderr]
        if (result.returncode, result.stdout) != (78, "") or len(lines) != 2 or missing or \
                not re.match(re.escape(path) + r"(:\d+)?: ", result.stderr):
            wrong.append(f"{name}: exit {result.returncode}, missing {missing}, said: {result.stderr}{result.stdout}")
        check("pass@" not in result.stderr, "a password is repeated")
    check(not wrong, "\n".join(wrong))


def test_every_sound_configuration_passes_and_prints(_scene):
    for name, result in run_all("sound", "--check-config"):
        check_equal((result.returncode, result.stderr), (0, ""), name)
    for name, result in run_all("sound", "--print-config"):
        check_equal((result.returncode, result.stderr), (0, ""), name)
        for line in result.stdout.splitlines():
            check(line.startswith("# ") or re.search(r" = .*  \((default|file)\)$", line), f"{name}: {line!r}")


def test_aistores_own_cluster_configuration_is_taken_as_it_is(_scene):
    lines = run("sound", "aistore_cluster.json", "--print-config").stdout.splitlines()
    for line in ('tracing.enabled = true  (file)',
                 'tracing.exporter_endpoint = "otel-collector.monitoring.svc:4317"  (file)',
                 'tracing.service_name_prefix = "aistore"  (file)',
                 'tracing.attributes = {"deployment.environment": "production", "rack": "b7"}  (file)',
                 'tracing.sampler_probability = "0.25"  (file)', 'tracing.skip_verify = false  (file)',
                 'tracing.exporter_auth.token_header = "authorization"  (file)',
                 'aistraced.ring_dir = "/dev/shm/aistrace"  (default)',
                 '# otel-collector.monitoring.svc:4317 is reached over TLS, verified; at most 8MiB are on the wire'):
        check(line in lines, f"{line!r} not in {lines}")


if __name__ == "__main__":
    harness.main()
