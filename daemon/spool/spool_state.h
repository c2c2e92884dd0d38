/* SPDX-License-Identifier: MIT
 *
 * What the sources of this folder share. Not for others.
 */
#ifndef SPOOL_STATE_H
#define SPOOL_STATE_H

#include "base/ending.h"
#include "spool.h"

enum {
    SPOOL_NAME_BYTES = 32,
    SPOOL_RETRY_MS = 1000,
    SPOOL_GROUP_BYTES = 8 << 20, /* of requests that are synced together: bounds the wait of the first */
};
#define SPOOL_SUFFIX    ".spool"
#define SPOOL_SET_ASIDE "damaged" /* the last file that was not a valid spool file */

enum spool_record_state { SPOOL_RECORD_PENDING, SPOOL_RECORD_OUT, SPOOL_RECORD_SETTLED };

struct spool_record {
    struct spool_record *next; /* in its file, by offset */
    struct spool_file *file;
    uint64_t offset;
    uint64_t request_offset;
    uint32_t request_bytes;
    uint32_t request_crc;
    uint32_t spans;
    uint32_t claims; /* not yet committed */
    enum spool_record_state state;
    bool disowned; /* settled with nothing */
    bool sound;    /* its request was found complete once; not checked again */
};

struct spool_file {
    struct spool_file *next; /* by sequence */
    int fd;                  /* negative: not made yet */
    char name[SPOOL_NAME_BYTES];
    uint64_t bytes;
    uint64_t sequence;
    uint64_t id;
    uint64_t former_id;  /* retired under this one, which its head may still say; 0: none */
    uint64_t end;        /* where the next record goes; equal to bytes: the file takes no more */
    uint64_t written_ms; /* when something was last written to it */
    bool begun;          /* its head says id */
    int err;             /* the same, for the job that has it */
    int failed;          /* why a write failed: the file takes no more; 0: none failed */
    bool doubtful;       /* may hold a complete record that counts as failed */
    bool stuck;          /* could not be removed */
    unsigned users;      /* jobs that have it */
    struct spool_record *records, **records_end;
    struct spool_record *first; /* those before it are settled */
    size_t unsettled, claimed;  /* records */
    uint64_t unsettled_spans, unsettled_bytes;
    struct shmring_counts settled;
};

/* A batch on its way into a file. */
struct spool_queued {
    struct spool_queued *next;
    struct batch *batch;
    struct spool_record *record; /* allocated beforehand: a batch that is written cannot fail for memory */
    struct buf claims;           /* struct spool_claim[] */
    struct buf lead;
    int err;
};

struct spool_due_note {
    struct spool_file *file;
    uint64_t offset;
    struct spool_note note;
};

/* What a worker does in one go: begins files, writes records, syncs, writes notes, removes files. */
struct spool_job {
    uv_work_t work;
    bool running;
    int dir_fd; /* as below, for the worker */
    bool sync;
    struct spool_queued *writes;
    struct buf notes; /* struct spool_due_note[] */
    int note_err;
    struct spool_file *removals;
};

struct spool_read {
    uv_work_t work;
    bool running;
    struct spool_record *record;
    struct buf request;
    int err;
};

struct spool {
    uv_loop_t *loop;
    struct log *log;
    const struct spool_callbacks *callbacks;
    void *user;
    char *path;
    int dir_fd; /* negative: the directory does not exist (any more) */
    int lock_fd;
    bool sync;
    bool transient;
    uint64_t max_bytes;
    uint64_t new_file_bytes;
    uint64_t all_bytes; /* of all files, also SPOOL_SET_ASIDE */
    uint64_t next_sequence;
    uint64_t retry_ms; /* no write before */
    uint64_t retire_retry_ms;
    uint64_t removal_retry_ms;
    uint64_t damaged;
    struct spool_file *files;   /* with records, or written to: by sequence */
    struct spool_file *current; /* the one of them that takes more */
    struct spool_file *spare;   /* without records */
    struct spool_file *removals;
    struct spool_queued *queue, **queue_end;
    uint64_t queue_bytes; /* of their requests */
    struct buf notes;
    struct spool_job job;
    struct spool_read read;
    uv_idle_t turn;       /* started by spool_wake */
    uv_idle_cb turn_cb;   /* spool_on_turn */
    bool opened;          /* false: spool_open failed, and the files are not this daemon's to remove */
    struct ending ending; /* without parts: `turn` is the only one, and closes last */
};

/* In the loop's next turn spool_on_turn does what is due: a job for the worker, or the end. */
static inline void spool_wake(struct spool *spool)
{
    if (!uv_is_closing((uv_handle_t *)&spool->turn))
        uv_idle_start(&spool->turn, spool->turn_cb);
}

/* ---- spool.c ---- */

void spool_on_turn(uv_idle_t *idle);

/* ---- spool_files.c ---- */

/* Opens the directory unless it is open, and takes its lock. */
int spool_files_directory(struct spool *spool, bool create);
void spool_files_lost(struct spool *spool); /* the directory has vanished */

struct spool_file *spool_files_new(uint64_t bytes);
void spool_files_free(struct spool_file *file); /* closes it; accepts NULL */
void spool_files_insert(struct spool *spool, struct spool_file *file);
void spool_files_unlink(struct spool *spool, struct spool_file *file); /* from the list */
void spool_files_rest(struct spool *spool, struct spool_file *file);   /* of no more use: the spare, or removed */

void spool_count_note(struct shmring_counts *outcome, const struct spool_note *note);
void spool_add_record(struct spool_file *file, struct spool_record *record); /* behind the file's others */

bool spool_files_have_room(const struct spool *spool, uint64_t bytes);

/* The file and offset for a record of this many bytes, now taken. -> as spool_write */
int spool_files_place(struct spool *spool, uint64_t bytes, struct spool_file **file, uint64_t *offset);

/* ---- spool_job.c ---- */

/* Starts a job of all that is due, if anything is. Only while none runs. */
void spool_job_start(struct spool *spool);
void spool_job_note(struct spool *spool, const struct spool_record *record, struct spool_note *note);
int spool_job_write_notes(const struct buf *notes);
void spool_queued_free(struct spool_queued *writes);

#endif
