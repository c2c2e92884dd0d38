/* SPDX-License-Identifier: MIT
 *
 * Kill at every instruction: between two instructions of a single-stepped child the shared memory is what a SIGKILL
 * there would leave. Each test has a mutant that must be found out, or the stepping proves nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/ring_fixture.h"
#include "support/test.h"

enum { RING_BYTES = 4096, PAYLOAD_BYTES = 184, SLOTS = 2 };
static const uint64_t first_position = 16 * RING_BYTES; /* not what a page without any stores has */

TIMEOUT(120);

FIXTURE(ring_fixture_init, ring_fixture_done);

/* ---- the traced child ---- */

struct child {
    struct shmring *ring;
    struct shmring_writer *writer;
    struct shmring_writer *taken; /* NULL: none */
    struct shmring_reader *reader;
    uint64_t seed; /* of the next record = records committed */
};

struct stepped {
    uint32_t lap_rest;                    /* bytes left in the lap before the operation */
    bool full;                            /* fill the ring before it */
    bool empty;                           /* release everything before it */
    bool take;                            /* take a second slot before it, whose memory is there */
    void (*operate)(struct child *child); /* what is stepped through */
};

static void child_write(struct child *child, uint32_t payload_bytes)
{
    if (!ring_write(child->writer, child->seed++, payload_bytes))
        _exit(2);
}

static void child_read(struct child *child)
{
    struct shmring_view view;

    shmring_reader_slots(child->reader);
    while (shmring_reader_fill(child->reader, 0, rings.window) > 0)
        while (shmring_reader_next(rings.window, &view) > 0)
            ;
}

static void child_prepare(struct child *child, const struct stepped *stepped)
{
    struct shmring_options options = {.dir = rings.dir,
                                      .trusted_uid = (uid_t)-1,
                                      .slot_count = SLOTS,
                                      .ring_bytes = RING_BYTES,
                                      .first_position = first_position};

    if (shmring_create(&options, &child->ring) != 0 || shmring_attach(child->ring, &child->writer) != 0 ||
        shmring_reader_open(rings.dir_fd, shmring_name(child->ring), &child->reader) != 0)
        _exit(2);
    /* stale bytes everywhere, then small records up to the place */
    for (uint64_t at = 0, to = 2 * RING_BYTES - stepped->lap_rest; at < to;) {
        uint32_t length = to - at >= 768 ? 256 : to - at == 48 ? 48 : 32;
        child_write(child, length - (uint32_t)sizeof(struct shmring_record));
        at += length;
        child_read(child);
        if (to - at > 5 * 32)
            ring_release(child->reader, 0);
    }
    while (stepped->full && ring_write(child->writer, child->seed, 100))
        child->seed++;
    if (stepped->empty) {
        child_read(child);
        ring_release(child->reader, 0);
    }
    if (stepped->take &&
        (shmring_slot_take(child->ring, &child->taken) != 0 || shmring_slot_populate(child->ring, child->taken) != 0))
        _exit(2);
}

static pid_t start_child(const struct stepped *stepped)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    struct child child = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(77);
    child_prepare(&child, stepped);
    raise(SIGSTOP);
    stepped->operate(&child);
    raise(SIGSTOP);
    _exit(3);
}

/* -> how many stops there were; check is called at each. 0: ptrace is not allowed here. */
static unsigned step_through(const struct stepped *stepped, void (*check)(const char *name))
{
    pid_t pid = start_child(stepped);
    char name[64];
    int status;
    unsigned stops = 0;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        test_skips("killed_at_every_instruction", "ptrace");
        return 0;
    }
    ck_assert_msg(WIFSTOPPED(status), "child ended with %x", (unsigned)status);
    ring_fixture_await_segment(name);
    for (; WIFSTOPPED(status) && (stops == 0 || WSTOPSIG(status) == SIGTRAP); stops++) {
        check(name);
        ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    }
    ck_assert_msg(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "child ended with %x", (unsigned)status);
    check(name);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    unlinkat(rings.dir_fd, name, 0);
    return stops;
}

/* ---- the producer's side ---- */

static struct {
    int64_t records[2]; /* committed before and after */
    bool seen[2];
    uint64_t drops[2];
    unsigned bad;
    unsigned in_progress;
} producer;

static void note_bad(bool good)
{
    producer.bad += !good;
}

