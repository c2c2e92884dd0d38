/* SPDX-License-Identifier: MIT
 *
 * Reading a slot: its ring is copied into the window, records are checked there, and the ledger is committed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reader.h"

struct shmring_window {
    uint8_t *memory;
    size_t capacity;
    size_t wanted; /* a record that did not fit */
    size_t bytes;  /* filled */
    size_t at;     /* parsed */
    struct shmring_reader *reader;
    uint32_t slot;
};

int shmring_window_new(size_t bytes, struct shmring_window **out)
{
    struct shmring_window *window = calloc(1, sizeof(*window));
    if (!window)
        return -ENOMEM;
    window->capacity = bytes < SHMRING_PAGE ? SHMRING_PAGE : bytes & ~(size_t)(SHMRING_ALIGN - 1);
    window->memory = malloc(window->capacity);
    if (!window->memory) {
        free(window);
        return -ENOMEM;
    }
    *out = window;
    return 0;
}

void shmring_window_free(struct shmring_window *window)
{
    if (!window)
        return;
    free(window->memory);
    free(window);
}

static int window_grow(struct shmring_window *window)
{
    uint8_t *memory = realloc(window->memory, window->wanted);
    if (!memory)
        return -ENOMEM;
    window->memory = memory;
    window->capacity = window->wanted;
    return 0;
}

static const char *end_problem(const struct shmring_reader *reader, const struct shmring_slot_status *status,
                               uint64_t end)
{
    if (end % SHMRING_ALIGN != 0)
        return "write position is not aligned";
    if (end - status->ledger.cpos > reader->header.ring_bytes)
        return "write position is more than a ring ahead";
    if (end - status->ledger.cpos < status->end - status->ledger.cpos)
        return "write position went backwards";
    return NULL;
}

/* Lengths and offset lie within the ring. */
static int copy_part(const struct shmring_reader *reader, uint32_t slot, uint64_t offset, uint8_t *to, size_t bytes)
{
    uint64_t at = slot * reader->header.ring_bytes + offset;
    if (!reader->data)
        return shmring__read_exactly(reader->fd, to, bytes, reader->header.data_offset + at);
    memcpy(to, reader->data + at, bytes);
    shmring__forget_source();
    return 0;
}

static int copy_out(struct shmring_reader *reader, uint32_t slot, uint64_t position, uint8_t *to, size_t bytes)
{
    uint64_t ring_bytes = reader->header.ring_bytes;
    uint64_t offset = position & (ring_bytes - 1);
    size_t first = bytes < ring_bytes - offset ? bytes : (size_t)(ring_bytes - offset);
    int err = copy_part(reader, slot, offset, to, first);
    if (!err)
        err = copy_part(reader, slot, 0, to + first, bytes - first);
    if (err)
        shmring_reader_quarantine(reader,
                                  err == -EBADMSG ? "file was truncated while it was read" : "file cannot be read");
    return shmring__still_there(reader);
}

int shmring_reader_look(struct shmring_reader *reader, uint32_t index)
{
    if (index >= reader->used)
        return reader->problem ? -EBADMSG : 0;
    struct shmring__slot *slot = &reader->slots[index];
    if (slot->status.health != SHMRING_SLOT_SOUND)
        return -EBADMSG;
    /* acquire: what the producer wrote before this position is there */
    uint64_t end = atomic_load_explicit(&shmring__producer(reader, index)->wpos, memory_order_acquire);
    if (shmring__still_there(reader) < 0)
        return -EBADMSG;
    const char *problem = end_problem(reader, &slot->status, end);
    if (problem)
        return shmring__quarantine_slot(slot, problem, end);
    slot->status.end = end;
    return 0;
}

