/* SPDX-License-Identifier: MIT
 *
 * What a former daemon has spooled and not released, against real rings and a spool that the test plays. Includes the
 * source it tests, so that its allocations can be made to fail.
 */
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "source/restore.h"
#include "support/failing.h"
#include "support/ring_fixture.h"
#include "support/test.h"

/* The test's own. */
struct spool_record {
    int check; /* what spool_check says */
    int checked, disowned, committed;
};

static int check_record(struct spool_record *record)
{
    record->checked++;
    return record->check;
}

static void disown_record(const struct spool *spool, struct spool_record *record)
{
    ck_assert_ptr_nonnull(spool);
    ck_assert_int_eq(record->disowned++, 0);
}

static void commit_record(struct spool_record *record)
{
    ck_assert_int_eq(record->committed++, 0);
}

/* What lies behind the array of the positions does not look like zeros. */
static void *allocate(size_t bytes)
{
    enum { BEHIND = 64 };
    uint8_t *memory = malloc(bytes + BEHIND);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0, bytes);
    memset(memory + bytes, 1, BEHIND);
    return memory;
}

#undef calloc
#define calloc(count, bytes)          (fails("calloc") ? NULL : allocate((count) * (bytes)))
#define tsearch(...)                  (fails("tsearch") ? NULL : tsearch(__VA_ARGS__))
#define buf_append(...)               (fails("buf_append") ? -ENOMEM : buf_append(__VA_ARGS__))
#define batch_open(...)               (fails("batch_open") ? -ENOMEM : batch_open(__VA_ARGS__))
#define batch_claim(...)              (fails("batch_claim") ? NULL : batch_claim(__VA_ARGS__))
#define spool_check(record)           check_record(record)
#define spool_disown(spool, record)   disown_record(spool, record)
#define spool_claim_committed(record) commit_record(record)
#include "source/restore.c"
#undef calloc

enum {
    SLOTS = 3,
    RING = 4096,
    PAYLOAD = 32,
    RECORD = sizeof(struct shmring_record) + PAYLOAD, /* so long is each in the ring */
    WRITTEN = 12,                                     /* records of each slot */
    RELEASED = 4,                                     /* of them, of slot 0 */
    RECORDS_MAX = 8,                                  /* of the spool */
};
static const uint64_t first = (uint64_t)-6 * RECORD; /* the positions wrap behind the sixth record */

/* One of two segments; slot 2 is in no use. */
struct owner {
    struct shmring *ring;
    uint8_t instance[16];
    uint8_t *memory; /* all of the file */
    struct segment *segment;
};

static struct owner owners[2];
static struct ring_dir dir;
static struct totals totals;
static struct segments segments;
static struct source_env env;
static struct restore restore;
static struct spool_record records[RECORDS_MAX];
static int log_fd;

static void on_committed(void *user, struct spool_record *record)
{
    (void)user;
    commit_record(record);
}

static void make_owner(struct owner *owner)
{
    struct shmring_options options = {
        .dir = rings.dir, .trusted_uid = (uid_t)-1, .slot_count = SLOTS, .ring_bytes = RING, .first_position = first};
    ck_assert_int_eq(shmring_create(&options, &owner->ring), 0);
    const char *name = shmring_name(owner->ring);
    owner->memory = ring_fixture_map(name);
    for (uint32_t slot = 0; slot < 2; slot++) {
        struct shmring_writer *writer;
        ck_assert_int_eq(shmring_attach(owner->ring, &writer), 0);
        for (unsigned i = 0; i < WRITTEN; i++) {
            ck_assert(ring_write(writer, i, PAYLOAD));
            if (slot > 0 || i != RELEASED - 1)
                continue;
            struct shmring_reader *reader = ring_fixture_open(name);
            ck_assert_int_eq(ring_drain(reader, slot, 0), RELEASED);
            ring_release(reader, slot);
            shmring_reader_close(reader);
        }
    }
    struct shmring_reader *reader = ring_fixture_open(name);
    memcpy(owner->instance, shmring_reader_header(reader)->instance, 16);
    shmring_reader_close(reader);
}

