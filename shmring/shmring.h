/* SPDX-License-Identifier: MIT
 *
 * libshmring: single-producer single-consumer byte rings in one segment file per process.
 *
 * Layout: shmring_format.h. Reasons, life cycle, crash cases: FORMAT.md.
 * Functions return 0 or a negative errno unless said otherwise; outputs are untouched on failure. Nothing prints.
 */
#ifndef SHMRING_H
#define SHMRING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shmring_format.h"

/* ---- directory ---- */

/* Opens the ring directory, creating it (mode 0700) when missing: whoever comes first, producer or consumer.
 * Refuses a symlink, however it is spelled, and a directory whose owner is neither the caller, root nor trusted_uid
 * ((uid_t)-1: no third). -> a descriptor that the caller closes, or -errno (-EPERM: foreign owner; -ENOTDIR; -ELOOP: a
 * symlink; -EINVAL: the path ends in "..", of which cannot be told what is followed; -EMFILE: no descriptor left). */
int shmring_dir_open(const char *path, uid_t trusted_uid);

/* ---- memory ---- */

/* Bytes that the memory limits of this process's control groups, versions 1 and 2, still leave: the least of all levels
 * up to the root. Copies of files in memory count as left, because the kernel drops these first; a level that leaves
 * `enough` without is not asked for them. UINT64_MAX: no limit is known. Opens a few files of /proc and /sys. */
uint64_t shmring_memory_left(uint64_t enough);

/* ---- producer: segment ---- */

struct shmring;        /* a producer's segment; process-private handle */
struct shmring_writer; /* one thread's slot of it */

struct shmring_options {
    const char *dir;         /* ring directory */
    uid_t trusted_uid;       /* (uid_t)-1 when none */
    uint32_t slot_count;     /* 0: 128 */
    uint64_t ring_bytes;     /* per slot, rounded up to a power of two; 0: 64 KiB to 1 MiB: FORMAT.md, "Memory" */
    const void *resource;    /* copied */
    uint32_t resource_bytes; /* <= SHMRING_RESOURCE_MAX, else -E2BIG */
    uint64_t control_flags;  /* with sampling_threshold: of struct shmring_control, until a consumer publishes */
    uint64_t sampling_threshold;
    uint64_t first_position; /* tests: where positions start; a multiple of SHMRING_ALIGN */
};

/* Creates, locks and links a segment. The lock lives as long as the mapping: until shmring_close, exec or the
 * process's end, however that comes. What the directory's segments, and what this one may take of memory: FORMAT.md,
 * "Memory". -> -EDQUOT: the segments' share of the file system is used up; -ENOSPC: the file system is nearly full;
 * -ENOMEM: no memory, or the limit of a control group is near; -EFBIG (RLIMIT_FSIZE), -EPERM, ...; then no file is left
 * behind. */
int shmring_create(const struct shmring_options *options, struct shmring **out);

/* Gives up the lock: the consumer drains and removes the file. Other threads may be writing records, counting drops and
 * reading shmring_control, and may go on: the file has what was committed before, the rest goes into memory of the
 * process's own. Pages that hold nothing unread are given back first; a segment into which no record was ever begun and
 * no drop counted is removed. The caller serialises this with take, publish, attach and detach, as those among
 * themselves. Accepts NULL. Never freed, because threads may hold them: the handle, 192 bytes for each slot that was
 * taken, and address space: the control pages, a mapping of the kernel's, and for each slot that a thread still has its
 * ring, at most one mapping more. Of memory in it only what is written to afterwards, and the ring of a thread that
 * populates it at this moment. */
void shmring_close(struct shmring *ring);

/* For the child of a fork, where the mapping does not exist (MADV_DONTFORK): frees the private handle only. */
void shmring_abandon(struct shmring *ring);

/* False: the ring directory is on no tmpfs or ramfs, and a span may wait for a disk. */
bool shmring_in_memory(const struct shmring *ring);

const char *shmring_name(const struct shmring *ring); /* file name within dir; valid as long as the handle */
const struct shmring_control *shmring_control(const struct shmring *ring);

