/* SPDX-License-Identifier: MIT
 *
 * What the exporter asks of a batch, played: definitions, in place of the real ones. For one file of a program; in a
 * library they would meet the real ones.
 */
#ifndef EXPORTER_BATCH_H
#define EXPORTER_BATCH_H

#include "exporter_bench.h"

struct delivery *batch_delivery(struct batch *batch)
{
    return &batch->delivery;
}

const struct iovec *batch_parts(const struct batch *batch, size_t *count)
{
    *count = 2;
    return batch->parts;
}

size_t batch_bytes(const struct batch *batch)
{
    return batch->parts[0].iov_len + batch->parts[1].iov_len;
}

size_t batch_span_count(const struct batch *batch)
{
    (void)batch;
    return BATCH_SPANS;
}

#endif
