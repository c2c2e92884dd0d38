/* SPDX-License-Identifier: MIT
 *
 * Byte layout of a segment file, ABI 1. Prose, life cycle and crash cases: FORMAT.md.
 *
 *   offset 0         struct shmring_header       1 page    immutable once linked into the ring directory, but for a bit
 *   4 KiB            resource                    2 pages   immutable; opaque bytes of the program above
 *   12 KiB           key table                   2 pages   append-only; reserved for interned attribute keys
 *   20 KiB           struct shmring_control      1 page    written by the consumer, once linked
 *   24 KiB           struct shmring_counters     1 page    written by all threads of the producer, atomically
 *   28 KiB           slot groups                 2 pages each: 8 x shmring_producer, then 8 x shmring_consumer
 *   after groups     data                        slot_count x ring_bytes, allocated when a thread takes the slot; pages
 *                                                outside [cpos, wpos) may have been given back
 *
 * Everything is little-endian, of fixed width, and refers to other parts by offset from the start of the file.
 * Fields of different writers are at least 128 bytes apart (two cache lines: the adjacent-line prefetcher pairs them);
 * what the producer writes and what the consumer writes never share a page.
 */
#ifndef SHMRING_FORMAT_H
#define SHMRING_FORMAT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the segment format is little-endian; a big-endian port must swap on access"
#endif

#define SHMRING_MAGIC     "aistring" /* 8 bytes, no terminator */
#define SHMRING_ABI_MAJOR 1u         /* another major: do not touch the segment */
#define SHMRING_ABI_MINOR 0u         /* a higher minor only adds what an older reader may ignore */
#define SHMRING_SUFFIX    ".ring"    /* name of a linked segment: SHMRING_INSTANCE_HEX hex digits, then this */

enum {
    SHMRING_PAGE = 4096,
    SHMRING_ALIGN = 16, /* of records and positions, so that a padding header always fits at the ring's end */
    SHMRING_RESOURCE_OFFSET = 1 * SHMRING_PAGE,
    SHMRING_RESOURCE_MAX = 2 * SHMRING_PAGE,
    SHMRING_CONTROL_OFFSET = 5 * SHMRING_PAGE, /* behind the two pages of the key table */
    SHMRING_COUNTERS_OFFSET = 6 * SHMRING_PAGE,
    SHMRING_SLOTS_OFFSET = 7 * SHMRING_PAGE,
    SHMRING_SLOT_STRIDE = 512,
    SHMRING_GROUP_SLOTS = 8,
    SHMRING_GROUP_BYTES = 2 * SHMRING_PAGE,
    SHMRING_SLOTS_MAX = 1024,
    SHMRING_LEDGER_REASONS = 8,
    SHMRING_INSTANCE_BYTES = 16,
    SHMRING_INSTANCE_HEX = 2 * SHMRING_INSTANCE_BYTES,
    SHMRING_NAME_BYTES = SHMRING_INSTANCE_HEX + sizeof(SHMRING_SUFFIX), /* with the terminator */
};
#define SHMRING_RING_MIN (4096ull) /* bytes per slot; a power of two */
#define SHMRING_RING_MAX (1ull << 30)

/* What a full ring does. A reader refuses a mode that it does not know; 1 is reserved. */
enum shmring_mode { SHMRING_MODE_DROP_NEWEST = 0 };

/* How time stamps in records are to be read. A reader refuses a clock that it does not know; 1 is reserved. */
enum shmring_clock {
    SHMRING_CLOCK_UNIX_NS = 0, /* nanoseconds since the Unix epoch and monotonic durations, final in the record */
};

/* Bit of incompat_features: rings may have holes outside [cpos, wpos), which a reader must not ask for. The one field
 * that changes after the file has its name: set before the first hole is made, and the checksum after it. A reader
 * takes a checksum of either state. */
#define SHMRING_INCOMPAT_HOLES 1ull

