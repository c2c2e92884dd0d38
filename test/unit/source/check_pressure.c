/* SPDX-License-Identifier: MIT
 *
 * At which mark of a ring which batch goes to the spool: real rings, batches whose state with the exporter the test sets, and
 * a keeper that only notes what it is asked for. Includes the source it tests.
 */
#include <string.h>

#include "batch/delivery.h"
#include "source/pressure.h"
#include "support/ring_fixture.h"
#include "support/test.h"

enum {
    SLOTS = 3,
    USED = 2, /* of them */
    RING = 4096,
    PAYLOAD = 32,
    RECORD = sizeof(struct shmring_record) + PAYLOAD, /* so long is each in the ring */
    QUARTER = RING / 4 / RECORD,                      /* so many records fill it */
    HALF = 2 * QUARTER,
    BATCHES_MAX = 8,
    IN_FLIGHT = 3,
};

static const struct batch *put[BATCHES_MAX]; /* to the spool, in this order */
static size_t put_count;
static size_t room_after; /* the exporter has room when so many are put */

static bool note_put(struct keeper *keeper, struct batch *batch)
{
    ck_assert_ptr_nonnull(keeper);
    ck_assert(!keeper->spool_refuses);
    ck_assert_uint_lt(put_count, BATCHES_MAX);
    put[put_count++] = batch;
    return true;
}

static const struct shmring_slot_status *slot_in_use(const struct shmring_reader *reader, uint32_t slot)
{
    ck_assert_uint_lt(slot, USED);
    return shmring_reader_slot(reader, slot);
}

#define keeper_put(keeper, batch)         note_put(keeper, batch)
#define exporter_has_room(exporter)       ((exporter) && put_count >= room_after)
#define shmring_reader_slot(reader, slot) slot_in_use(reader, slot)
#include "source/pressure.c"
#undef shmring_reader_slot

static struct config config = {.max_in_flight = IN_FLIGHT};
static struct stats stats;
static struct source_env env;
static struct segments segments;
static struct keeper keeper;
static struct pressure pressure;
static struct shmring *owners[2];
static struct segment *rings_of[2];
static struct shmring_writer *writers[2][USED];
static unsigned written[2][USED];

static void set_up(void)
{
    ring_fixture_init();
    env = (struct source_env){.config = &config, .stats = &stats, .exporter = (struct exporter *)&config};
    ck_assert_int_eq(batch_pool_new(&env.pool), 0);
    for (size_t i = 0; i < 2; i++) {
        struct shmring_options options = {
            .dir = rings.dir, .trusted_uid = (uid_t)-1, .slot_count = SLOTS, .ring_bytes = RING};
        ck_assert_int_eq(shmring_create(&options, &owners[i]), 0);
        for (size_t slot = 0; slot < USED; slot++)
            ck_assert_int_eq(shmring_attach(owners[i], &writers[i][slot]), 0);
        const char *problem;
        ck_assert_int_eq(segment_open(rings.dir_fd, shmring_name(owners[i]), &rings_of[i], &problem), 0);
        rings_of[i]->next = segments.first;
        segments.first = rings_of[i];
    }
    keeper = (struct keeper){.env = &env, .spool = (struct spool *)&config, .spool_refuses = true};
    pressure = (struct pressure){.env = &env, .segments = &segments, .keeper = &keeper};
    room_after = BATCHES_MAX;
}

static void tear_down(void)
{
    batch_pool_free(env.pool);
    for (size_t i = 0; i < 2; i++) {
        segment_close(rings_of[i]);
        shmring_close(owners[i]);
    }
    ring_fixture_done();
}

FIXTURE(set_up, tear_down);

static void write_records(size_t ring, uint32_t slot, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert(ring_write(writers[ring][slot], written[ring][slot]++, PAYLOAD));
    shmring_reader_slots(rings_of[ring]->reader);
}

/* Writes that many records and reads them into the batch, as the source does. */
static void fill(struct batch *batch, size_t ring, uint32_t slot, unsigned count)
{
    struct segment *segment = rings_of[ring];
    write_records(ring, slot, count);
    uint64_t begin = shmring_reader_slot(segment->reader, slot)->read;
    ck_assert_int_eq(ring_drain(segment->reader, slot, 0), count);
    struct claim *claim = batch_claim(batch, &segment->slots[slot].claims, begin);
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    claim->end = status->read;
    pressure_note(&pressure, status->read - status->ledger.cpos, RING);
}