void shmring_reader_prefetch(const struct shmring_reader *reader, uint32_t index, bool has_data)
{
    if (index >= reader->used)
        return;
    uint64_t ring_bytes = reader->header.ring_bytes;
    uint64_t offset = reader->slots[index].status.read & (ring_bytes - 1);
    __builtin_prefetch(&shmring__producer(reader, index)->wpos);
    if (has_data && reader->data)
        __builtin_prefetch(reader->data + index * ring_bytes + offset); /* the rest follows, once the page is found */
}

ssize_t shmring_reader_fill(struct shmring_reader *reader, uint32_t index, struct shmring_window *window)
{
    window->reader = NULL;
    if (window->wanted > window->capacity && window_grow(window) < 0)
        return -ENOMEM;
    int err = shmring_reader_look(reader, index);
    if (err || index >= reader->used)
        return err;
    const struct shmring_slot_status *status = &reader->slots[index].status;
    uint64_t unread = status->end - status->read;
    window->bytes = unread < window->capacity ? (size_t)unread : window->capacity;
    window->at = 0;
    err = copy_out(reader, index, status->read, window->memory, window->bytes);
    if (err)
        return err;
    window->reader = reader;
    window->slot = index;
    return (ssize_t)window->bytes;
}

/* A record as it should be at this place; all lengths in bytes. */
struct place {
    uint64_t position;
    uint64_t ordinal;
    uint64_t published; /* from here to the write position */
    uint64_t lap;       /* from here to the ring's end */
    uint64_t ring_bytes;
};

static const char *padding_problem(const struct shmring_record *record, const struct place *place)
{
    if (record->pos != place->position)
        return "padding is of another position";
    if ((record->length & ~SHMRING_PAD) != place->lap)
        return "padding does not end at the ring's end";
    if (place->published < place->lap + sizeof(*record))
        return "no record after padding";
    return NULL;
}

static const char *record_problem(const struct shmring_record *record, const struct place *place)
{
    if (record->pos != place->position)
        return "record is of another position";
    if (record->length < sizeof(*record) || record->length % SHMRING_ALIGN != 0 ||
        record->length > SHMRING_RECORD_MAX(place->ring_bytes))
        return "record has an impossible length";
    if (record->length > place->published || record->length > place->lap)
        return "record is longer than what was written";
    if (record->length - sizeof(*record) - record->payload_bytes >= SHMRING_ALIGN) /* or wraps */
        return "payload does not fill its record";
    if (record->ordinal != place->ordinal)
        return "record is out of order";
    return NULL;
}

static struct place place_of(const struct shmring_reader *reader, const struct shmring_slot_status *status)
{
    uint64_t ring_bytes = reader->header.ring_bytes;
    return (struct place){
        .position = status->read,
        .ordinal = status->read_records,
        .published = status->end - status->read,
        .lap = ring_bytes - (status->read & (ring_bytes - 1)),
        .ring_bytes = ring_bytes,
    };
}

static void hand_out(struct shmring_window *window, struct shmring__slot *slot, const struct shmring_record *record,
                     struct shmring_view *out)
{
    struct shmring_slot_status *status = &slot->status;
    *out = (struct shmring_view){
        .payload = window->memory + window->at + sizeof(*record),
        .payload_bytes = record->payload_bytes,
        .type = record->type,
        .flags = record->flags,
        .begin = slot->begin,
        .end = status->read + record->length,
        .ordinal = record->ordinal,
        .thread = record->thread,
    };
    window->at += record->length;
    status->read = slot->begin = out->end;
    status->read_records++;
}

/* -> false: the window ends before the padding does. */
static bool skip_padding(struct shmring_window *window, struct shmring_slot_status *status, uint64_t bytes)
{
    size_t left = window->bytes - window->at;
    status->read += bytes;
    window->at = bytes < left ? window->at + (size_t)bytes : window->bytes;
    return bytes < left;
}