/* Like ring_drain, but damage is counted. */
static int64_t count_records(struct shmring_reader *reader)
{
    int64_t records = (int64_t)shmring_reader_slot(reader, 0)->read_records;
    struct shmring_view view;
    int more = 0;

    while (shmring_reader_fill(reader, 0, rings.window) > 0)
        while ((more = shmring_reader_next(rings.window, &view)) > 0) {
            note_bad(ring_pattern_intact(view.payload, view.payload_bytes, view.ordinal));
            records++;
        }
    note_bad(more == 0 && shmring_reader_slot(reader, 0)->health == SHMRING_SLOT_SOUND);
    return records;
}

static void check_producer(const char *name)
{
    struct shmring_reader *reader = ring_fixture_open(name);
    struct shmring_producer_status status;
    int64_t records = count_records(reader);

    shmring_reader_producer(reader, 0, &status);
    shmring_reader_close(reader);
    uint64_t drops = status.dropped[SHMRING_DROP_RING_FULL] + status.dropped[SHMRING_DROP_OVERSIZE];
    uint64_t in_progress = status.begun - (uint64_t)records - drops;
    if (!producer.seen[0])
        producer.records[0] = producer.records[1] = records, producer.drops[0] = drops, producer.seen[0] = true;
    note_bad(records == producer.records[1] || records == producer.records[1] + 1);
    note_bad(in_progress <= 1);
    producer.in_progress += in_progress == 1;
    producer.records[1] = records;
    producer.drops[1] = drops;
}

static void write_record(struct child *child)
{
    ring_write(child->writer, child->seed, PAYLOAD_BYTES);
}

static void write_empty(struct child *child)
{
    ring_write(child->writer, child->seed, 0);
}

static void write_oversize(struct child *child)
{
    ring_write(child->writer, child->seed, RING_BYTES);
}

static void begin_and_discard(struct child *child)
{
    void *payload = shmring_reserve(child->writer, PAYLOAD_BYTES, 7, 0);

    memset(payload, 'x', PAYLOAD_BYTES);
    shmring_discard(child->writer);
}

static void retire_and_take_over(struct child *child)
{
    shmring_detach(child->ring, child->writer);
    if (shmring_attach(child->ring, &child->writer) == 0)
        ring_write(child->writer, child->seed, PAYLOAD_BYTES);
}

/* Mutant: the position is published before the payload is there. */
static void publish_then_write(struct child *child)
{
    void *payload = shmring_reserve(child->writer, PAYLOAD_BYTES, 7, 0);

    shmring_commit(child->writer);
    ring_fill_pattern(payload, PAYLOAD_BYTES, child->seed);
}

static const struct {
    struct stepped stepped;
    int64_t committed;
    uint64_t dropped;
} writes[] = {
    {{.lap_rest = 1024, .operate = write_record}, 1, 0},
    {{.lap_rest = 224, .operate = write_record}, 1, 0},
    {{.lap_rest = 208, .operate = write_record}, 1, 0}, /* longest padding */
    {{.lap_rest = 112, .operate = write_record}, 1, 0},
    {{.lap_rest = 16, .operate = write_record}, 1, 0}, /* shortest padding */
    {{.lap_rest = 16, .operate = write_empty}, 1, 0},
    {{.lap_rest = 1024, .full = true, .operate = write_record}, 0, 1},
    {{.lap_rest = 1024, .operate = write_oversize}, 0, 1},
    {{.lap_rest = 1024, .operate = begin_and_discard}, 0, 0},
    {{.lap_rest = 1024, .operate = retire_and_take_over}, 1, 0},
};

LOOP_TEST(producer_killed_anywhere_leaves_whole_records_and_exact_counts, COUNT(writes))
{
    unsigned stops = step_through(&writes[_i].stepped, check_producer);

    if (stops == 0)
        return;
    ck_assert_uint_eq(producer.bad, 0);
    ck_assert_int_eq(producer.records[1] - producer.records[0], writes[_i].committed);
    ck_assert_uint_eq(producer.drops[1] - producer.drops[0], writes[_i].dropped);
    ck_assert_uint_gt(producer.in_progress, 0);
    printf("%u stops, %u within a record\n", stops, producer.in_progress);
}

TEST(publishing_before_writing_is_found_out)
{
    struct stepped mutant = {.lap_rest = 1024, .operate = publish_then_write};

    if (step_through(&mutant, check_producer) > 0)
        ck_assert_uint_gt(producer.bad, 0);
}