/* Counts records that threads without a slot could not write. Any thread; async-signal-safe. */
void shmring_count_drops(struct shmring *ring, enum shmring_drop reason, uint64_t count);

/* Sums of all slots and the segment. committed = begun - ring_full - oversize; momentarily one too many per write in
 * progress. Any thread. After shmring_close: exactly what the file has (zeros where somebody has truncated it). */
struct shmring_totals {
    uint64_t begun;
    uint64_t dropped[SHMRING_DROP_REASONS];
};
void shmring_totals(const struct shmring *ring, struct shmring_totals *out);

/* ---- producer: slots ---- */

/* The caller serialises take, publish, attach and detach (one mutex per process). A thread gets a slot in three steps,
 * so that it does not hold the mutex while memory is populated. Between the first and the last the ring may be
 * closed: populate then fills what covers the ring, and publish must not follow. */

/* Chooses a slot for the calling thread: a retired one whose memory is there and at least half free, that with most
 * room; else a new one; else that with most room. A slot that needs memory asks the file system and the control groups,
 * a few system calls. -> 0; -ENFILE: threads have all slots; -EDQUOT: the segments' share of the file system is used
 * up; -ENOSPC: the file system is nearly full; -ENOMEM: no memory or mapping for the process, or the limit of a control
 * group is near; by name also what populate answers, and -EMFILE: no descriptor is left; -ESTALE: another file has the
 * name; -ENOENT, -EACCES, ...: what opening the file says. 0: populate and publish must follow. */
int shmring_slot_take(struct shmring *ring, struct shmring_writer **out);

/* Makes the memory of the slot just taken present (about 0.6 ms for 1 MiB; nothing for a retired slot that has kept
 * it). Needs no mutex, and no descriptor, name or right, so that a process may have changed its user, root or limits.
 * Where pages cannot be populated (FORMAT.md: "by name") the step before has done this. -> 0; -EDQUOT: other processes
 * have taken the rest of the share meanwhile; -ENOSPC: the file system has no room, or somebody has truncated the file;
 * -ENOMEM: no memory or address space for the process. */
int shmring_slot_populate(struct shmring *ring, struct shmring_writer *taken);

/* Makes the slot the calling thread's. err: what shmring_slot_populate answered. Not 0: the slot is given back, and a
 * retired slot whose memory is there becomes the thread's instead; if there is none -> err. Counts nothing. */
int shmring_slot_publish(struct shmring *ring, struct shmring_writer *taken, int err, struct shmring_writer **out);

/* The three in one, for callers whose mutex nobody waits for. -> as they do */
int shmring_attach(struct shmring *ring, struct shmring_writer **out);

/* What such an error means: how a record of the thread is counted, and a text for people, static and without a stop. */
struct shmring_refusal {
    enum shmring_drop drop;
    const char *text;
};
struct shmring_refusal shmring_refusal(int err);

/* For a thread whose write in *writer may have been left by a jump, so that its records are refused as nested: takes
 * another slot besides, or one again that the thread has left before. *writer keeps its slot, because the write may
 * also go on. -> as shmring_attach; on failure *writer is as before. */
int shmring_attach_beside(struct shmring *ring, struct shmring_writer **writer);

/* Gives the slot back, and those that it was taken besides; what they hold stays readable and the next owner appends to
 * it. A write of the thread that has not ended is over now: its record exists if it was published. Accepts NULL. */
void shmring_detach(struct shmring *ring, struct shmring_writer *writer);

/* ---- producer: records. One thread per writer; no call blocks, allocates or enters the kernel. ---- */

/* A signal handler may leave any of these calls by longjmp, and a thread may end in them. */

/* Begins a record of payload_bytes and returns where the payload goes (16-aligned), or NULL: dropped and counted.
 * Between reserve and commit or discard, a signal handler of the same thread gets NULL (counted as nested). A write
 * that was left by a jump is over when another begins in the same frame. */
void *shmring_reserve(struct shmring_writer *writer, uint32_t payload_bytes, uint16_t type, uint16_t flags);

