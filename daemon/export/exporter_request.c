/* SPDX-License-Identifier: MIT
 *
 * What a batch looks like on the wire: plain or gzipped.
 */
#include "exporter_state.h"
#include "grpc/gzip.h"

/* The batch stays plain when memory is missing, or when gzip would make it larger. */
static enum delivery_form pack(struct exporter *exporter, struct delivery *delivery, const struct h2_request *plain)
{
    if (exporter->config->compression != CONFIG_COMPRESSION_GZIP || exporter->gzip_refused)
        return DELIVERY_PLAIN;
    if (!exporter->gzip && gzip_new(&exporter->gzip))
        return DELIVERY_PLAIN;
    if (!gzip_pack(exporter->gzip, plain->parts, plain->part_count, &delivery->packed) &&
        delivery->packed.len < batch_bytes(delivery->batch))
        return DELIVERY_GZIPPED;
    buf_done(&delivery->packed);
    return DELIVERY_PLAIN;
}

void exporter_request(struct exporter *exporter, struct delivery *delivery, struct h2_request *out)
{
    *out = (struct h2_request){.timeout_ms = exporter->config->timeout_ms};
    out->parts = batch_parts(delivery->batch, &out->part_count);
    if (delivery->form == DELIVERY_UNDECIDED)
        delivery->form = pack(exporter, delivery, out);
    if (delivery->form != DELIVERY_GZIPPED)
        return;
    delivery->packed_part = (struct iovec){delivery->packed.data, delivery->packed.len};
    out->parts = &delivery->packed_part;
    out->part_count = 1;
    out->gzipped = true;
}

bool exporter_request_unpack(struct delivery *delivery)
{
    if (delivery->form != DELIVERY_GZIPPED)
        return false;
    buf_done(&delivery->packed);
    delivery->form = DELIVERY_UNPACKED;
    return true;
}