static void set_up(void)
{
    ring_fixture_init();
    log_fd = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_eq(log_new(log_fd, &env.log), 0);
    ck_assert_int_eq(batch_pool_new(&env.pool), 0);
    batch_pool_watch(env.pool, on_committed, NULL);
    for (size_t i = 0; i < COUNT(owners); i++)
        make_owner(&owners[i]);
    dir = (struct ring_dir){.path = rings.dir, .fd = rings.dir_fd};
    segments = (struct segments){.dir = &dir, .totals = &totals};
    restore = (struct restore){.env = &env, .segments = &segments};
}

static void tear_down(void)
{
    restore_done(&restore);
    batch_pool_free(env.pool);
    for (size_t i = 0; i < COUNT(owners); i++) {
        segment_close(owners[i].segment);
        shmring_close(owners[i].ring);
    }
    log_free(env.log);
    totals_done(&totals);
    ring_fixture_done();
}

FIXTURE(set_up, tear_down);

static uint64_t position(unsigned record)
{
    return first + record * RECORD;
}

static struct spool_claim claim_of(const struct owner *owner, uint32_t slot, unsigned begin, unsigned end)
{
    struct spool_claim claim = {
        .begin = position(begin), .end = position(end), .slot = slot, .spans = (uint32_t)(end - begin)};
    memcpy(claim.instance, owner->instance, 16);
    return claim;
}

/* -> is the claim kept */
static int tell(const struct owner *owner, uint32_t slot, unsigned begin, unsigned end, struct spool_record *record)
{
    struct spool_claim claim = claim_of(owner, slot, begin, end);
    return restore_claim(&restore, record, &claim);
}

static void attach(struct owner *owner)
{
    const char *problem;

    ck_assert_int_eq(segment_open(rings.dir_fd, shmring_name(owner->ring), &owner->segment, &problem), 0);
    ck_assert_int_eq(restore_attach(&restore, owner->segment), 0);
}

static size_t skips(const struct owner *owner, uint32_t slot)
{
    size_t n = 0;
    for (const struct segment_skip *skip = owner->segment->slots[slot].skips; skip; skip = skip->next)
        n++;
    return n;
}

static bool was_logged(const char *words)
{
    char text[4096] = "";
    ck_assert_int_ge(pread(log_fd, text, sizeof(text) - 1, 0), 0);
    return strstr(text, words);
}

static struct shmring_producer *producer(const struct owner *owner, uint32_t slot)
{
    return (struct shmring_producer *)(void *)(owner->memory + shmring_producer_offset(slot));
}

/* The slot's ring cannot be read from now on. */
static void damage(const struct owner *owner, uint32_t slot)
{
    atomic_fetch_add(&producer(owner, slot)->wpos, 1);
}

/* ---- claims, as the spool is opened ---- */

TEST(claims_that_are_released_are_not_kept)
{
    ck_assert_int_eq(tell(&owners[0], 0, 0, 2, records), 0);
    ck_assert_int_eq(tell(&owners[0], 0, 2, RELEASED, records), 0);
    ck_assert_int_eq(tell(&owners[0], 0, 2, RELEASED + 1, records), 1);
    ck_assert_int_eq(tell(&owners[0], 0, RELEASED + 3, RELEASED + 5, records), 1); /* positions have wrapped */
    ck_assert_int_eq(tell(&owners[0], 1, 0, 1, records), 1);
}

