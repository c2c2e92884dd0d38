# SPDX-License-Identifier: MIT
"""P1, P2, P3, P14: what a span costs the thread that is traced, or is not."""

from measure import Table, by_median, median, need_two_cores, program, run_table
from stage import ring_dir

ROUNDS = 100  # of one process: where the kernel put its memory favours or harms all of them alike


def table_of(name, context, *args):
    table = Table()
    for _ in range(context.pick(15, 5)):
        with ring_dir() as rings:
            table.more(run_table([program(name), rings, ROUNDS, *args]))
    return table


def span_cost(context):
    here, elsewhere = (table_of("span_cost", context, consumer_cpu) for consumer_cpu in (0, 1))
    yield by_median("P1", here.ratios("span", "floor"), f"{here.median('floor'):.1f} ns",
                    span_ns=here.median("span"), floor_ns=here.median("floor"),
                    floor_to_one_page_ns=here.median("floor_hot"),
                    span_ns_ring_emptied_by_other_core=elsewhere.median("span"))
    added = [traced - work for traced, work in zip(here["traced_work"], here["work"])]
    far = [traced - work for traced, work in zip(elsewhere["traced_work"], elsewhere["work"])]
    yield by_median("P2", added, f"{here.median('work'):.0f} ns of work", work_ns=here.median("work"),
                    added_ns_ring_emptied_by_other_core=median(far))


def threads(context):
    """The plain ratio; memcpy's own, by which the bar lets it be divided, stands beside it."""
    need_two_cores()
    table = table_of("threads", context)
    copy = median(table.ratios("copy_two", "copy_one"))
    yield by_median("P3", table.ratios("span_two", "span_one"), f"memcpy's own {copy:.2f} x",
                    span_one_ns=table.median("span_one"), span_two_ns=table.median("span_two"), memcpy_ratio=copy)


def off(context):
    """The dearest of the ways in which tracing can be off."""
    need_two_cores()
    table = table_of("off", context)
    for threads_at_once in ("one", "two"):
        ratios = {way: table.ratios(f"{way}_span_{threads_at_once}", f"{way}_empty_{threads_at_once}")
                  for way in ("not_started", "never_attached", "attached")}
        worst = max(ratios, key=lambda way: median(ratios[way]))
        floor = table.median(f"{worst}_empty_{threads_at_once}")
        yield by_median(f"P14-{threads_at_once}", ratios[worst], f"{floor:.1f} ns ({worst})",
                        **{f"{way}_ratio": median(values) for way, values in ratios.items()},
                        **{f"{way}_span_ns": table.median(f"{way}_span_{threads_at_once}") for way in ratios})


BENCHMARKS = {("P1", "P2"): span_cost, ("P3",): threads, ("P14-one", "P14-two"): off}
