#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The benchmarks' driver: statistics, verdicts, charts; a row that cannot be measured says so. Nothing is measured."""

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, "test", "bench"))
from bars import BARS, LESS, MORE, Bar, reached  # noqa: E402
from measure import Table, by_median, percentile  # noqa: E402
from svg import chart, distribution  # noqa: E402


def run(build, *args):
    return subprocess.run([os.path.join(ROOT, "test", "bench", "run"), *args], capture_output=True, text=True,
                          check=False, env={**os.environ, "BUILD_DIR": build})


def test_a_value_on_the_bar_reaches_it():
    for better, good, bad in ((LESS, 0.9, 1.1), (MORE, 1.1, 0.9)):
        bar = Bar("X", "figure", "x", better, 1.0, None)
        assert reached(bar, bar.bar, 1.0) and reached(bar, bar.bar, good) and not reached(bar, bar.bar, bad)
        assert reached(bar, bar.stretch, good) is None and reached(bar, bar.bar, None) is None


def test_every_bar_of_performance_has_a_row_of_its_own():
    ids = [bar.id for bar in BARS]
    assert len(set(ids)) == len(ids)
    assert {row.split("-")[0] for row in ids} == {f"P{n}" for n in range(1, 15)}


def test_rounds_become_ratios_and_their_median():
    table = Table("span floor\n10 5\n30 10\n20 5\n")
    assert table.ratios("span", "floor") == [2, 3, 4]
    result = by_median("X", table.ratios("span", "floor"))
    assert result.value == 3 and result.detail["quartiles"] == [2.5, 3.5] and result.detail["rounds"] == 3
    assert percentile(range(1000), 0.99) == 990


def test_a_chart_is_well_formed_whatever_its_names():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "chart.svg")
        for log in (False, True):
            chart(path, "a < b & c", "x", "y", {"one": [(1, 2), (1000, 2)], "all": distribution([0.5, 1, 700])},
                  log_x=log, log_y=log)
            assert xml.etree.ElementTree.parse(path).getroot().tag.endswith("svg")


def test_what_is_not_built_is_a_row_that_says_so():
    with tempfile.TemporaryDirectory() as build:
        done = run(build, "P4", "P13")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("is not built") == 3, done.stdout
        with open(os.path.join(build, "bench.json"), encoding="utf-8") as file:
            rows = json.load(file)
    assert [row["id"] for row in rows] == ["P4", "P13-opaque", "P13-described"]
    for row in rows:
        assert row["value"] is None and row["met"] is None and "is not built" in row["detail"]["missing"], row


def test_an_unknown_row_is_refused():
    with tempfile.TemporaryDirectory() as build:
        assert run(build, "P99").returncode == 64 and run(build, "--fast").returncode == 64
        assert not os.listdir(build)


def main():
    passed = failed = 0
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            try:
                test()
                passed += 1
            except AssertionError as error:
                failed += 1
                print(f"FAILED {name}, line {error.__traceback__.tb_next.tb_lineno}: {error}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