TEST(claims_of_slots_that_are_not_known_are_kept)
{
    damage(&owners[0], 0);
    ck_assert_int_eq(tell(&owners[0], 0, 0, 1, records), 1);
    ck_assert_int_eq(tell(&owners[0], 2, 0, 1, records), 1); /* in no use yet: just behind those that are known */
    ck_assert_int_eq(tell(&owners[0], SLOTS, 0, 1, records), 1);
    ck_assert_int_eq(tell(&owners[0], UINT32_MAX, 0, 1, records), 1);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

TEST(claims_of_segments_that_will_not_come_are_not_kept)
{
    char name[SHMRING_NAME_BYTES];
    const struct owner stranger = {.instance = "fifteen letters"};
    ck_assert_int_eq(tell(&stranger, 0, RELEASED, WRITTEN, records), 0);

    /* finished and noted, but killed before the file was unlinked */
    shmring_instance_name(owners[0].instance, name);
    name[SHMRING_INSTANCE_HEX] = '\0';
    ck_assert_int_eq(totals_note(&totals, rings.dir_fd, name), 0);
    ck_assert_int_eq(tell(&owners[0], 0, RELEASED, WRITTEN, records), 0);

    shmring_instance_name(owners[1].instance, name);
    ck_assert_ptr_nonnull(tsearch(name, &segments.names, by_name)); /* attached already */
    ck_assert_int_eq(tell(&owners[1], 0, RELEASED, WRITTEN, records), 0);
    tdelete(name, &segments.names, by_name);
}

TEST(claims_of_a_segment_that_cannot_be_opened_yet_are_kept)
{
    atomic_store((_Atomic uint64_t *)(void *)owners[0].memory, 0); /* its magic */
    ck_assert_int_eq(tell(&owners[0], 0, 0, 1, records), 1);
}

static const char *const allocations[] = {"calloc", "tsearch", "buf_append"};

LOOP_TEST(claim_without_memory_is_an_error_and_may_be_told_again, COUNT(allocations))
{
    fail_call(allocations[_i], 0, ENOMEM);
    ck_assert_int_eq(tell(&owners[0], 1, 0, 1, records), -ENOMEM);
    ck_assert(failed());
    ck_assert_uint_eq(restore.claims.len, 0);
    ck_assert_int_eq(tell(&owners[0], 1, 0, 1, records), 1);
}

TEST(claims_count_for_nothing_when_the_spool_cannot_be_opened)
{
    ck_assert_int_eq(tell(&owners[0], 1, 0, 1, records), 1);
    restore_opened(&restore, NULL);
    ck_assert_ptr_null(restore.positions);
    attach(&owners[0]);
    ck_assert_uint_eq(skips(&owners[0], 1), 0);
    ck_assert_int_eq(records[0].committed + records[0].checked, 0);
}

/* ---- a segment is attached ---- */

/* Two claims of each segment, records 0 and 1 of the first; mixed: in turns. */
static void tell_of_both(bool mixed)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned who = mixed ? i % 2 : i / 2, which = mixed ? i / 2 : i % 2;
        ck_assert_int_eq(tell(&owners[who], 1, 3 * which, 3 * which + 2, &records[2 * who + which]), 1);
    }
    restore_opened(&restore, (struct spool *)&records);
}

LOOP_TEST(each_segment_gets_its_own_claims_in_ring_order, 2)
{
    tell_of_both(_i);
    for (size_t i = 2; i-- > 0;) {
        attach(&owners[i]);
        ck_assert_uint_eq(skips(&owners[i], 1), 2);
        ck_assert_uint_eq(skips(&owners[i], 0), 0);
        const struct segment_skip *skip = owners[i].segment->slots[1].skips;
        ck_assert_uint_eq(skip->begin, position(0));
        ck_assert_uint_eq(skip->end, position(2));
        ck_assert_uint_eq(skip->spans, 2);
        ck_assert_ptr_eq(skip->record, &records[2 * i]);
        ck_assert_ptr_eq(skip->next->record, &records[2 * i + 1]);
        ck_assert_uint_eq(restore.claims.len, i * 2 * sizeof(struct restored_claim));
    }
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(records[i].committed, 0);
}

/* Their rings cannot have what they claim: they are let go, and nothing is said about their records. */
TEST(claims_that_do_not_fit_the_segment_are_let_go)
{
    ck_assert_int_eq(tell(&owners[0], 2, 0, 1, &records[0]), 1);
    ck_assert_int_eq(tell(&owners[0], UINT32_MAX, 0, 1, &records[1]), 1);
    ck_assert_int_eq(tell(&owners[0], 1, 0, 3, &records[2]), 1);
    ck_assert_int_eq(tell(&owners[0], 1, 0, 4, &records[3]), 1);
    ck_assert_int_eq(tell(&owners[0], 0, RELEASED, WRITTEN, &records[4]), 1);
    restore_opened(&restore, (struct spool *)&records);
    for (size_t i = 0; i < RECORDS_MAX; i++)
        records[i].check = -EBADMSG;

    struct shmring_reader *reader = ring_fixture_open(shmring_name(owners[0].ring)); /* released up to 3 meanwhile */
    shmring_reader_slots(reader);
    ck_assert_int_eq(shmring_reader_skip(reader, 1, position(0), position(3), 3), 0);
    ring_release(reader, 1);
    shmring_reader_close(reader);
    damage(&owners[0], 0);
    attach(&owners[0]);

    for (uint32_t slot = 0; slot < SLOTS; slot++)
        ck_assert_uint_eq(skips(&owners[0], slot), 0);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(records[i].committed, 1);
        ck_assert_int_eq(records[i].disowned, i == 3); /* the ring still has a part of its interval */
        ck_assert_int_eq(records[i].checked, i == 3);
    }
}

