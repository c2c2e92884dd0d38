/* SPDX-License-Identifier: MIT
 *
 * How batches wait in the exporter: their turns, the bounds, and how their owner takes them back. The batches
 * are fakes.
 */

#include "export/exporter_state.h"
#include "support/test.h"

enum { BATCHES = 8, MAX_IN_FLIGHT = 2 };

struct batch {
    struct delivery delivery;
    size_t bytes;
};

struct delivery *batch_delivery(struct batch *batch)
{
    return &batch->delivery;
}

size_t batch_bytes(const struct batch *batch)
{
    return batch->bytes;
}

static struct bench {
    uv_loop_t loop;
    struct config config;
    struct exporter exporter;
    struct batch batches[BATCHES];
} bench;

static void setup(void)
{
    bench = (struct bench){.config = {.max_in_flight = MAX_IN_FLIGHT}};
    ck_assert_int_eq(uv_loop_init(&bench.loop), 0);
    bench.exporter.loop = &bench.loop;
    bench.exporter.config = &bench.config;
    exporter_queue_init(&bench.exporter);
}

static void teardown(void)
{
    uv_loop_close(&bench.loop);
}

FIXTURE(setup, teardown);

static struct delivery *take(size_t number)
{
    exporter_queue_take(&bench.exporter, &bench.batches[number]);
    return &bench.batches[number].delivery;
}

static void wait_ms(size_t number, uint64_t ms)
{
    exporter_queue_wait(&bench.exporter, take(number), ms);
}

/* Sends the batch whose turn it is. -> its number */
static size_t send_next(void)
{
    struct delivery *next = exporter_queue_next(&bench.exporter);
    ck_assert_ptr_nonnull(next);
    exporter_queue_send(&bench.exporter, next, 0);
    return (size_t)(next->batch - bench.batches);
}

TEST(retries_and_new_batches_take_turns)
{
    static const size_t turns[] = {4, 0, 5, 1, 6, 2, 3};
    for (size_t i = 0; i < 4; i++)
        take(i);
    for (size_t i = 4; i < 7; i++)
        wait_ms(i, 0);
    for (size_t i = 0; i < COUNT(turns); i++)
        ck_assert_uint_eq(send_next(), turns[i]);
    ck_assert_ptr_null(exporter_queue_next(&bench.exporter));
}

TEST(what_is_due_first_is_sent_first_and_nothing_before_it_is_due)
{
    wait_ms(0, 60000);
    ck_assert_ptr_null(exporter_queue_next(&bench.exporter));
    wait_ms(1, 0);
    wait_ms(2, 0);
    ck_assert_uint_eq(send_next(), 1);
    ck_assert_uint_eq(send_next(), 2);
    ck_assert_ptr_null(exporter_queue_next(&bench.exporter));
}

TEST(a_connection_makes_due_what_waits_for_one)
{
    wait_ms(0, 60000);
    wait_ms(1, 60000);
    wait_ms(2, 60000);
    bench.batches[2].delivery.connection_lost = true;
    exporter_queue_connected(&bench.exporter);
    ck_assert_uint_eq(send_next(), 2);
    ck_assert_ptr_null(exporter_queue_next(&bench.exporter));
}

TEST(waiting_batches_keep_new_ones_out_only_by_their_bytes)
{
    for (size_t i = 0; i < EXPORTER_NEW_FACTOR * MAX_IN_FLIGHT; i++) {
        ck_assert(exporter_has_room(&bench.exporter));
        take(i);
    }
    ck_assert(!exporter_has_room(&bench.exporter));
    for (size_t i = 0; i < EXPORTER_NEW_FACTOR * MAX_IN_FLIGHT; i++) {
        exporter_queue_wait(&bench.exporter, &bench.batches[i].delivery, 1000);
        ck_assert(exporter_has_room(&bench.exporter));
    }
    bench.batches[6].bytes = EXPORTER_WAITING_MAX_BYTES - 5 * EXPORTER_BATCH_COST_BYTES;
    wait_ms(6, 1000);
    ck_assert(!exporter_has_room(&bench.exporter));
    ck_assert(exporter_withdraw(&bench.exporter, &bench.batches[0]));
    ck_assert(exporter_has_room(&bench.exporter));
    ck_assert_uint_eq(exporter_held(&bench.exporter), 4);
}

TEST(held_batches_are_listed_oldest_first_in_whatever_state)
{
    static const size_t order[] = {3, 1, 0, 2};
    for (size_t i = 0; i < 4; i++)
        take(order[i]);
    exporter_queue_send(&bench.exporter, &bench.batches[1].delivery, 5);
    exporter_queue_wait(&bench.exporter, &bench.batches[3].delivery, 1000);
    struct batch *batch = exporter_oldest(&bench.exporter);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_ptr_eq(batch, &bench.batches[order[i]]);
        batch = exporter_next(batch);
    }
    ck_assert_ptr_null(batch);
}

TEST(what_is_not_on_the_wire_can_be_withdrawn)
{
    take(0);
    wait_ms(1, 0);
    exporter_queue_send(&bench.exporter, take(2), 5);
    ck_assert(exporter_withdraw(&bench.exporter, &bench.batches[0]));
    ck_assert(exporter_withdraw(&bench.exporter, &bench.batches[1]));
    ck_assert(!exporter_withdraw(&bench.exporter, &bench.batches[2]));
    ck_assert_ptr_null(exporter_queue_next(&bench.exporter));
    ck_assert_ptr_eq(exporter_oldest(&bench.exporter), &bench.batches[2]);
    ck_assert_uint_eq(exporter_held(&bench.exporter), 1);
    /* A batch taken back can be submitted again. */
    take(0);
    ck_assert_uint_eq(send_next(), 0);
    ck_assert_ptr_eq(exporter_next(&bench.batches[2]), &bench.batches[0]);
}