static struct batch *open_batch(void)
{
    struct batch *batch;
    struct batch_limits limits = {.max_spans = 1000, .max_bytes = 1 << 20};
    ck_assert_int_eq(batch_open(env.pool, &limits, 0, &batch), 0);
    return batch;
}

/* A sealed batch, the youngest of the keeper's. */
static struct batch *new_batch(enum delivery_state state)
{
    struct batch *batch = open_batch();
    ck_assert_int_eq(batch_seal(batch), 0);
    batch_delivery(batch)->state = state;
    *(keeper.youngest ? &batch_stay(keeper.youngest)->younger : &keeper.oldest) = batch;
    keeper.youngest = batch;
    return batch;
}

static bool relieve(void)
{
    return pressure_relieve(&pressure, NULL, false);
}

static bool relieve_stalled(void)
{
    return pressure_relieve(&pressure, NULL, true);
}

/* ---- rings that fill ---- */

enum { NO_OUTAGE, OUTAGE, OUTAGE_OVER };

static void set_outage(int outage)
{
    stats.outage_began_ms = outage != NO_OUTAGE ? 1000 : 0;
    stats.outage_ended_ms = outage == OUTAGE_OVER ? 2000 : 0;
}

static const struct {
    enum delivery_state state;
    int outage;
    unsigned most; /* records that may be held before the batch goes to the spool */
} marks[] = {
    {DELIVERY_WAITING, NO_OUTAGE, QUARTER}, {DELIVERY_WAITING, OUTAGE, QUARTER},  {DELIVERY_QUEUED, OUTAGE, QUARTER},
    {DELIVERY_QUEUED, NO_OUTAGE, HALF},     {DELIVERY_QUEUED, OUTAGE_OVER, HALF}, {DELIVERY_ON_WIRE, OUTAGE, HALF},
};

LOOP_TEST(batch_goes_beyond_a_mark_that_depends_on_its_state, COUNT(marks))
{
    struct batch *batch = new_batch(marks[_i].state);
    set_outage(marks[_i].outage);
    fill(batch, 1, 1, marks[_i].most);
    ck_assert(!relieve());
    ck_assert_uint_eq(put_count, 0);
    ck_assert(!keeper.spool_refuses); /* it is asked again once a pass */
    fill(batch, 1, 1, 1);
    ck_assert(!relieve());
    ck_assert_uint_eq(put_count, 1);
    ck_assert_ptr_eq(put[0], batch);
}