int shmring_reader_next(struct shmring_window *window, struct shmring_view *out)
{
    if (!window->reader)
        return 0;
    struct shmring__slot *slot = &window->reader->slots[window->slot];
    struct shmring_slot_status *status = &slot->status;
    if (status->health != SHMRING_SLOT_SOUND)
        return -EBADMSG;

    for (;;) {
        struct shmring_record record;
        struct place place = place_of(window->reader, status);
        size_t left = window->bytes - window->at;
        if (left == 0)
            return 0;
        if (place.published < sizeof(record))
            return shmring__quarantine_slot(slot, "record is longer than what was written", place.position);
        if (left < sizeof(record)) /* capacity is over a header, so the next fill holds one */
            return 0;
        memcpy(&record, window->memory + window->at, sizeof(record));
        bool padding = record.length & SHMRING_PAD;
        const char *problem = padding ? padding_problem(&record, &place) : record_problem(&record, &place);
        if (problem)
            return shmring__quarantine_slot(slot, problem, place.position);
        if (padding) {
            if (!skip_padding(window, status, place.lap))
                return 0;
            continue;
        }
        if (record.length > left) {
            window->wanted = record.length;
            return 0;
        }
        hand_out(window, slot, &record, out);
        return 1;
    }
}

void shmring_reader_unread(struct shmring_reader *reader, uint32_t index, const struct shmring_view *view)
{
    struct shmring__slot *slot = &reader->slots[index];
    slot->status.read = slot->begin = view->begin;
    slot->status.read_records = view->ordinal;
}

int shmring_reader_skip(struct shmring_reader *reader, uint32_t index, uint64_t begin, uint64_t end, uint64_t records)
{
    int err = shmring_reader_look(reader, index);
    if (err)
        return err;
    if (index >= reader->used)
        return -EINVAL;
    struct shmring__slot *slot = &reader->slots[index];
    struct shmring_slot_status *status = &slot->status;
    if (slot->begin != begin)
        return -EAGAIN;
    if (end % SHMRING_ALIGN != 0 || end - begin > status->end - begin ||
        records > (end - begin) / sizeof(struct shmring_record))
        return -EINVAL;
    status->read = slot->begin = end;
    status->read_records += records;
    return 0;
}

/* Only this reader may write these words. Anybody else who does forges what is counted after a restart. */
static bool ledger_untouched(const struct shmring__slot *slot, struct shmring_consumer *consumer)
{
    struct shmring_ledger ledger = consumer->ledger[slot->selector];
    shmring__forget_source();
    return atomic_load_explicit(&consumer->selector, memory_order_relaxed) == slot->selector &&
           atomic_load_explicit(&consumer->cpos_pub, memory_order_relaxed) == ledger.cpos &&
           memcmp(&ledger, &slot->status.ledger, sizeof(ledger)) == 0;
}

void shmring_reader_commit(struct shmring_reader *reader, uint32_t index, const struct shmring_ledger *ledger)
{
    if (index >= reader->used)
        return;
    struct shmring__slot *slot = &reader->slots[index];
    struct shmring_slot_status *status = &slot->status;
    uint64_t committed = status->ledger.cpos;
    if (status->health != SHMRING_SLOT_SOUND || ledger->cpos % SHMRING_ALIGN != 0 ||
        ledger->cpos - committed > status->read - committed)
        return;
    struct shmring_consumer *consumer = shmring__consumer(reader, index);
    bool untouched = ledger_untouched(slot, consumer);
    status->ledger = *ledger; /* what became of the records is known, also when it cannot be written */
    if (shmring__still_there(reader) < 0)
        return;
    if (!untouched) {
        shmring__quarantine_slot(slot, "ledger was changed by another", committed);
        return;
    }
    uint32_t spare = slot->selector ^ 1;
    consumer->ledger[spare] = *ledger;
    /* release: the copy is whole before a restart would read it */
    atomic_store_explicit(&consumer->selector, spare, memory_order_release);
    /* release: never ahead of the selected copy, or a producer overwrites what a restart still has to read */
    atomic_store_explicit(&consumer->cpos_pub, ledger->cpos, memory_order_release);
    slot->selector = spare;
    shmring__still_there(reader);
}
