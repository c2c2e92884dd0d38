/* SPDX-License-Identifier: MIT
 *
 *   ring_state FILE...
 *
 * What segment files hold, read straight from the layout in shmring_format.h, without the reader that is under test.
 * NAME is the one the segment was linked as, also where FILE is a descriptor (/proc/self/fd/N). Per segment
 *
 *   segment NAME pid P ring_bytes B drop.0 D ... drop.7 D
 *
 * with what threads without a slot dropped, by enum shmring_drop; per used slot
 *
 *   slot NAME N wpos W cpos C cpos_pub P records R released L committed M begun G drop.0 D ... drop.7 D
 *        exported E sampled_out S rejected J spooled O ledger.0 D ... ledger.7 D
 *
 * on one line, with R whole records between cpos and wpos, L the ledger's sum, M = L + R, and the ledger's own figures;
 * then a line for each of those records:
 *
 *   record NAME N POSITION SPAN_ID
 *
 * Status 1 when a segment contradicts itself. A segment that has gone is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmring_format.h"
#include "span_format.h"

enum { NAME_BYTES = 32 + sizeof(SHMRING_SUFFIX) };

struct segment {
    char name[NAME_BYTES];
    const uint8_t *data;
    const struct shmring_header *header;
};

static int complain(const struct segment *segment, uint32_t slot, const char *what)
{
    fprintf(stderr, "ring_state: %s slot %u: %s\n", segment->name, slot, what);
    return 1;
}

static uint64_t sum_of(const struct shmring_counts *counts)
{
    uint64_t sum = counts->exported + counts->sampled_out + counts->rejected + counts->spooled;
    for (unsigned i = 0; i < SHMRING_LEDGER_REASONS; i++)
        sum += counts->dropped[i];
    return sum;
}

/* Checks the records of [from, to), and prints them when asked to. -> 0 or 1 */
static int walk(const struct segment *segment, uint32_t slot, uint64_t from, uint64_t to, uint64_t *ordinal, bool print)
{
    uint64_t size = segment->header->ring_bytes;
    const uint8_t *ring = segment->data + segment->header->data_offset + slot * size;
    for (uint64_t at = from; at != to;) {
        struct shmring_record record = {0};
        uint64_t offset = at & (size - 1);
        memcpy(&record, ring + offset, 16);
        uint64_t length = record.length & ~SHMRING_PAD;
        if (record.pos != at || length == 0 || length % SHMRING_ALIGN || length > to - at || offset + length > size)
            return complain(segment, slot, "a record that is none");
        at += length;
        if (record.length & SHMRING_PAD)
            continue;
        struct aistrace_span_record span;
        memcpy(&record, ring + offset, sizeof(record));
        if (length < sizeof(record) + sizeof(span) || record.ordinal != *ordinal)
            return complain(segment, slot, "a record out of order");
        (*ordinal)++;
        if (!print)
            continue;
        memcpy(&span, ring + offset + sizeof(record), sizeof(span));
        printf("record %s %u %" PRIu64 " ", segment->name, slot, record.pos);
        for (unsigned i = 0; i < sizeof(span.span_id); i++)
            printf("%02x", span.span_id[i]);
        putchar('\n');
    }
    return 0;
}

static void print_each(const char *name, const _Atomic uint64_t counts[SHMRING_DROP_REASONS])
{
    for (unsigned i = 0; i < SHMRING_DROP_REASONS; i++)
        printf(" %s.%u %" PRIu64, name, i, atomic_load_explicit(&counts[i], memory_order_relaxed));
}

static void print_counts(const struct shmring_producer *producer, const struct shmring_counts *counts)
{
    printf(" begun %" PRIu64, atomic_load_explicit(&producer->begun, memory_order_relaxed));
    print_each("drop", producer->dropped);
    printf(" exported %" PRIu64 " sampled_out %" PRIu64 " rejected %" PRIu64 " spooled %" PRIu64, counts->exported,
           counts->sampled_out, counts->rejected, counts->spooled);
    for (unsigned i = 0; i < SHMRING_LEDGER_REASONS; i++)
        printf(" ledger.%u %" PRIu64, i, counts->dropped[i]);
    putchar('\n');
}