/* Publishes the reserved record with one release store. */
void shmring_commit(struct shmring_writer *writer);

/* Forgets the reserved record: as if it had never begun. */
void shmring_discard(struct shmring_writer *writer);

/* Counts against the writer's slot a record that was never begun (SHMRING_DROP_DISABLED). Async-signal-safe. */
void shmring_writer_count_drop(struct shmring_writer *writer, enum shmring_drop reason);

/* ---- consumer: one thread, one process per ring directory ---- */

struct shmring_reader; /* an attached segment */

/* Locks the directory for one consumer (file "aistraced.lock", mode 0600). A lock file that neither the caller nor root
 * owns is removed: a producer made it, and it would keep the consumer out. -> a descriptor to keep open, or -errno;
 * -EWOULDBLOCK: another consumer holds it. */
int shmring_dir_lock(int dir_fd);

/* Installs a process-wide handler of SIGBUS, for programs with readers: whoever can write a segment's file can truncate
 * it, and then the next access to its mapping is that signal. The handler puts zeroed memory in the mapping's place,
 * and the reader quarantines the segment; a SIGBUS of any other origin goes to the handler found here, or kills as
 * before. Again: does nothing. -> 0 or -errno. */
int shmring_guard_install(void);
enum { SHMRING_GUARD_MAX = 4096 }; /* segments attached at a time */

/* Attaches the segment `name` in dir_fd. Follows no symlink; wants a regular file on the directory's own file system,
 * of exactly the declared geometry, with an intact header. Restores each used slot from its ledger and republishes
 * cpos_pub. What another user owns is mapped no further than its control pages, and its rings are read with pread:
 * these reads neither allocate holes at the reader's expense nor fault. -> -EAGAIN: still being created;
 * -EPROTONOSUPPORT: another major, mode or incompatible feature (left untouched); -EBADMSG: not a sound segment, or one
 * whose owner is not its file's; -ENFILE: SHMRING_GUARD_MAX are attached; -ENOENT. */
int shmring_reader_open(int dir_fd, const char *name, struct shmring_reader **out);

/* Unmaps; the file and its state stay. Accepts NULL. */
void shmring_reader_close(struct shmring_reader *reader);

const struct shmring_header *shmring_reader_header(const struct shmring_reader *reader);      /* private copy */
const uint8_t *shmring_reader_resource(const struct shmring_reader *reader, uint32_t *bytes); /* private copy */
uid_t shmring_reader_uid(const struct shmring_reader *reader);                                /* file's owner */

/* True while some process maps the segment. Once false, this reader holds the lock and nothing more is written.
 * Never blocks. The answer false is final. */
bool shmring_reader_owner_alive(struct shmring_reader *reader);

/* Stores threshold, then flags (release). */
void shmring_reader_publish(struct shmring_reader *reader, uint64_t flags, uint64_t sampling_threshold);

/* Slots that may hold data: [0, n). Grows only. */
uint32_t shmring_reader_slots(struct shmring_reader *reader);

enum shmring_slot_health {
    SHMRING_SLOT_SOUND,
    SHMRING_SLOT_QUARANTINED, /* never read or written again by this reader */
};

/* What the reader knows of a slot. Positions as in shmring_format.h. */
struct shmring_slot_status {
    enum shmring_slot_health health;
    const char *problem;          /* static text when quarantined: what was wrong */
    uint64_t problem_position;    /* where */
    uint64_t end;                 /* wpos when last looked at */
    uint64_t read;                /* private position: everything before it was handed out */
    uint64_t read_records;        /* ordinal of the record at `read` */
    struct shmring_ledger ledger; /* as last committed; read - ledger.cpos is what a crash would repeat */
};
const struct shmring_slot_status *shmring_reader_slot(const struct shmring_reader *reader, uint32_t slot);

/* A validated record in the reader's private copy, valid until the next call of shmring_reader_next on any reader
 * that shares the window. */
