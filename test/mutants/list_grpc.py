# SPDX-License-Identifier: MIT
from mutants import Mutant

MUTANTS = [
    Mutant("daemon/grpc/h2_call.c", "value_bytes < H2_MESSAGE_MAX_BYTES ? value_bytes : H2_MESSAGE_MAX_BYTES", "value_bytes",
           "grpc/check_h2_bounds", "a server's message of any length is kept"),
]
