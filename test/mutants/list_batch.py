# SPDX-License-Identifier: MIT
from mutants import Mutant

BATCH, DELIVERY = "batch/check_batch", "batch/check_delivery"

MUTANTS = [
    Mutant("daemon/batch/batch.c", "    batch->finished = false;\n", "", BATCH,
           "a batch is used again while the exporter still has it"),
    Mutant("daemon/batch/batch_pool.c", "i < BATCH_CLAIMS_PER_SLAB; i++", "i < BATCH_CLAIMS_PER_SLAB; i--", BATCH,
           "one claim of a slab is used: 64 times the memory"),
    Mutant("daemon/batch/batch_pool.c", "if (pool->retained_bytes + retained(group) > RETAIN_BYTES)", "if (false)", BATCH,
           "after an outage the memory of all that waited is kept"),
    Mutant("daemon/batch/delivery.c", "before->at_ms > delivery->at_ms", "before->at_ms >= delivery->at_ms", DELIVERY,
           "of those due at the same time the younger is sent first"),
    Mutant("daemon/batch/delivery.c", "    *in = (struct delivery_neighbours){0};\n", "", DELIVERY,
           "one that was removed still points into its list"),
    Mutant("daemon/batch/delivery.c", "    *backward(list, in->next) = in->previous;\n", "", DELIVERY,
           "one that was removed is found from behind"),
]