TEST(attaching_without_memory_changes_nothing)
{
    const char *problem;

    tell_of_both(false);
    ck_assert_int_eq(segment_open(rings.dir_fd, shmring_name(owners[0].ring), &owners[0].segment, &problem), 0);
    fail_call("calloc", 0, ENOMEM);
    ck_assert_int_eq(restore_attach(&restore, owners[0].segment), -ENOMEM);
    ck_assert(failed());
    ck_assert_uint_eq(restore.claims.len, 4 * sizeof(struct restored_claim));
    ck_assert_uint_eq(skips(&owners[0], 1), 0);
    segment_close(owners[0].segment);
    attach(&owners[0]);
    ck_assert_uint_eq(skips(&owners[0], 1), 2);
}

LOOP_TEST(claims_of_a_segment_that_goes_are_let_go_and_those_of_others_stay, 4)
{
    struct owner *gone = &owners[_i / 2], *there = &owners[1 - _i / 2];
    tell_of_both(_i % 2);
    restore_forget_gone(&restore);
    ck_assert_uint_eq(restore.claims.len, 4 * sizeof(struct restored_claim));
    ck_assert_int_eq(unlinkat(rings.dir_fd, shmring_name(gone->ring), 0), 0);
    restore_forget_gone(&restore);
    restore_forget_gone(&restore);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(records[i].committed, i / 2 == (size_t)_i / 2);
    attach(there);
    ck_assert_uint_eq(skips(there, 1), 2);
    ck_assert_ptr_null(restore.claims.data);
}

/* ---- reading ---- */

/* One claim of slot 1, of a batch that has also dropped spans and left some out. */
static struct spool_claim told_claim(unsigned begin, unsigned end)
{
    struct spool_claim claim = claim_of(&owners[0], 1, begin, end);
    claim.spans -= 4;
    claim.sampled_out = 1;
    claim.dropped[DROP_INVALID] = 1;
    claim.dropped[DROP_REFUSED] = 0;
    claim.dropped[DROP_OVERSIZE] = 2;
    return claim;
}

static void attach_with(struct spool_claim claim)
{
    ck_assert_int_eq(restore_claim(&restore, records, &claim), 1);
    restore_opened(&restore, (struct spool *)&records);
    attach(&owners[0]);
    ck_assert_uint_eq(skips(&owners[0], 1), 1);
}

static const struct shmring_slot_status *slot_1(void)
{
    return shmring_reader_slot(owners[0].segment->reader, 1);
}

static void check_passed_over(unsigned begin, unsigned end)
{
    ck_assert_uint_eq(slot_1()->read, position(end));
    ck_assert_uint_eq(slot_1()->read_records, end);
    ck_assert_uint_eq(skips(&owners[0], 1), 0);
    ck_assert_int_eq(records[0].committed, 0);
    for (struct claim_queue *queue; (queue = batch_pool_ready(env.pool));)
        segment_release(queue);
    const struct shmring_ledger *ledger = &slot_1()->ledger;
    ck_assert_uint_eq(ledger->cpos, position(end));
    ck_assert_uint_eq(ledger->counts.spooled, end - begin - 4);
    ck_assert_uint_eq(ledger->counts.sampled_out, 1);
    ck_assert_uint_eq(ledger->counts.dropped[DROP_INVALID], 1);
    ck_assert_uint_eq(ledger->counts.dropped[DROP_REFUSED], 0);
    ck_assert_uint_eq(ledger->counts.dropped[DROP_OVERSIZE], 2);
    ck_assert_uint_eq(outcome_sum(&ledger->counts), end - begin);
    ck_assert_int_eq(records[0].committed, 1);
}

