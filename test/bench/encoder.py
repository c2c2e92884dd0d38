# SPDX-License-Identifier: MIT
"""P4: the encoder beside protobuf-c."""

from measure import Table, by_median, median, program, run_table

ROUNDS = 20  # of one process: the more it has allocated, the slower protobuf-c becomes


def encode(context):
    table = Table()
    for _ in range(context.pick(40, 12)):
        table.more(run_table([program("encode"), ROUNDS]))
    yield by_median("P4", table.ratios("protobuf_c", "encode"), f"protobuf-c {table.median('protobuf_c'):.0f} ns",
                    encode_ns=table.median("encode"), decode_ns=table.median("decode"),
                    batch_ns=table.median("batch"), protobuf_c_ns=table.median("protobuf_c"),
                    ratio_to_protobuf_c_with_arena=median(table.ratios("protobuf_c_arena", "encode")),
                    wire_bytes=table.median("span_bytes"), record_bytes=table.median("record_bytes"))


BENCHMARKS = {("P4",): encode}