static int print_slot(const struct segment *segment, uint32_t slot)
{
    const struct shmring_producer *producer = (const void *)(segment->data + shmring_producer_offset(slot));
    const struct shmring_consumer *consumer = (const void *)(segment->data + shmring_consumer_offset(slot));
    /* The consumer is dead or stopped; the producer may go on, up to a lap beyond what is released. */
    const struct shmring_ledger *ledger = &consumer->ledger[atomic_load(&consumer->selector) & 1];
    uint64_t cpos = ledger->cpos;
    uint64_t wpos = atomic_load_explicit(&producer->wpos, memory_order_acquire);
    if (sum_of(&ledger->counts) == 0 && cpos == 0)
        cpos = segment->header->first_position; /* never touched by a consumer */
    if (wpos - cpos > segment->header->ring_bytes)
        return complain(segment, slot, "positions more than a ring apart");
    uint64_t released = sum_of(&ledger->counts);
    uint64_t ordinal = released;
    if (walk(segment, slot, cpos, wpos, &ordinal, false))
        return 1;
    printf("slot %s %u wpos %" PRIu64 " cpos %" PRIu64 " cpos_pub %" PRIu64 " records %" PRIu64 " released %" PRIu64
           " committed %" PRIu64,
           segment->name, slot, wpos, cpos, atomic_load(&consumer->cpos_pub), ordinal - released, released, ordinal);
    print_counts(producer, &ledger->counts);
    ordinal = released;
    return walk(segment, slot, cpos, wpos, &ordinal, true);
}

static int print_slots(const struct segment *segment)
{
    const struct shmring_counters *counters = (const void *)(segment->data + SHMRING_COUNTERS_OFFSET);
    uint32_t used = atomic_load_explicit(&counters->slots_used, memory_order_acquire);
    int result = 0;
    printf("segment %s pid %u ring_bytes %" PRIu64, segment->name, segment->header->pid, segment->header->ring_bytes);
    print_each("drop", counters->dropped);
    putchar('\n');
    for (uint32_t slot = 0; slot < used && slot < segment->header->slot_count; slot++)
        result |= print_slot(segment, slot);
    return result;
}

static void take_name(struct segment *segment)
{
    for (unsigned i = 0; i < sizeof(segment->header->instance); i++)
        snprintf(segment->name + 2 * (size_t)i, 3, "%02x", segment->header->instance[i]);
    memcpy(segment->name + NAME_BYTES - sizeof(SHMRING_SUFFIX), SHMRING_SUFFIX, sizeof(SHMRING_SUFFIX));
}

static int print_segment(const char *path)
{
    struct segment segment = {.name = "?"};
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : complain(&segment, 0, path);
    if (fstat(fd, &info) < 0 || info.st_size < SHMRING_SLOTS_OFFSET) {
        close(fd);
        return complain(&segment, 0, "is too short");
    }
    size_t bytes = (size_t)info.st_size;
    void *data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (data == MAP_FAILED)
        return complain(&segment, 0, "cannot be mapped");
    segment.data = data;
    segment.header = data;
    int result = 1;
    if (memcmp(segment.header->magic, SHMRING_MAGIC, sizeof(segment.header->magic)) != 0 ||
        segment.header->file_bytes != bytes) {
        complain(&segment, 0, "is no segment");
    } else {
        take_name(&segment);
        result = print_slots(&segment);
    }
    munmap(data, bytes);
    return result;
}

int main(int argc, char **argv)
{
    int result = 0;
    for (int i = 1; i < argc; i++)
        result |= print_segment(argv[i]);
    return fflush(stdout) == 0 ? result : 1;
}