TEST(the_oldest_batch_of_a_ring_goes_first)
{
    struct batch *batches[3];
    for (size_t i = 0; i < 3; i++) {
        batches[i] = new_batch(DELIVERY_WAITING);
        fill(batches[i], 0, 0, QUARTER);
    }
    relieve();
    ck_assert_uint_eq(put_count, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_ptr_eq(put[i], batches[i]);
}

/* Nothing is read, and so nothing is noted anew by reading. */
TEST(pressure_that_lasts_is_looked_at_again)
{
    struct batch *batch = new_batch(DELIVERY_ON_WIRE);
    fill(batch, 0, 1, QUARTER + 1);
    for (int i = 0; i < 3; i++)
        relieve();
    ck_assert_uint_eq(put_count, 0);
    batch_delivery(batch)->state = DELIVERY_WAITING;
    relieve();
    ck_assert_uint_eq(put_count, 1);
}

TEST(rings_are_not_looked_at_without_pressure)
{
    struct batch *batch = new_batch(DELIVERY_WAITING);
    fill(batch, 0, 0, QUARTER + 1);
    pressure.pressed = false;
    relieve();
    ck_assert_uint_eq(put_count, 0);
}

TEST(open_batch_and_settled_claims_stay)
{
    struct batch *settled = new_batch(DELIVERY_WAITING), *open = open_batch();
    fill(settled, 0, 0, HALF);
    fill(open, 0, 0, QUARTER);
    batch_settle_spooled(settled);
    pressure_relieve(&pressure, open, false);
    ck_assert_uint_eq(put_count, 0);
}

static void damage(size_t ring, uint32_t slot)
{
    uint8_t *memory = ring_fixture_map(shmring_name(owners[ring]));
    struct shmring_producer *producer = (void *)(memory + shmring_producer_offset(slot));
    atomic_fetch_add(&producer->wpos, 1);
}

TEST(quarantined_slot_is_left_alone)
{
    fill(new_batch(DELIVERY_WAITING), 0, 0, QUARTER + 1);
    damage(0, 0);
    ck_assert_int_eq(shmring_reader_look(rings_of[0]->reader, 0), -EBADMSG);
    relieve();
    ck_assert_uint_eq(put_count, 0);
}

/* ---- batches that are late ---- */

TEST(late_batch_goes_when_it_is_held_up)
{
    struct batch *late = new_batch(DELIVERY_WAITING), *on_wire = new_batch(DELIVERY_ON_WIRE);
    batch_stay(late)->overtaken = 2 * IN_FLIGHT;
    batch_stay(on_wire)->overtaken = 100;
    relieve();
    ck_assert_uint_eq(put_count, 0);
    batch_stay(late)->overtaken++;
    relieve();
    ck_assert_uint_eq(put_count, 1);
    ck_assert_ptr_eq(put[0], late);
}

TEST(at_rest_every_batch_goes)
{
    new_batch(DELIVERY_ON_WIRE);
    new_batch(DELIVERY_QUEUED);
    env.phase = SOURCE_DRAINS;
    relieve();
    ck_assert_uint_eq(put_count, 0);
    env.phase = SOURCE_RESTS;
    relieve();
    ck_assert_uint_eq(put_count, 2);
}

/* ---- rings that nobody reads, because the exporter is full ---- */

static const struct {
    enum delivery_state state;
    int outage;
    unsigned least; /* records in another ring from which on the batch makes room; 0: never */
} rooms[] = {
    {DELIVERY_WAITING, NO_OUTAGE, QUARTER},
    {DELIVERY_QUEUED, OUTAGE, QUARTER},
    {DELIVERY_QUEUED, NO_OUTAGE, HALF},
    {DELIVERY_ON_WIRE, OUTAGE, 0},
};

LOOP_TEST(batch_makes_room_for_another_ring_from_a_mark_on, COUNT(rooms))
{
    struct batch *batch = new_batch(rooms[_i].state);
    unsigned least = rooms[_i].least ? rooms[_i].least : HALF + QUARTER;
    set_outage(rooms[_i].outage);
    fill(batch, 0, 0, 1);
    write_records(1, 1, least - 1);
    ck_assert(relieve_stalled() == (least > QUARTER)); /* then there is a batch to ask for */
    ck_assert_uint_eq(put_count, 0);
    write_records(1, 1, 1);
    ck_assert(!relieve()); /* not stalled */
    ck_assert_uint_eq(put_count, 0);
    ck_assert(relieve_stalled());
    ck_assert_uint_eq(put_count, rooms[_i].least > 0);
}

TEST(no_more_batches_make_room_than_are_needed)
{
    struct batch *batches[3];
    for (size_t i = 0; i < 3; i++)
        batches[i] = new_batch(DELIVERY_WAITING);
    write_records(0, 1, QUARTER);
    room_after = 2;
    ck_assert(relieve_stalled());
    ck_assert_uint_eq(put_count, 2);
    ck_assert_ptr_eq(put[0], batches[0]);
    ck_assert_ptr_eq(put[1], batches[1]);
    ck_assert(!relieve_stalled()); /* there is room */
    ck_assert_uint_eq(put_count, 2);
}

TEST(the_fullest_ring_decides)
{
    new_batch(DELIVERY_QUEUED);
    write_records(0, 0, QUARTER);
    write_records(0, 1, HALF);
    write_records(1, 0, QUARTER);
    relieve_stalled();
    ck_assert_uint_eq(put_count, 1);
}

TEST(rings_that_are_read_or_unsound_want_no_room)
{
    struct batch *batch = new_batch(DELIVERY_QUEUED);
    fill(batch, 0, 0, HALF);
    write_records(1, 0, HALF);
    damage(1, 0);
    ck_assert(!relieve_stalled());
    ck_assert_uint_eq(put_count, 0);
    write_records(0, 0, 1); /* what is read and not released counts as soon as there is more */
    ck_assert(relieve_stalled());
    ck_assert_uint_eq(put_count, 1);
}

TEST(there_may_be_no_batch_to_make_room)
{
    write_records(0, 0, HALF);
    ck_assert(!relieve_stalled());
}

LOOP_TEST(nothing_goes_without_spool_or_exporter, 2)
{
    new_batch(DELIVERY_WAITING);
    write_records(0, 0, HALF);
    env.phase = SOURCE_RESTS;
    if (_i)
        keeper.spool = NULL;
    else
        env.exporter = NULL;
    ck_assert(!relieve_stalled());
    ck_assert_uint_eq(put_count, 0);
    ck_assert(keeper.spool_refuses);
}