TEST(what_is_passed_over_is_released_with_all_its_counts)
{
    attach_with(told_claim(0, 8));
    ck_assert(restore_skip(&restore, owners[0].segment, 1));
    check_passed_over(0, 8);
    ck_assert(restore_skip(&restore, owners[0].segment, 1));
    ck_assert(!was_logged("spool"));
}

TEST(reading_comes_to_a_claim_before_it_is_passed_over)
{
    struct spool_claim claim = told_claim(2, 8);
    struct shmring_view view;
    attach_with(claim);
    ck_assert(restore_skip(&restore, owners[0].segment, 1));
    ck_assert_uint_eq(slot_1()->read, position(0));
    ck_assert_uint_eq(skips(&owners[0], 1), 1);
    ck_assert_int_gt(shmring_reader_fill(owners[0].segment->reader, 1, rings.window), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(shmring_reader_next(rings.window, &view), 1);
    ck_assert(restore_skip(&restore, owners[0].segment, 1));
    ck_assert_uint_eq(slot_1()->read, position(8));
    ck_assert_uint_eq(slot_1()->read_records, 8);
    ck_assert_uint_eq(skips(&owners[0], 1), 0);
}

static const char *const passing_allocations[] = {"batch_open", "batch_claim"};

LOOP_TEST(nothing_is_read_without_memory_to_pass_over, COUNT(passing_allocations))
{
    attach_with(told_claim(0, 8));
    fail_call(passing_allocations[_i], 0, ENOMEM);
    ck_assert(!restore_skip(&restore, owners[0].segment, 1));
    ck_assert(failed());
    ck_assert_uint_eq(slot_1()->read, position(0));
    ck_assert_uint_eq(slot_1()->read_records, 0);
    ck_assert_uint_eq(skips(&owners[0], 1), 1);
    ck_assert_int_eq(records[0].committed, 0);
    ck_assert(restore_skip(&restore, owners[0].segment, 1));
    check_passed_over(0, 8);
}

enum { TOO_LONG, TOO_MANY, UNALIGNED, BEHIND, CONTRADICTIONS };

LOOP_TEST(claim_that_contradicts_the_ring_is_told_and_let_go, CONTRADICTIONS)
{
    struct spool_claim claim = told_claim(0, 8);
    claim.end += _i == TOO_LONG ? RING : _i == UNALIGNED ? 8 : 0;
    claim.spans += _i == TOO_MANY ? 1000 : 0;
    attach_with(claim);
    struct shmring_view view;
    ck_assert_int_gt(shmring_reader_fill(owners[0].segment->reader, 1, rings.window), 0);
    if (_i == BEHIND) /* another claim has led reading into the middle of it */
        ck_assert_int_eq(shmring_reader_next(rings.window, &view), 1);
    uint64_t read = slot_1()->read;
    ck_assert(restore_skip(&restore, owners[0].segment, 1));
    ck_assert(was_logged("may arrive twice"));
    ck_assert_uint_eq(slot_1()->read, read);
    ck_assert_uint_eq(skips(&owners[0], 1), 0);
    ck_assert_int_eq(records[0].committed, 1);
    ck_assert_ptr_null(batch_pool_ready(env.pool));
}

TEST(claim_of_a_ring_that_becomes_unreadable_waits_for_its_quarantine)
{
    attach_with(told_claim(0, 8));
    damage(&owners[0], 1);
    ck_assert(restore_skip(&restore, owners[0].segment, 1));
    ck_assert_int_eq(slot_1()->health, SHMRING_SLOT_QUARANTINED);
    ck_assert_uint_eq(skips(&owners[0], 1), 1);
    ck_assert_int_eq(records[0].committed, 0);
    ck_assert(!was_logged("twice"));
}

LOOP_TEST(slot_that_is_lost_lets_its_claims_go_while_the_spool_is_open, 2)
{
    tell_of_both(false);
    attach(&owners[0]);
    env.phase = _i ? SOURCE_CLOSES : SOURCE_RESTS;
    restore_drop(&restore, &owners[0].segment->slots[1]);
    ck_assert_uint_eq(skips(&owners[0], 1), 0);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(records[i].committed, !_i && i < 2);
}