struct shmring_view {
    const uint8_t *payload;
    uint32_t payload_bytes;
    uint16_t type;
    uint16_t flags;
    uint64_t begin; /* position of the record, or of the padding before it */
    uint64_t end;   /* position after it */
    uint64_t ordinal;
    uint32_t thread;
};

/* Private memory into which rings are copied before parsing; one per consumer, shared by its readers. bytes: at least
 * the largest record of any ring it will see is read through it; grows by itself up to a quarter of
 * SHMRING_RING_MAX. */
struct shmring_window;
int shmring_window_new(size_t bytes, struct shmring_window **out);
void shmring_window_free(struct shmring_window *window);

/* Loads the slot's wpos once (acquire), checks it and notes it as `end`. -> 0, or -EBADMSG when the slot is or was
 * quarantined. After the owner's death the answer is final. */
int shmring_reader_look(struct shmring_reader *reader, uint32_t slot);

/* A hint that the slot will soon be looked at, and read if it has data: loads its first cache lines, while the caller
 * does other work. */
void shmring_reader_prefetch(const struct shmring_reader *reader, uint32_t slot, bool has_data);

/* As shmring_reader_look, and copies what lies between `read` and it into the window, at most the window's size. ->
 * bytes that shmring_reader_next can now hand out, 0 when there is nothing, -EBADMSG when the slot is or was
 * quarantined. */
ssize_t shmring_reader_fill(struct shmring_reader *reader, uint32_t slot, struct shmring_window *window);

/* Next whole record of the window last filled. -> 1 and *out; 0 when the window is used up (fill again);
 * -EBADMSG: the slot was quarantined at this record. `read` advances with every record. */
int shmring_reader_next(struct shmring_window *window, struct shmring_view *out);

/* Puts the record just handed out back: `read` is before it again. The window must be filled again. */
void shmring_reader_unread(struct shmring_reader *reader, uint32_t slot, const struct shmring_view *view);

/* Skips [begin, end) with this many records, which are stored elsewhere already: begin must be where the next record,
 * or the padding before it, begins. The window must be filled again. -> 0; -EAGAIN: `read` is elsewhere; -EINVAL: no
 * such interval is possible; -EBADMSG: the slot is quarantined. */
int shmring_reader_skip(struct shmring_reader *reader, uint32_t slot, uint64_t begin, uint64_t end, uint64_t records);

/* Makes `ledger` the slot's committed state: spare copy, selector, cpos_pub, in this order. ledger->cpos must lie in
 * [committed cpos, read] on a record boundary. Does nothing on a quarantined slot. */
void shmring_reader_commit(struct shmring_reader *reader, uint32_t slot, const struct shmring_ledger *ledger);

/* The producer's own counters, as they stand in shared memory; not validated. */
struct shmring_producer_status {
    uint64_t begun;
    uint64_t dropped[SHMRING_DROP_REASONS];
};
void shmring_reader_producer(const struct shmring_reader *reader, uint32_t slot, struct shmring_producer_status *out);
void shmring_reader_counters(const struct shmring_reader *reader, uint64_t dropped[SHMRING_DROP_REASONS]);

/* Stops touching the whole segment. */
void shmring_reader_quarantine(struct shmring_reader *reader, const char *problem);

/* Why the whole segment is quarantined, a static text; NULL: it is not, though slots of it may be. */
const char *shmring_reader_problem(const struct shmring_reader *reader);

/* Quarantines the sound slots whose producer's counters contradict the records it has written. Call it from time to
 * time only: it reads cache lines that producers write at every record. */
void shmring_reader_audit(struct shmring_reader *reader);

/* ---- shared ---- */

/* The file name of the segment with this instance id: its hexadecimal digits and SHMRING_SUFFIX, terminated. */
void shmring_instance_name(const uint8_t instance[SHMRING_INSTANCE_BYTES], char name[SHMRING_NAME_BYTES]);

/* True when the owner of a file is the caller or root. In a directory where others may write, a file of anybody else
 * is not to be believed. */
bool shmring_is_ours(uid_t owner);

uint32_t shmring_crc32c(uint32_t seed, const void *data, size_t bytes); /* Castagnoli, seed 0 to begin */

#endif