/* ---- a new slot, and the close ---- */

static unsigned new_slots; /* stops at which there was one */

static void check_new_slot(const char *name)
{
    struct shmring_reader *reader = ring_fixture_open(name);
    struct shmring_producer_status status;

    note_bad(count_records(reader) > 0);
    note_bad(shmring_reader_slots(reader) <= SLOTS);
    if (shmring_reader_slots(reader) == SLOTS) {
        const struct shmring_slot_status *slot = shmring_reader_slot(reader, 1);
        shmring_reader_producer(reader, 1, &status);
        note_bad(slot->health == SHMRING_SLOT_SOUND && slot->ledger.cpos == first_position && slot->read_records == 0);
        note_bad(shmring_reader_fill(reader, 1, rings.window) == 0 && status.begun == 0);
        new_slots++;
    }
    shmring_reader_close(reader);
}

static void publish_slot(struct child *child)
{
    if (shmring_slot_publish(child->ring, child->taken, 0, &child->taken) != 0)
        _exit(2);
}

/* Mutant: the count first, then what a reader of the slot wants to find. */
static void count_slot_then_publish(struct child *child)
{
    uint8_t *memory = ring_fixture_map(shmring_name(child->ring));

    atomic_store(&((struct shmring_counters *)(memory + SHMRING_COUNTERS_OFFSET))->slots_used, SLOTS);
    publish_slot(child);
}

TEST(producer_killed_while_it_adds_a_slot_leaves_none_or_a_sound_one)
{
    unsigned stops =
        step_through(&(struct stepped){.lap_rest = 1024, .take = true, .operate = publish_slot}, check_new_slot);

    if (stops == 0)
        return;
    ck_assert_uint_eq(producer.bad, 0);
    ck_assert_uint_gt(new_slots, 0);
    ck_assert_uint_lt(new_slots, stops);
    printf("%u stops, %u with the slot\n", stops, new_slots);
}

TEST(counting_a_slot_before_it_is_made_is_found_out)
{
    if (step_through(&(struct stepped){.lap_rest = 1024, .take = true, .operate = count_slot_then_publish},
                     check_new_slot) > 0)
        ck_assert_uint_gt(producer.bad, 0);
}

static struct {
    const struct shmring_header *header;    /* as the file has it */
    unsigned without, unsigned_holes, with; /* stops: no holes, holes under the old checksum, and under a new one */
} closing;

static void check_close(const char *name)
{
    struct shmring_header header;

    check_producer(name); /* whatever the checksum, it can be opened */
    if (!closing.header)
        closing.header = (const struct shmring_header *)ring_fixture_map(name);
    header = *closing.header;
    if (!(header.incompat_features & SHMRING_INCOMPAT_HOLES))
        closing.without++;
    else if (header.crc == shmring_crc32c(0, &header, offsetof(struct shmring_header, crc)))
        closing.with++;
    else
        closing.unsigned_holes++;
}

static void close_segment(struct child *child)
{
    shmring_close(child->ring);
}

static void close_within_write(struct child *child)
{
    if (!shmring_reserve(child->writer, PAYLOAD_BYTES, 7, 0))
        _exit(2);
    shmring_close(child->ring);
}

/* Mutant: pages that hold something unread go back as well. */
static void give_unread_back(struct child *child)
{
    uint8_t *memory = ring_fixture_map(shmring_name(child->ring));

    shmring_close(child->ring);
    madvise(memory + shmring_data_offset(SLOTS), RING_BYTES, MADV_REMOVE);
}

static const struct {
    struct stepped stepped;
    bool holes; /* there is something that nobody has to read */
} closes[] = {
    {{.lap_rest = 1024, .operate = close_segment}, true},
    {{.lap_rest = 1024, .empty = true, .operate = close_segment}, true},
    {{.lap_rest = 1024, .full = true, .operate = close_segment}, false},
    {{.lap_rest = 1024, .operate = close_within_write}, true},
};

LOOP_TEST(producer_killed_while_it_closes_leaves_each_record_and_count, COUNT(closes))
{
    unsigned stops = step_through(&closes[_i].stepped, check_close);

    if (stops == 0)
        return;
    ck_assert_uint_eq(producer.bad, 0);
    ck_assert_int_eq(producer.records[1], producer.records[0]);
    ck_assert_uint_eq(producer.drops[1], producer.drops[0]);
    ck_assert_uint_gt(closing.without, 0);
    ck_assert_int_eq(closing.unsigned_holes > 0, closes[_i].holes);
    ck_assert_int_eq(closing.with > 0, closes[_i].holes);
    printf("%u stops, %u with holes under the old checksum\n", stops, closing.unsigned_holes);
}

