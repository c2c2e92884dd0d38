/* SPDX-License-Identifier: MIT
 *
 * Bytes of a spool file, version 1, little-endian. Pure: bytes in, bytes out.
 *
 *   offset 0           struct spool_file_head      first copy
 *   SPOOL_HEAD_STRIDE  struct spool_file_head      second copy: a damaged byte costs no file
 *   SPOOL_FIRST        records, one behind the other, each aligned to SPOOL_ALIGN:
 *
 *     struct spool_head       64 bytes   what the record is; its crc covers the claims too
 *     struct spool_note       64 bytes   what became of its spans; written in place, once; zeros until then
 *     struct spool_claim[]    80 bytes   which intervals of which rings it answers for
 *     request                            an ExportTraceServiceRequest, as it is sent; has its own crc
 *
 * Files have a fixed size and are reused: each time with a new random id, which every record repeats, so that what a
 * former use left is not taken for a record. Nothing says where the records end: behind the last there is none whose
 * crc holds. A record is found although the one before it is damaged, since all that is searched for is an aligned
 * head with the file's id, its own offset and a crc that holds; spans cannot imitate that, as they do not know the id.
 * A note that is torn or damaged counts as none: the request is sent again (at least once), nothing is lost.
 */
#ifndef SPOOL_FORMAT_H
#define SPOOL_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SPOOL_FILE_MAGIC   "aisspool" /* 8 bytes, no terminator */
#define SPOOL_RECORD_MAGIC "aisspans"

enum {
    SPOOL_VERSION = 1,
    SPOOL_FIRST = 4096,
    SPOOL_HEAD_STRIDE = 2048,
    SPOOL_ALIGN = 64,
    SPOOL_REASONS = 8, /* as in a ring's ledger */
    SPOOL_CLAIMS_MAX = 1 << 20,
};

struct spool_file_head {
    char magic[8];
    uint32_t version;
    uint32_t crc;      /* crc32c of the fields behind it */
    uint64_t sequence; /* files are read in this order */
    uint64_t id;       /* random, of this use of the file */
};
static_assert(sizeof(struct spool_file_head) == 32, "file head");

struct spool_head {
    char magic[8];
    uint64_t file_id;
    uint64_t offset; /* its own */
    uint32_t claim_count;
    uint32_t span_count;
    uint32_t request_bytes;
    uint32_t request_crc;
    uint8_t reserved[20];
    uint32_t crc; /* crc32c of the bytes before it, then of the claims */
};
static_assert(sizeof(struct spool_head) == SPOOL_ALIGN, "record head");

struct spool_note {
    uint32_t settled; /* SPOOL_SETTLED; 0: not yet */
    uint32_t exported;
    uint32_t rejected;
    uint32_t dropped;
    uint32_t reason; /* of dropped: enum drop_reason */
    uint8_t reserved[40];
    uint32_t crc; /* crc32c of the bytes before it, seeded with the file's id and the record's offset */
};
static_assert(sizeof(struct spool_note) == SPOOL_ALIGN, "a note lies within one sector");
#define SPOOL_SETTLED 0x6c747473u

/* Interval [begin, end) of a slot's ring, and what became of its records: `spans` of them are in the request. */
struct spool_claim {
    uint8_t instance[16]; /* of the segment; zeros: it was given up while the batch waited */
    uint64_t begin;
    uint64_t end;
    uint32_t slot;
    uint32_t spans;
    uint32_t sampled_out;
    uint32_t dropped[SPOOL_REASONS];
    uint32_t reserved;
};
static_assert(sizeof(struct spool_claim) == 80, "claim");

uint64_t spool_record_bytes(size_t claim_count, size_t request_bytes); /* in the file, aligned */
uint64_t spool_request_offset(const struct spool_head *head);          /* in the file */

/* Both copies, and zeros up to SPOOL_FIRST. */
void spool_encode_file_head(uint8_t page[SPOOL_FIRST], uint64_t sequence, uint64_t id);

/* -> 0, or -EBADMSG: neither copy is sound; -EPROTONOSUPPORT: of another version. Of two sound ones the newer. */
int spool_decode_file_head(const uint8_t page[SPOOL_FIRST], struct spool_file_head *out);

/* Appends head, empty note and claims; the request follows them. head: all but magic, reserved and crc is the caller's.
 * -> 0 or -ENOMEM */
int spool_encode_record(struct buf *out, const struct spool_head *head, const struct spool_claim *claims);

/* Head and claims, given the request's crc: when all else is known long before. */
void spool_seal_record(uint8_t *record, uint32_t request_crc);

void spool_encode_note(struct spool_note *note, uint64_t file_id, uint64_t offset);
bool spool_note_holds(const struct spool_note *note, uint64_t file_id, uint64_t offset);

/* A file to look for records in. */
struct spool_input {
    int (*read_cb)(void *user, uint64_t offset, void *to, size_t bytes); /* all of it -> 0, or -errno */
    void *user;
    uint64_t bytes;
    uint64_t file_id;
};

struct spool_found {
    struct spool_head head;
    struct spool_note note; /* settled is 0 unless it holds */
    const struct spool_claim *claims;
    bool after_gap; /* where a record should have begun there was none: it, or more, is damaged */
};

/* The first record at or behind *offset, which moves behind it. claims: room, reused; found->claims are in it.
 * -> 1; 0: none; -ENOMEM, or what read_cb said. */
int spool_find_record(const struct spool_input *input, uint64_t *offset, struct buf *claims, struct spool_found *found);

#endif
