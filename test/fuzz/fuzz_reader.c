/* SPDX-License-Identifier: MIT
 *
 * The ring's reader over a sound segment into which the input is xored: the input of zeros is a sound segment, and each
 * bit of another damages it somewhere. Its first byte: 1 the header too, 2 the file is cut off while attached. Then
 * struct control, the header if so, and what was written into each ring. As they are, the records go over the ring's end,
 * and the first window ends inside the padding there.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "shmring.h"

enum {
    SLOTS = 2,
    RING_BYTES = 16 << 10,
    BASE = SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES,
    RECORDS = 6,
    RECORD_BYTES = 96,
    LAST_RECORD_BYTES = SHMRING_RECORD_MAX(RING_BYTES),
    START = RING_BYTES - (RECORDS - 1) * RECORD_BYTES - (LAST_RECORD_BYTES - RECORD_BYTES),
    WINDOW_STEP = 64,
    HEADER_BYTES = 140, /* of the header: behind the magic */
    DAMAGED_BYTES = 64  /* of a record: the header, and the first of the payload */
};
static const char name[] = "00000000000000000000000000000000" SHMRING_SUFFIX;

/* All of it xored, but the window: a page and so many steps more. */
struct control {
    uint8_t window, selector, slots_used;
    uint16_t start; /* of the first record, in units of SHMRING_ALIGN */
    uint64_t wpos, later_wpos, begun, dropped[2], cpos_pub;
    uint64_t ledger[2][9]; /* cpos and some counts */
} __attribute__((packed));

static void damage(const uint8_t **data, size_t *size, void *memory, size_t bytes)
{
    uint8_t *at = memory, byte;
    for (size_t i = 0; i<bytes && * size> 0; i++) {
        fuzz_take(data, size, &byte, 1);
        at[i] ^= byte;
    }
}

static void write_header(uint8_t *base, uint64_t start, const uint8_t **data, size_t *size, bool damaged)
{
    struct shmring_header header = {.abi_major = SHMRING_ABI_MAJOR,
                                    .header_bytes = SHMRING_PAGE,
                                    .slot_count = SLOTS,
                                    .slot_stride = SHMRING_SLOT_STRIDE,
                                    .ring_bytes = RING_BYTES,
                                    .first_position = start,
                                    .data_offset = BASE,
                                    .file_bytes = BASE + SLOTS * RING_BYTES};
    memcpy(header.magic, SHMRING_MAGIC, sizeof(header.magic));
    if (damaged)
        damage(data, size, (uint8_t *)&header + 8, HEADER_BYTES);
    header.crc = shmring_crc32c(0, &header, offsetof(struct shmring_header, crc));
    memcpy(base, &header, sizeof(header));
}

/* -> where the next one goes */
static uint64_t write_record(uint8_t *ring, uint64_t position, uint64_t ordinal, uint32_t length, const uint8_t **data,
                             size_t *size)
{
    uint64_t lap = RING_BYTES - position % RING_BYTES;
    if (lap < length) {
        struct shmring_record *padding = (struct shmring_record *)(ring + position % RING_BYTES);
        padding->length = (uint32_t)lap | SHMRING_PAD;
        padding->pos = position;
        damage(data, size, padding, SHMRING_ALIGN);
        position += lap;
    }
    uint8_t *at = ring + position % RING_BYTES;
    struct shmring_record record = {
        .length = length, .pos = position, .ordinal = ordinal, .payload_bytes = length - (uint32_t)sizeof(record)};
    memcpy(at, &record, sizeof(record));
    damage(data, size, at, DAMAGED_BYTES);
    return position + length;
}

static void write_slot(uint8_t *base, uint32_t slot, uint64_t start, const struct control *control,
                       const uint8_t **data, size_t *size)
{
    struct shmring_producer *producer = (struct shmring_producer *)(base + shmring_producer_offset(slot));
    struct shmring_consumer *consumer = (struct shmring_consumer *)(base + shmring_consumer_offset(slot));
    uint64_t position = start;
    for (uint64_t ordinal = 0; ordinal < RECORDS; ordinal++)
        position = write_record(base + BASE + slot * RING_BYTES, position, ordinal,
                                ordinal < RECORDS - 1 ? RECORD_BYTES : LAST_RECORD_BYTES, data, size);
    producer->wpos = position ^ control->wpos;
    producer->begun = RECORDS ^ control->begun;
    memcpy((void *)producer->dropped, control->dropped, sizeof(control->dropped));
    for (int i = 0; i < 2; i++) {
        memcpy(&consumer->ledger[i], control->ledger[i], sizeof(control->ledger[i]));
        consumer->ledger[i].cpos ^= start;
    }
    consumer->selector = control->selector;
    consumer->cpos_pub = start ^ control->cpos_pub;
}