TEST(giving_unread_pages_back_is_found_out)
{
    if (step_through(&(struct stepped){.lap_rest = 1024, .operate = give_unread_back}, check_close) > 0)
        ck_assert_uint_gt(producer.bad, 0);
}

/* ---- the consumer's side ---- */

static struct {
    struct shmring_ledger before, after;
    bool started;
    unsigned bad, old_selected, new_selected, published;
} consumer;

/* Restart reads the selected copy; producers write up to cpos_pub + ring. */
static void check_consumer(const char *name)
{
    static const struct shmring_consumer *shared;
    struct shmring_ledger selected;

    if (!consumer.started) {
        shared = (const struct shmring_consumer *)(ring_fixture_map(name) + shmring_consumer_offset(0));
        consumer.before = shared->ledger[shared->selector & 1];
        consumer.after = consumer.before;
        consumer.after.cpos += 3 * 32;
        consumer.after.counts.sampled_out += 2;
        consumer.after.counts.dropped[7] += 1;
        consumer.started = true;
    }
    selected = shared->ledger[shared->selector & 1];
    bool is_old = memcmp(&selected, &consumer.before, sizeof(selected)) == 0;
    bool is_new = memcmp(&selected, &consumer.after, sizeof(selected)) == 0;
    consumer.old_selected += is_old;
    consumer.new_selected += is_new;
    consumer.published += shared->cpos_pub == consumer.after.cpos;
    consumer.bad += !is_old && !is_new;
    consumer.bad += shared->cpos_pub > selected.cpos || shared->cpos_pub < consumer.before.cpos;
}

static struct shmring_ledger next_ledger(const struct shmring_ledger *ledger)
{
    struct shmring_ledger next = *ledger;

    next.cpos += 3 * 32;
    next.counts.sampled_out += 2;
    next.counts.dropped[7] += 1;
    return next;
}

static void commit(struct child *child)
{
    struct shmring_ledger next = next_ledger(&shmring_reader_slot(child->reader, 0)->ledger);

    shmring_reader_commit(child->reader, 0, &next);
}

static struct shmring_consumer *child_consumer(struct child *child)
{
    return (struct shmring_consumer *)(ring_fixture_map(shmring_name(child->ring)) + shmring_consumer_offset(0));
}

/* Mutant: as if one word were both, producers hear of a position that is not committed. */
static void publish_before_commit(struct child *child)
{
    struct shmring_consumer *shared = child_consumer(child);
    struct shmring_ledger next = next_ledger(&shared->ledger[shared->selector]);

    atomic_store(&shared->cpos_pub, next.cpos);
    shared->ledger[shared->selector ^ 1] = next;
    atomic_store(&shared->selector, shared->selector ^ 1);
}

/* Mutant: the copy is selected before it is written. */
static void select_before_write(struct child *child)
{
    struct shmring_consumer *shared = child_consumer(child);
    uint32_t spare = shared->selector ^ 1;
    struct shmring_ledger next = next_ledger(&shared->ledger[shared->selector]);

    atomic_store(&shared->selector, spare);
    atomic_signal_fence(memory_order_seq_cst);
    shared->ledger[spare] = next;
    atomic_store(&shared->cpos_pub, next.cpos);
}

TEST(consumer_killed_anywhere_leaves_one_whole_ledger)
{
    struct stepped stepped = {.lap_rest = 1024, .operate = commit};

    if (step_through(&stepped, check_consumer) == 0)
        return;
    ck_assert_uint_eq(consumer.bad, 0);
    ck_assert_uint_gt(consumer.old_selected, 1);
    ck_assert_uint_gt(consumer.new_selected, consumer.published); /* also between the last two stores */
    ck_assert_uint_gt(consumer.published, 0);
}

static const struct stepped consumer_mutants[] = {
    {.lap_rest = 1024, .operate = publish_before_commit},
    {.lap_rest = 1024, .operate = select_before_write},
};

LOOP_TEST(committing_in_another_order_is_found_out, 2)
{
    if (step_through(&consumer_mutants[_i], check_consumer) > 0)
        ck_assert_uint_gt(consumer.bad, 0);
}
