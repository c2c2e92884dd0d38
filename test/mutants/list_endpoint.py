# SPDX-License-Identifier: MIT
from mutants import Mutant

MUTANTS = [
    Mutant("daemon/endpoint/query.c", "CHUNK_BYTES = 64 << 10,", "CHUNK_BYTES = 64 << 20,", "endpoint/check_query",
           "a long answer is made in one piece, and the loop stands still"),
]
