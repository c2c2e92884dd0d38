/* SPDX-License-Identifier: MIT
 *
 * The daemon's state file, which lies in a directory that producers share. What is read is written again, and read and
 * written the same.
 */
#include "fuzz.h"
#include "ring/totals.h"

static void read_and_write(const void *data, size_t bytes, struct buf *out)
{
    struct buf text = {0};
    struct totals totals;
    fuzz_check(buf_append(&text, data, bytes) == 0);
    if (totals_parse(&text, &totals) == 0)
        fuzz_check(totals_render(&totals, out) == 0);
    fuzz_read(totals.retired, totals.retired_count * sizeof(*totals.retired));
    totals_done(&totals);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf once = {0}, twice = {0};
    read_and_write(data, size, &once);
    if (once.len > 0)
        read_and_write(once.data, once.len, &twice);
    fuzz_check(once.len == twice.len && (once.len == 0 || memcmp(once.data, twice.data, once.len) == 0));
    buf_done(&once);
    buf_done(&twice);
    return 0;
}