static void write_segment(uint8_t *base, const uint8_t *data, size_t size, bool own_header, struct control *control)
{
    damage(&data, &size, control, sizeof(*control));
    uint64_t start = (control->start ^ START / SHMRING_ALIGN) * (uint64_t)SHMRING_ALIGN;
    write_header(base, start, &data, &size, own_header);
    base[SHMRING_COUNTERS_OFFSET] = SLOTS ^ control->slots_used;
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        write_slot(base, slot, start, control, &data, &size);
}

/* Records follow each other without a gap. -> how many were read */
static uint64_t use_slot(struct shmring_reader *reader, uint32_t slot, struct shmring_window *window)
{
    const struct shmring_slot_status *status = shmring_reader_slot(reader, slot);
    struct shmring_view view;
    uint64_t first = status->read, at = first, before = first;
    for (bool idle = false; shmring_reader_fill(reader, slot, window) > 0; before = status->read) {
        while (shmring_reader_next(window, &view) > 0) {
            fuzz_check(view.begin == at && view.end > at && view.end - first <= RING_BYTES);
            fuzz_read(view.payload, view.payload_bytes);
            at = view.end;
        }
        /* a record that is longer than the window: the next one holds it */
        fuzz_check(status->health != SHMRING_SLOT_SOUND || status->read > before || !idle);
        idle = status->read == before;
    }
    struct shmring_ledger ledger = status->ledger;
    ledger.cpos = status->read;
    shmring_reader_commit(reader, slot, &ledger);
    return status->read_records;
}

static char dir[128];
static int dir_fd = -1, file = -1;
static uint8_t *base;

static void tear_down(void)
{
    unlinkat(dir_fd, name, 0);
    rmdir(dir);
}

static void set_up(void)
{
    const char *place = getenv("AISTRACE_TEST_ROOT");
    snprintf(dir, sizeof(dir), "%s/fuzz_reader.XXXXXX", place ? place : "/dev/shm");
    fuzz_check(mkdtemp(dir) && (dir_fd = open(dir, O_RDONLY | O_DIRECTORY)) >= 0 && shmring_guard_install() == 0);
    atexit(tear_down);
    file = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    fuzz_check(ftruncate(file, BASE + SLOTS * RING_BYTES) == 0);
    base = mmap(NULL, BASE + SLOTS * RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    fuzz_check(base != MAP_FAILED);
    memset(base, 0, BASE + SLOTS * RING_BYTES); /* allocated */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shmring_reader *reader = NULL;
    struct shmring_window *window;
    struct control control = {0};
    if (!base)
        set_up();
    if (size < 1)
        return 0;
    write_segment(base, data + 1, size - 1, *data & 1, &control);
    fuzz_check(shmring_window_new(SHMRING_PAGE + control.window * WINDOW_STEP, &window) == 0);
    if (shmring_reader_open(dir_fd, name, &reader) == 0) {
        ((struct shmring_producer *)(base + shmring_producer_offset(0)))->wpos ^= control.later_wpos;
        if (*data & 2)
            fuzz_check(ftruncate(file, *data << 6) == 0);
        for (uint32_t slot = 0; slot < shmring_reader_slots(reader); slot++)
            fuzz_check(use_slot(reader, slot, window) == RECORDS || size > 1 || *data > 0);
        shmring_reader_publish(reader, SHMRING_CONTROL_PUBLISHED, 1);
        shmring_reader_audit(reader);
        fuzz_check(!(*data & 2) || shmring_reader_problem(reader));
        if (*data & 2)
            fuzz_check(ftruncate(file, BASE + SLOTS * RING_BYTES) == 0);
    }
    shmring_reader_close(reader);
    shmring_window_free(window);
    memset(base, 0, BASE + SLOTS * RING_BYTES);
    return 0;
}