struct shmring_header {
    char magic[8];
    uint16_t abi_major;
    uint16_t abi_minor;
    uint32_t header_bytes;                    /* SHMRING_PAGE */
    uint64_t compat_features;                 /* a reader may ignore unknown bits */
    uint64_t incompat_features;               /* a reader leaves a segment with unknown bits alone */
    uint8_t instance[SHMRING_INSTANCE_BYTES]; /* random; never changes */
    uint8_t boot_id[16];                      /* of the kernel that ran the producer */
    uint32_t clock;                           /* enum shmring_clock */
    uint32_t mode;                            /* enum shmring_mode */
    uint32_t slot_count;                      /* 1 ... SHMRING_SLOTS_MAX */
    uint32_t slot_stride;                     /* SHMRING_SLOT_STRIDE */
    uint64_t ring_bytes;                      /* per slot: a power of two */
    uint64_t first_position;                  /* where every slot's positions started; 0 outside tests */
    uint64_t data_offset;                     /* of slot 0's ring */
    uint64_t file_bytes;                      /* size of the whole file */
    uint32_t resource_bytes;                  /* at SHMRING_RESOURCE_OFFSET */
    uint32_t resource_crc;                    /* crc32c of those bytes */
    uint32_t pid;                             /* in the producer's PID namespace; for people, never for liveness */
    uint32_t reserved0;
    uint64_t open_spans_offset; /* reserved, 0: slab of spans under construction, readable after the owner's death */
    uint32_t open_spans_stride; /* reserved, 0 */
    uint32_t open_spans_count;  /* reserved, 0 */
    uint8_t reserved1[SHMRING_PAGE - 148];
    uint32_t crc; /* crc32c of the bytes before it */
};
static_assert(sizeof(struct shmring_header) == SHMRING_PAGE, "header fills its page");
static_assert(offsetof(struct shmring_header, crc) == SHMRING_PAGE - 4, "crc closes the page");

/* Set by the consumer, read by producers at every span. A new segment has zeros: nothing published yet; in the
 * child of a fork it has what the parent's said. Bit 2 is reserved. */
enum shmring_control_flag {
    SHMRING_CONTROL_PUBLISHED = 1u << 0, /* sampling_threshold holds; stored after it, with release */
    SHMRING_CONTROL_DISABLED = 1u << 1,  /* producers write nothing and count SHMRING_DROP_DISABLED */
};

struct shmring_control {
    _Atomic uint64_t flags;              /* enum shmring_control_flag */
    _Atomic uint64_t sampling_threshold; /* probability in force x 2^63: 0 ... 2^63 */
    uint8_t reserved[SHMRING_PAGE - 16];
};
static_assert(sizeof(struct shmring_control) == SHMRING_PAGE, "control fills its page");

/* Why a producer did not write a record. The names of the metrics are these, in lower case. */
enum shmring_drop {
    SHMRING_DROP_RING_FULL, /* per slot */
    SHMRING_DROP_OVERSIZE,  /* per slot: over a quarter of the ring */
    SHMRING_DROP_NESTED,    /* per slot: a signal handler inside another write of the same thread */
    SHMRING_DROP_DISABLED,  /* per slot, or per segment for a thread without slot */
    SHMRING_DROP_NO_SLOT,   /* per segment: more threads than slots */
    SHMRING_DROP_NO_MEMORY, /* per segment: there is no room for the thread's ring */
    SHMRING_DROP_NO_FILE,   /* per segment: its file cannot be opened again for the thread's ring (FORMAT.md: by name).
                             * Consumers of ABI 1.0 without this name read and report it as reserved_6 */
    SHMRING_DROP_RESERVED,  /* not yet in use */
    SHMRING_DROP_REASONS = 8
};

/* Of the whole process: what a thread without slot drops, and which slots were ever taken. */
struct shmring_counters {
    _Atomic uint32_t slots_used; /* high-water mark: slots [0, slots_used) may hold data; stored with release */
    uint32_t reserved0;
    _Atomic uint64_t active[SHMRING_SLOTS_MAX / 64]; /* bit per slot that a thread owns now; a hint */
    _Alignas(128) _Atomic uint64_t dropped[SHMRING_DROP_REASONS];
    _Atomic uint32_t keys_bytes; /* reserved: published length of the key table */
    _Alignas(SHMRING_PAGE / 2) uint8_t reserved1[SHMRING_PAGE / 2];
};
static_assert(sizeof(struct shmring_counters) == SHMRING_PAGE, "counters fill their page");

enum shmring_slot_state { SHMRING_SLOT_FREE = 0, SHMRING_SLOT_ACTIVE = 1, SHMRING_SLOT_RETIRED = 2 };

/* Positions are byte counts since first_position: monotonic, never reset, multiples of SHMRING_ALIGN;
 * the byte at position p lies at offset p & (ring_bytes - 1) of the slot's data. */
