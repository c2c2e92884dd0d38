/* SPDX-License-Identifier: MIT
 *
 * The spool: batches on disk (or on a tmpfs) while the endpoint is away. Records in files of one size, preallocated and
 * reused; never more bytes than its bound. On the loop's thread; what touches the disk runs on libuv's worker threads.
 *
 *     write ──► pending ──take──► out ──settle──► settled         all records of a file settled, and all their claims
 *                  ▲               │                              committed to the rings: the file is retired (its
 *                  └────return─────┘                              counts go to the totals) and used again
 *
 * Bytes: spool_format.h. A record survives the daemon once written_cb has been called (with sync: also a loss of
 * power).
 */
#ifndef SPOOL_H
#define SPOOL_H

#include <uv.h>

#include "base/log.h"
#include "base/outcome.h"
#include "batch/batch.h"
#include "spool_format.h"

struct spool;
struct spool_record; /* a written batch; valid until its file is retired */

struct spool_options {
    const char *path;           /* of the directory; copied */
    uint64_t max_bytes;         /* of all files; 0: what is there is sent, nothing is added */
    uint64_t file_bytes;        /* for tests; 0: an eighth of max_bytes, within 1 and 64 MiB, more beyond 16 GiB */
    uint64_t request_max_bytes; /* a file is large enough for it, if max_bytes is */
    bool sync;                  /* fdatasync of every group before written_cb */
    bool create;                /* make the directory at the start; else with the first write */
    bool transient;             /* in a directory that is locked: needs no lock file, removed at the end when empty */
};

struct spool_callbacks {
    /* The batch is safe (record), or not (err) and as it was. */
    void (*written_cb)(void *user, struct batch *batch, struct spool_record *record, int err);

    /* A taken record's request: the callee may keep the bytes (swap). -EBADMSG: damaged. */
    void (*read_cb)(void *user, struct spool_record *record, struct buf *request, int err);

    /* While opening, each claim of each record that is there. -> 1: spool_claim_committed will be called for it; 0: it
     * is committed, or for good without a ring; -ENOMEM */
    int (*claim_cb)(void *user, struct spool_record *record, const struct spool_claim *claim);

    /* A file is retired: adds the outcome to the totals and notes the id, both at once. -> 0, or -errno: asked again.
     * From then on a file of this id counts as empty, until forget_cb says that there is none. */
    int (*retire_cb)(void *user, uint64_t id, const struct shmring_counts *outcome);
    void (*forget_cb)(void *user, uint64_t id);
    bool (*retired_cb)(void *user, uint64_t id); /* while opening: is it noted? */
};

/* Opens the directory (0700, no symbolic links), takes its lock, reads which records there are. Files that are not
 * valid are renamed. -> 0, also when there is no directory yet and options->create is false; -EWOULDBLOCK: another
 * daemon has it; -errno. */
int spool_open(uv_loop_t *loop, const struct spool_options *options, const struct spool_callbacks *callbacks,
               void *user, struct log *log, struct spool **out);

/* Takes a sealed batch until written_cb; its request and claims stay as they are meanwhile. -> 0; -ENOSPC: no room
 * below the bound; -EAGAIN: writing has failed a moment ago, or the disk is behind with what was taken before; -E2BIG:
 * larger than a file; -ENOMEM. */
int spool_write(struct spool *spool, struct batch *batch);
bool spool_unwrite(struct spool *spool, struct batch *batch); /* true: it had not begun, there will be no written_cb */

/* The oldest pending record, now out; NULL: none. */
struct spool_record *spool_take(struct spool *spool);
void spool_hold(struct spool_record *record);   /* a pending one, now out */
void spool_return(struct spool_record *record); /* out, now pending */
void spool_settle(struct spool *spool, struct spool_record *record, const struct batch_outcome *outcome);
/* Settles a damaged record whose spans are elsewhere: it counts for nothing, whatever is told of it later. Also one
 * that is out. */
void spool_disown(struct spool *spool, struct spool_record *record);

/* Reads the request of a record that is out; one read at a time. -> 0: read_cb will be called; -ENOMEM */
int spool_read(struct spool *spool, struct spool_record *record);
bool spool_reading(const struct spool *spool);

/* Does the record answer for its spans: is it settled, or its request complete? Reads the request, and blocks, until
 * the answer was yes once. -> 0, -EBADMSG or -errno */
int spool_check(struct spool_record *record);
uint32_t spool_record_spans(const struct spool_record *record);

/* The ledger of a ring has a claim of the record (or all of them, for a batch written by this daemon). */
void spool_claim_committed(struct spool_record *record);

/* Retires and removes what can be. After the ledgers have been committed. */
void spool_tidy(struct spool *spool);

struct spool_figures {
    uint64_t spans;                /* not settled */
    uint64_t bytes;                /* of their records */
    uint64_t file_bytes;           /* of all files */
    uint64_t max_bytes;            /* their bound */
    struct shmring_counts settled; /* of files not yet retired */
    uint64_t damaged;              /* files set aside, and places where a record should have been */
};
void spool_figures(const struct spool *spool, struct spool_figures *out);

/* Waits for what runs; batches not yet begun are forgotten (their spans are in their rings). */
void spool_close(struct spool *spool, void (*closed_cb)(void *user), void *user);

#endif
