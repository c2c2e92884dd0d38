/* SPDX-License-Identifier: MIT
 *
 * The ring's reader over a sound segment into which the input is xored: the empty input is a sound segment, and each
 * bit of another damages it somewhere. Its first byte: 1 the header too, 2 the file is cut off while attached. Then the
 * words of struct control, then the rings.
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
    RING_BYTES = 4096,
    BASE = SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES,
    RECORDS = 6,
    RECORD_BYTES = 64
};
static const char name[] = "00000000000000000000000000000000" SHMRING_SUFFIX;

struct control {
    uint64_t wpos, later_wpos, begun, dropped[2], cpos_pub;
    uint64_t ledger[2][9]; /* cpos and some counts */
    uint8_t selector, slots_used;
} __attribute__((packed));

static void damage(const uint8_t **data, size_t *size, void *memory, size_t bytes)
{
    uint8_t *at = memory, byte;
    for (size_t i = 0; i<bytes && * size> 0; i++) {
        fuzz_take(data, size, &byte, 1);
        at[i] ^= byte;
    }
}

static void write_header(uint8_t *base, const uint8_t **data, size_t *size, bool damaged)
{
    struct shmring_header header = {.abi_major = SHMRING_ABI_MAJOR,
                                    .header_bytes = SHMRING_PAGE,
                                    .slot_count = SLOTS,
                                    .slot_stride = SHMRING_SLOT_STRIDE,
                                    .ring_bytes = RING_BYTES,
                                    .data_offset = BASE,
                                    .file_bytes = BASE + SLOTS * RING_BYTES};
    memcpy(header.magic, SHMRING_MAGIC, sizeof(header.magic));
    if (damaged)
        damage(data, size, (uint8_t *)&header + 8, 140);
    header.crc = shmring_crc32c(0, &header, offsetof(struct shmring_header, crc));
    memcpy(base, &header, sizeof(header));
}

static void write_records(uint8_t *ring)
{
    for (uint64_t ordinal = 0; ordinal < RECORDS; ordinal++) {
        struct shmring_record record = {.length = RECORD_BYTES,
                                        .pos = ordinal * RECORD_BYTES,
                                        .ordinal = ordinal,
                                        .payload_bytes = RECORD_BYTES - 32};
        memcpy(ring + ordinal * RECORD_BYTES, &record, sizeof(record));
    }
}

/* -> what the write position becomes once the segment is attached, xored */
static uint64_t write_segment(uint8_t *base, const uint8_t *data, size_t size, bool own_header)
{
    struct control control = {.slots_used = SLOTS, .wpos = RECORDS * RECORD_BYTES, .begun = RECORDS};
    write_header(base, &data, &size, own_header);
    damage(&data, &size, &control, sizeof(control));
    base[SHMRING_COUNTERS_OFFSET] = control.slots_used;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        struct shmring_producer *producer = (struct shmring_producer *)(base + shmring_producer_offset(slot));
        struct shmring_consumer *consumer = (struct shmring_consumer *)(base + shmring_consumer_offset(slot));
        producer->wpos = control.wpos;
        producer->begun = control.begun;
        memcpy((void *)producer->dropped, control.dropped, sizeof(control.dropped));
        memcpy(&consumer->ledger[0], control.ledger[0], sizeof(control.ledger[0]));
        memcpy(&consumer->ledger[1], control.ledger[1], sizeof(control.ledger[1]));
        consumer->selector = control.selector;
        consumer->cpos_pub = control.cpos_pub;
        write_records(base + BASE + slot * RING_BYTES);
        damage(&data, &size, base + BASE + slot * RING_BYTES, RING_BYTES);
    }
    return control.later_wpos;
}

/* -> records read */
static uint64_t use_slot(struct shmring_reader *reader, uint32_t slot, struct shmring_window *window)
{
    const struct shmring_slot_status *status = shmring_reader_slot(reader, slot);
    struct shmring_view view;
    uint64_t bytes = 0;
    for (ssize_t n; (n = shmring_reader_fill(reader, slot, window)) > 0;) {
        fuzz_check((bytes += (uint64_t)n) <= RING_BYTES);
        while (shmring_reader_next(window, &view) > 0)
            fuzz_read(view.payload, view.payload_bytes);
    }
    struct shmring_ledger ledger = status->ledger;
    ledger.cpos = status->read;
    shmring_reader_commit(reader, slot, &ledger);
    return status->read_records;
}

static char dir[128];
static int dir_fd = -1, file = -1;
static uint8_t *base;
static struct shmring_window *window;

static void tear_down(void)
{
    unlinkat(dir_fd, name, 0);
    rmdir(dir);
}

static void set_up(void)
{
    const char *place = getenv("AISTRACE_TEST_ROOT");
    snprintf(dir, sizeof(dir), "%s/fuzz_reader.XXXXXX", place ? place : "/dev/shm");
    fuzz_check(mkdtemp(dir) && (dir_fd = open(dir, O_RDONLY | O_DIRECTORY)) >= 0 && shmring_guard_install() == 0 &&
               shmring_window_new(16 * RING_BYTES, &window) == 0);
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
    if (!base)
        set_up();
    if (size < 1)
        return 0;
    uint64_t later_wpos = write_segment(base, data + 1, size - 1, *data & 1);
    if (shmring_reader_open(dir_fd, name, &reader) == 0) {
        ((struct shmring_producer *)(base + shmring_producer_offset(0)))->wpos ^= later_wpos;
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
    memset(base, 0, BASE + SLOTS * RING_BYTES);
    return 0;
}
