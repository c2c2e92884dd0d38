/* SPDX-License-Identifier: MIT
 *
 * For tests of the spool: a directory, a loop, and an owner that remembers what it was told. Failures abort the calling
 * test (libcheck).
 */
#ifndef SPOOL_FIXTURE_H
#define SPOOL_FIXTURE_H

#include <stdbool.h>

#include "spool/spool.h"
#include "support/directory.h"
#include "support/loop.h"

enum { SPOOL_FIXTURE_EVENTS = 256, SPOOL_FIXTURE_FILE_BYTES = 64 << 10 };

struct spool_fixture {
    char dir[TEST_DIRECTORY_BYTES];
    char disk[TEST_DIRECTORY_BYTES + 16]; /* a tmpfs of its own, or empty */
    uv_loop_t loop;
    struct log *log;
    int log_fd; /* negative: the log is on stderr */
    struct batch_pool *pool;
    struct spool *spool;
    struct spool_options options;
    struct claim_queue queue; /* of the slot whose claims the batches have */
    uint64_t position;        /* of that ring */
    bool abandoned;           /* the segment is given up before its batch is written */
    struct shmring_counts orphaned;
    bool keep_claims; /* the ledger does not follow when a batch is written */

    struct spool_record *written[SPOOL_FIXTURE_EVENTS];
    size_t written_count, failed_count;
    int err; /* of the last that failed */
    struct buf read;
    int read_error;
    size_t read_count;
    size_t claims_seen;       /* while opening */
    int claim_answer;         /* of claim_cb */
    struct spool_claim claim; /* the last of them */
    struct shmring_counts retired;
    uint64_t retired_ids[SPOOL_FIXTURE_EVENTS];
    size_t retired_count, forgotten_count;
    int retire_error; /* what the totals answer */
};
extern struct spool_fixture spool_fixture;
extern const struct spool_callbacks spool_fixture_callbacks;

/* A directory of its own, options for eight files of SPOOL_FIXTURE_FILE_BYTES, no spool yet. */
void spool_fixture_init(void);
void spool_fixture_done(void);

/* Before spool_fixture_open: the spool is on a tmpfs of that size ("96k"), unmounted by spool_fixture_done. -> false: this
 * process may not mount */
bool spool_fixture_small_disk(const char *size);

void spool_fixture_open(void);
void spool_fixture_close(void); /* as a daemon ends, or is killed: nothing more is written either way */

/* A batch whose request is `bytes` times the letter, with one claim of that many spans. -> what spool_write says */
int spool_fixture_write(char letter, size_t bytes, uint32_t spans);

/* Runs the loop until that many are written, or have failed. */
void spool_fixture_await_written(size_t count);
void spool_fixture_await_failed(size_t count);
void spool_fixture_await_idle(void);

/* Takes the oldest and reads it. -> NULL: none; its request is in `read`. */
struct spool_record *spool_fixture_take(void);

/* Takes the oldest, whose request must be of that letter, and settles it as exported. */
void spool_fixture_export(char letter);

/* The ledger follows: all claims that are settled are committed. */
void spool_fixture_commit(void);

struct spool_figures spool_fixture_figures(void);
size_t spool_fixture_files(const char *suffix);
int spool_fixture_file(const char *suffix, int flags); /* a descriptor of the only one, or one of them */

/* What is logged from here on is kept instead of shown. Before spool_fixture_open. */
void spool_fixture_listen(void);
bool spool_fixture_logged(const char *text);

#endif
