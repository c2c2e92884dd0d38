# SPDX-License-Identifier: MIT
from mutants import Mutant

MUTANTS = [
    Mutant("daemon/net/conn.c", """    h2_abort(conn->channel.h2, conn->why);
    if (!conn->ending.begun)
        conn->callbacks.down_cb(conn->user, end, conn->why);
""", """    if (!conn->ending.begun)
        conn->callbacks.down_cb(conn->user, end, conn->why);
    h2_abort(conn->channel.h2, conn->why);
""", "net/check_conn", "a connection is said to be down while its calls still run"),
]
