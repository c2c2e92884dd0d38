# SPDX-License-Identifier: MIT
from mutants import Mutant

DISCOVERY, TOTALS = "ring/check_discovery", "ring/check_totals"

MUTANTS = [
    Mutant("daemon/ring/totals.c", "        memmove(totals->noted[i], totals->noted[i + 1], rest * sizeof(*totals->noted));\n",
           "        (void)rest;\n", TOTALS, "when a segment is unlinked another one is forgotten, and its figures count twice"),
    Mutant("daemon/ring/totals.c", "return errno || end == text || *end ? -EBADMSG : add_retired", "return errno || *end ? -EBADMSG : add_retired",
           TOTALS, "a retired file without a number passes"),
    Mutant("daemon/ring/totals.c", "return errno || end == text || *end ? -EBADMSG : add_retired",
           "return errno || end == text ? -EBADMSG : add_retired", TOTALS, "a retired file with half a number passes"),
    Mutant("daemon/ring/totals.c", "return errno || end == text || *end ? -EBADMSG : add_retired",
           "return end == text || *end ? -EBADMSG : add_retired", TOTALS, "a retired file with a number too large passes"),
    Mutant("daemon/ring/totals.c", "return errno || end == space + 1 || *end ? -EBADMSG : 0;", "return errno || end == space + 1 ? -EBADMSG : 0;",
           TOTALS, "half a figure passes"),
    Mutant("daemon/ring/totals.c", "return errno || end == space + 1 || *end ? -EBADMSG : 0;", "return errno || *end ? -EBADMSG : 0;",
           TOTALS, "a figure without a number passes"),
    Mutant("daemon/ring/totals.c", "return errno || end == space + 1 || *end ? -EBADMSG : 0;", "return end == space + 1 || *end ? -EBADMSG : 0;",
           TOTALS, "a figure of 2^64 passes"),
    Mutant("daemon/ring/totals.c", "    if (!err)\n        err = totals_parse(&text, out);", "    err = totals_parse(&text, out);",
           TOTALS, "a file over 1 MiB, or half read, is parsed"),
    Mutant("daemon/ring/totals.c", 'int err = buf_append(text, "", 1);', "int err = 0;", TOTALS, "what lies behind the text is read as well"),
    Mutant("daemon/ring/totals.c", "    if (err && !known) /*", "    if (err) /*", TOTALS,
           "a segment in the state file counts as not noted, and its figures count twice"),
    Mutant("daemon/ring/totals.c", "    if (err)\n        unlinkat(dir_fd, TOTALS_TEMPORARY, 0);\n", "", TOTALS,
           "half a state file stays beside the rings"),
    Mutant("daemon/ring/discovery.c", "    if (event->mask & IN_Q_OVERFLOW)\n        discovery_force_rescan(discovery);\n    else if",
           "    if", DISCOVERY, "a segment whose event was lost is found when the directory changes again"),
    Mutant("daemon/ring/discovery.c", "    int err = -errno;\n    close(fd);\n", "    int err = -errno;\n", DISCOVERY,
           "each scan that fails costs a descriptor"),
    Mutant("daemon/ring/discovery.c", "    if (discovery->inotify_fd >= 0)\n        close(discovery->inotify_fd);\n", "", DISCOVERY,
           "a start that fails costs a descriptor"),
    Mutant("daemon/ring/discovery.c", "    uv_timer_start(timer, scan_on, SCAN_PAUSE_MS, 0);\n", "    (void)timer;\n", DISCOVERY,
           "of a large directory only the first portion is read"),
]
