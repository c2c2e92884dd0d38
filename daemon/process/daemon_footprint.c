/* SPDX-License-Identifier: MIT */
#include "daemon_footprint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/buf.h"
#include "export/exporter.h"
#include "spool/spool_place.h"

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* Requests that are open, queued or on the wire, and those that wait for their retry. */
static uint64_t requests_bytes(const struct config *config)
{
    return (EXPORTER_NEW_FACTOR * config->max_in_flight + 1) * config->max_batch_bytes + EXPORTER_WAITING_MAX_BYTES;
}

/* With what is free on the ring directory's file system, where the directory is there already. */
static int add_rings(const struct config *config, struct buf *out)
{
    struct statvfs fs;
    int err = buf_printf(out,
                         "rings in %s are the programs', at most 1 MiB a thread that traces unless "
                         "AIS_TRACING_RING_SIZE says otherwise, and a quarter of the file system in all",
                         config->ring_dir);
    if (!err && statvfs(config->ring_dir, &fs) == 0)
        err = buf_printf(out, ", %.1f of %.1f MiB there are free", mib((uint64_t)fs.f_bavail * fs.f_frsize),
                         mib((uint64_t)fs.f_blocks * fs.f_frsize));
    return err;
}

int daemon_footprint(const struct config *config, struct buf *out)
{
    int err = buf_printf(out, "memory for requests at most %.1f MiB; ", mib(requests_bytes(config)));
    return err ? err : add_rings(config, out);
}

int daemon_footprint_spool(const struct config *config, struct buf *out)
{
    struct spool_place place;
    int err = spool_place_find(config, getenv("STATE_DIRECTORY"), &place);
    if (err)
        return err;
    err = place.max_bytes > 0 ? buf_printf(out, "spool %s at most %.1f MiB%s", place.path, mib(place.max_bytes),
                                           place.in_memory ? " of memory" : "")
                              : buf_printf(out, "no spool");
    free(place.path);
    return err;
}
