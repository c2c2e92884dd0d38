/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/client_fixture.h"
#include "support/test.h"

TIMEOUT(120);

FIXTURE(client_fixture_init, client_fixture_done);

static void start_with(uint64_t ring_bytes, uint32_t slots)
{
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = ring_bytes, .thread_slots = slots});
}

static void *write_spans(void *count)
{
    for (int i = 0; i < *(int *)count; i++) {
        struct aistrace_span span;
        aistrace_span_start(&span, "s", NULL);
        aistrace_span_end(&span);
    }
    return NULL;
}

TEST(a_storm_of_short_threads_reuses_slots_and_loses_nothing)
{
    enum { THREADS = 1000, AT_ONCE = 8 };
    pthread_t threads[AT_ONCE];
    struct shmring_reader *reader;
    int spans = 3;

    start_with(1 << 20, 16);
    for (int i = 0; i < THREADS; i += AT_ONCE) {
        for (int k = 0; k < AT_ONCE; k++)
            ck_assert_int_eq(pthread_create(&threads[k], NULL, write_spans, &spans), 0);
        for (int k = 0; k < AT_ONCE; k++)
            pthread_join(threads[k], NULL);
    }
    ck_assert_uint_eq(client_counted().attempted, THREADS * 3);
    ck_assert_uint_eq(client_counted().committed, THREADS * 3);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, THREADS * 3);
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
    reader = span_set_open(client.dir);
    ck_assert_uint_le(shmring_reader_slots(reader), AT_ONCE);
    shmring_reader_close(reader);
}

static pthread_barrier_t all_wrote, all_checked;

static void *write_and_wait(void *count)
{
    write_spans(count);
    pthread_barrier_wait(&all_wrote);
    pthread_barrier_wait(&all_checked);
    return NULL;
}

TEST(more_threads_than_slots_are_counted)
{
    enum { THREADS = 200, SLOTS = 128 };
    pthread_t threads[THREADS];
    struct aistrace_counters counters;
    int spans = 5;

    start_with(64 << 10, SLOTS);
    pthread_barrier_init(&all_wrote, NULL, THREADS + 1);
    pthread_barrier_init(&all_checked, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_and_wait, &spans), 0);
    pthread_barrier_wait(&all_wrote);
    counters = client_counted();
    ck_assert_uint_eq(counters.attempted, THREADS * 5);
    ck_assert_uint_eq(counters.committed, SLOTS * 5);
    ck_assert_uint_eq(counters.no_slot, (THREADS - SLOTS) * 5);
    ck_assert_int_eq(aistrace_thread_attach(), -ENFILE);
    pthread_barrier_wait(&all_checked);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(aistrace_thread_attach(), 0);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, SLOTS * 5);
}

TEST(a_thread_without_slot_finds_one_later)
{
    pthread_t holder;
    struct aistrace_counters counters;
    int one = 1, many = 3000;

    start_with(1 << 20, 1);
    pthread_barrier_init(&all_wrote, NULL, 2);
    pthread_barrier_init(&all_checked, NULL, 2);
    ck_assert_int_eq(pthread_create(&holder, NULL, write_and_wait, &one), 0);
    pthread_barrier_wait(&all_wrote);
    write_spans(&one);
    ck_assert_uint_eq(client_counted().no_slot, 1);
    pthread_barrier_wait(&all_checked);
    pthread_join(holder, NULL);
    write_spans(&many);
    counters = client_counted();
    ck_assert_uint_le(counters.no_slot, 1024);
    ck_assert_uint_eq(counters.attempted, 3002);
    ck_assert_uint_eq(counters.committed, 3002 - counters.no_slot);
}

static struct aistrace_span handed_over;

static void *begin_it(void *unused)
{
    (void)unused;
    aistrace_span_start(&handed_over, "from a thread without slot", NULL);
    aistrace_span_set_int(&handed_over, "key", 1);
    return NULL;
}

TEST(a_span_begun_without_slot_is_written_where_it_ends)
{
    pthread_t thread;

    start_with(1 << 20, 1);
    ck_assert_int_eq(aistrace_thread_attach(), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, begin_it, NULL), 0);
    pthread_join(thread, NULL);
    aistrace_span_end(&handed_over);
    ck_assert_uint_eq(client_counted().committed, 1);
    ck_assert_uint_eq(client_counted().attempted, 1);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 1);
}

static void write_in_destructor(void *count)
{
    write_spans(count);
}

static pthread_key_t late_key;

static void *leave_late(void *count)
{
    write_spans(count);
    pthread_setspecific(late_key, count);
    return NULL;
}

TEST(spans_of_a_threads_last_destructors_are_written_and_the_slot_is_free_again)
{
    pthread_t thread;
    int one = 1;

    start_with(1 << 20, 1);
    pthread_key_create(&late_key, write_in_destructor); /* runs after the library's own */
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, leave_late, &one), 0);
        pthread_join(thread, NULL);
    }
    ck_assert_uint_eq(client_counted().committed, 6);
    ck_assert_int_eq(aistrace_thread_attach(), 0);
}

TEST(current_is_each_threads_own)
{
    struct aistrace_span outer;
    pthread_t thread;

    start_with(1 << 20, 4);
    aistrace_span_start(&outer, "outer", NULL);
    aistrace_set_current(aistrace_span_context(&outer));
    ck_assert_int_eq(pthread_create(&thread, NULL, begin_it, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_mem_ne(handed_over.context.trace_id, outer.context.trace_id, 16);
    aistrace_span_end(&handed_over);
    aistrace_span_end(&outer);
}

TEST(threads_that_outlive_stop_join_the_next_start)
{
    pthread_t thread;
    int one = 1;

    start_with(1 << 20, 4);
    pthread_barrier_init(&all_wrote, NULL, 2);
    pthread_barrier_init(&all_checked, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, write_and_wait, &one), 0);
    pthread_barrier_wait(&all_wrote);
    aistrace_stop();
    start_with(1 << 20, 4);
    write_spans(&one);
    pthread_barrier_wait(&all_checked);
    pthread_join(thread, NULL); /* its slot was of the segment before: nothing to give back */
    write_spans(&one);
    ck_assert_uint_eq(client_counted().committed, 2);
    ck_assert_uint_eq(client_counted().attempted, 2);
}

/* ---- ids ---- */

TEST(ids_are_unique_over_threads_and_forks)
{
    enum { PROCESSES = 4, THREADS = 4 };
    int spans = 65536;

    /* One slot may serve all threads of a process, one after the other. */
    start_with(64 << 20, THREADS + 1);
    for (int p = 0; p < PROCESSES; p++) {
        pthread_t threads[THREADS];
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < THREADS; i++)
                pthread_create(&threads[i], NULL, write_spans, &spans);
            for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
            _exit(client_counted().committed == THREADS * 65536 ? 0 : 1);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
        span_set_drain(&client.set, client.dir);
    }
    ck_assert_uint_ge(client.set.count, 1000000);
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
    for (size_t i = 0; i < client.set.count; i++) /* as good as never, also not by 64 bits of two traces */
        memcpy(client.set.spans[i].fixed.span_id, client.set.spans[i].fixed.trace_id + 8, 8);
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
}
