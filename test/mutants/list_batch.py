# SPDX-License-Identifier: MIT
from mutants import Mutant

BATCH = "batch/check_batch"

MUTANTS = [
    Mutant("daemon/batch/batch.c", "    batch->finished = false;\n", "", BATCH,
           "a batch is used again while the exporter still has it"),
    Mutant("daemon/batch/batch_pool.c", "i < BATCH_CLAIMS_PER_SLAB; i++", "i < BATCH_CLAIMS_PER_SLAB; i--", BATCH,
           "one claim of a slab is used: 64 times the memory"),
]