struct shmring_producer {
    /* bytes before it are complete; the one release store that publishes a record */
    _Alignas(128) _Atomic uint64_t wpos;
    /* records begun = committed + ring_full + oversize + at most one in progress */
    _Alignas(128) _Atomic uint64_t begun;
    _Atomic uint64_t dropped[SHMRING_DROP_REASONS];
    _Alignas(128) _Atomic uint32_t state; /* enum shmring_slot_state */
    uint32_t epoch;                       /* how many threads have owned the slot */
    uint32_t thread;                      /* kernel id of the owner, for people */
    _Alignas(128) uint8_t reserved[128];  /* room: clock anchors */
};
static_assert(sizeof(struct shmring_producer) == SHMRING_SLOT_STRIDE, "producer stride");

/* What became of records. */
struct shmring_counts {
    uint64_t exported;
    uint64_t sampled_out;
    uint64_t rejected;
    uint64_t spooled;
    uint64_t dropped[SHMRING_LEDGER_REASONS]; /* the consumer's reasons; the ring only adds them up */
};

/* What became of the records before cpos: the counts' sum is the number of those records. */
struct shmring_ledger {
    uint64_t cpos; /* bytes before it are released */
    struct shmring_counts counts;
    uint64_t reserved[3];
};
static_assert(sizeof(struct shmring_ledger) == 128, "ledger is two cache lines");
static_assert(offsetof(struct shmring_ledger, counts.exported) == 8 &&
                  offsetof(struct shmring_ledger, counts.sampled_out) == 16 &&
                  offsetof(struct shmring_ledger, counts.rejected) == 24 &&
                  offsetof(struct shmring_ledger, counts.spooled) == 32 &&
                  offsetof(struct shmring_ledger, counts.dropped) == 40 &&
                  offsetof(struct shmring_ledger, reserved) == 104,
              "the counts follow the position without a gap");

/* Commit: write the copy that selector does not name, store selector (release), store cpos_pub (release).
 * Producers read cpos_pub only; a restarted consumer reads the selected copy only. */
struct shmring_consumer {
    _Alignas(128) struct shmring_ledger ledger[2];
    _Alignas(128) _Atomic uint32_t selector; /* 0 or 1 */
    _Alignas(128) _Atomic uint64_t cpos_pub;
};
static_assert(sizeof(struct shmring_consumer) == SHMRING_SLOT_STRIDE, "consumer stride");

#define SHMRING_PAD 0x80000000u /* in length: padding up to the ring's end; only the first 16 bytes are written */

struct shmring_record {
    uint32_t length;        /* of header and payload, rounded up to SHMRING_ALIGN; | SHMRING_PAD */
    uint16_t type;          /* of the payload; the ring does not interpret it */
    uint16_t flags;         /* of the payload; the ring does not interpret them */
    uint64_t pos;           /* its own position: generation and self-check */
    uint64_t ordinal;       /* records this slot committed before it */
    uint32_t thread;        /* kernel id of the writer */
    uint32_t payload_bytes; /* exact; the rest up to length is not defined */
};
static_assert(sizeof(struct shmring_record) == 32, "record header");

#define SHMRING_RECORD_MAX(ring_bytes) ((ring_bytes) / 4) /* longest record, so that one span cannot own the ring */

static inline uint64_t shmring_producer_offset(uint32_t slot)
{
    return SHMRING_SLOTS_OFFSET + (uint64_t)(slot / SHMRING_GROUP_SLOTS) * SHMRING_GROUP_BYTES +
           (slot % SHMRING_GROUP_SLOTS) * (uint64_t)SHMRING_SLOT_STRIDE;
}

static inline uint64_t shmring_consumer_offset(uint32_t slot)
{
    return shmring_producer_offset(slot) + SHMRING_PAGE;
}

static inline uint64_t shmring_data_offset(uint32_t slot_count)
{
    uint64_t groups = (slot_count + SHMRING_GROUP_SLOTS - 1) / SHMRING_GROUP_SLOTS;
    return SHMRING_SLOTS_OFFSET + groups * SHMRING_GROUP_BYTES;
}

static inline uint64_t shmring_file_bytes(uint32_t slot_count, uint64_t ring_bytes)
{
    return shmring_data_offset(slot_count) + slot_count * ring_bytes;
}

#endif
