/* SPDX-License-Identifier: MIT
 *
 * Threads that want a slot: they give theirs back, look for one again, and are told why they have none.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support/client_fixture.h"
#include "support/coarse_clock.h"
#include "support/directory.h"
#include "support/test.h"

static void begin(void)
{
    client_fixture_init();
    unsetenv("AIS_TRACING_DEBUG");
    unsetenv("AIS_TRACING_THREAD_SLOTS");
}

FIXTURE(begin, client_fixture_done);

static void write_spans(int count)
{
    for (int i = 0; i < count; i++) {
        struct aistrace_span span;
        aistrace_span_start(&span, "span", NULL);
        aistrace_span_end(&span);
    }
}

static void start_with(uint64_t ring_bytes, uint32_t slots)
{
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = ring_bytes, .thread_slots = slots});
}

static bool mount_small(const char *options)
{
    return test_mounts_privately() && mount("tmpfs", client.dir, "tmpfs", 0, options) == 0;
}

/* ---- another thread that has a slot ---- */

struct holder {
    pthread_t thread;
    pthread_barrier_t has_slot;
    pthread_barrier_t may_go;
};

static void *hold(void *user)
{
    struct holder *holder = user;
    ck_assert_int_eq(aistrace_thread_attach(), 0);
    pthread_barrier_wait(&holder->has_slot);
    pthread_barrier_wait(&holder->may_go);
    return NULL;
}

static void holder_begin(struct holder *holder)
{
    pthread_barrier_init(&holder->has_slot, NULL, 2);
    pthread_barrier_init(&holder->may_go, NULL, 2);
    ck_assert_int_eq(pthread_create(&holder->thread, NULL, hold, holder), 0);
    pthread_barrier_wait(&holder->has_slot);
}

static void holder_end(struct holder *holder)
{
    pthread_barrier_wait(&holder->may_go);
    pthread_join(holder->thread, NULL);
}

/* ---- detach ---- */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t all_done;

/* A worker of a pool: all stay alive, a few at a time work. */
static void *work_and_detach(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&turn);
    write_spans(3);
    aistrace_thread_detach();
    pthread_mutex_unlock(&turn);
    pthread_barrier_wait(&all_done);
    return NULL;
}

TEST(a_pool_larger_than_its_slots_loses_nothing_when_its_threads_detach)
{
    enum { THREADS = 100 };
    pthread_t threads[THREADS];
    struct shmring_reader *reader;

    start_with(1 << 20, 2);
    pthread_barrier_init(&all_done, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work_and_detach, NULL), 0);
    pthread_barrier_wait(&all_done);
    ck_assert_uint_eq(client_counted().committed, THREADS * 3);
    ck_assert_uint_eq(client_counted().attempted, THREADS * 3);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    reader = span_set_open(client.dir);
    ck_assert_uint_eq(shmring_reader_slots(reader), 1);
    shmring_reader_close(reader);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, THREADS * 3);
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
}

TEST(the_next_span_after_a_detach_and_the_end_of_one_before_it_are_written)
{
    struct aistrace_span span;

    start_with(64 << 10, 1);
    aistrace_span_start(&span, "begun before", NULL);
    aistrace_thread_detach();
    aistrace_thread_detach();
    errno = 12345;
    aistrace_span_end(&span);
    aistrace_thread_detach();
    ck_assert_int_eq(errno, 12345);
    write_spans(1);
    ck_assert_uint_eq(client_counted().committed, 2);
    ck_assert_int_eq(aistrace_thread_attach(), 0);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 2);
}

TEST(a_detach_where_there_is_nothing_to_give_back_does_nothing)
{
    struct holder holder;

    aistrace_thread_detach();
    start_with(64 << 10, 1);
    aistrace_thread_detach();
    holder_begin(&holder);
    write_spans(3);
    aistrace_thread_detach(); /* of a thread without slot: that of the other is not touched */
    write_spans(3);
    ck_assert_uint_eq(client_counted().no_slot, 6);
    holder_end(&holder);
    aistrace_stop();
    aistrace_thread_detach();
    write_spans(1);
    ck_assert_uint_eq(client_counted().no_segment, 1);
}

/* ---- looking again ---- */

/* -> spans until one was written, `apart_ms` apart */
static int spans_until_written(int64_t apart_ms)
{
    uint64_t before = client_counted().committed;
    int spans = 0;
    while (client_counted().committed == before && spans < 100000) {
        coarse_clock_shift_ms += apart_ms;
        write_spans(1);
        spans++;
    }
    return spans;
}

TEST(a_slot_that_becomes_free_is_found_within_a_second_also_by_a_thread_with_few_spans)
{
    struct holder holder;

    start_with(64 << 10, 1);
    holder_begin(&holder);
    for (int i = 0; i < 600; i++) {
        coarse_clock_shift_ms += 100;
        write_spans(1);
    }
    ck_assert_uint_eq(client_counted().no_slot, 600);
    holder_end(&holder);
    ck_assert_int_le(spans_until_written(100), 10);
}

TEST(a_slot_that_becomes_free_is_found_by_a_thread_in_a_hurry_before_the_clock_goes_on)
{
    struct holder holder;

    start_with(64 << 10, 1);
    holder_begin(&holder);
    write_spans(600);
    ck_assert_uint_eq(client_counted().no_slot, 600);
    holder_end(&holder);
    ck_assert_int_le(spans_until_written(0), 1024 - 600 + 1);
}

static char filler[256];

static void fill(void)
{
    static const char block[4096];
    int fd = open(filler, O_CREAT | O_WRONLY | O_EXCL, 0600);
    ck_assert_int_ge(fd, 0);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    close(fd);
}

TEST(room_that_was_lacking_at_a_threads_first_span_is_found_within_a_second)
{
    NEEDS(mount_small("size=16m,mode=0700"), "root, to mount");
    snprintf(filler, sizeof(filler), "%s/filler", client.dir);
    start_with(256 << 10, 4);
    fill();
    for (int i = 0; i < 600; i++) {
        coarse_clock_shift_ms += 100;
        write_spans(1);
    }
    ck_assert_uint_eq(client_counted().no_memory, 600);
    ck_assert_int_eq(unlink(filler), 0);
    ck_assert_int_le(spans_until_written(100), 10);
    ck_assert_uint_eq(client_counted().attempted, client_counted().committed + client_counted().no_memory);
    aistrace_stop();
    umount2(client.dir, MNT_DETACH);
}

/* ---- how many ---- */

static const struct {
    uint32_t option;
    const char *environment;
    int result;
    uint32_t slots;
} numbers[] = {
    {0, "", 0, 128},
    {0, "3", 0, 3},
    {2, "3", 0, 2},
    {1024, "3", 0, 1024},
    {0, "1024", 0, 1024},
    {0, "1025", 0, 128},
    {0, "0", 0, 128},
    {0, "-1", 0, 128},
    {0, "4x", 0, 128},
    {0, "many", 0, 128},
    {0, "99999999999999999999", 0, 128},
    {1025, "3", -EINVAL, 0},
    {UINT32_MAX, "", -EINVAL, 0},
};

LOOP_TEST(the_number_of_slots_is_the_options_or_the_environments, COUNT(numbers))
{
    struct aistrace_options options = {.role = "proxy", .ring_bytes = 4096, .thread_slots = numbers[_i].option};
    struct shmring_reader *reader;

    options.ring_dir = client.dir;
    setenv("AIS_TRACING_THREAD_SLOTS", numbers[_i].environment, 1);
    ck_assert_int_eq(aistrace_start(&options), numbers[_i].result);
    if (numbers[_i].result)
        return;
    reader = span_set_open(client.dir);
    ck_assert_uint_eq(shmring_reader_header(reader)->slot_count, numbers[_i].slots);
    shmring_reader_close(reader);
}

/* ---- why there is none, in words ---- */

static int saved_stderr, printed_end;

static void catch_stderr(void)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    printed_end = ends[0];
    setenv("AIS_TRACING_DEBUG", "1", 1);
}

static const char *caught(void)
{
    static char printed[4096];
    ssize_t bytes = read(printed_end, printed, sizeof(printed) - 1);
    printed[bytes > 0 ? bytes : 0] = '\0';
    return printed;
}

static void put_stderr_back(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(printed_end);
}

TEST(each_reason_for_having_no_ring_is_told_once_in_its_own_words)
{
    struct holder holder;

    NEEDS(mount_small("size=16m,mode=0700"), "root, to mount");
    snprintf(filler, sizeof(filler), "%s/filler", client.dir);
    catch_stderr();
    setenv("AIS_TRACING_THREAD_SLOTS", "lots", 1);
    start_with(64 << 10, 0);
    ck_assert_str_eq(caught(), "aistrace: AIS_TRACING_THREAD_SLOTS ignored: not a number from 1 to 1024\n");
    aistrace_stop();
    start_with(256 << 10, 1);
    holder_begin(&holder);
    write_spans(100);
    ck_assert_str_eq(caught(), "aistrace: a thread has no ring, its spans are dropped: other threads have all slots; "
                               "AIS_TRACING_THREAD_SLOTS allows more\n");
    holder_end(&holder);
    aistrace_stop();
    start_with(256 << 10, 1);
    fill();
    write_spans(100);
    ck_assert_str_eq(caught(), "aistrace: a thread has no ring, its spans are dropped: the ring directory's file "
                               "system has no room: a sixteenth of it stays free\n");
    put_stderr_back();
    aistrace_stop();
    umount2(client.dir, MNT_DETACH);
}

/* An overlay, such as a container's root, stands for a disk. */
static bool mount_overlay(void)
{
    char options[512], path[256];

    if (!mount_small("size=16m,mode=0700"))
        return false;
    for (const char *const *name = (const char *const[]){"lower", "upper", "work", NULL}; *name; name++) {
        snprintf(path, sizeof(path), "%s/%s", client.dir, *name);
        ck_assert_int_eq(mkdir(path, 0700), 0);
    }
    snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", client.dir, client.dir,
             client.dir);
    return mount("overlay", client.dir, "overlay", 0, options) == 0;
}

TEST(a_ring_directory_that_is_not_in_memory_is_told)
{
    NEEDS(mount_overlay(), "root, to mount an overlay");
    catch_stderr();
    start_with(64 << 10, 1);
    ck_assert_str_eq(caught(), "aistrace: the ring directory is not in memory: spans may wait for its disk\n");
    write_spans(10);
    ck_assert_uint_eq(client_counted().committed, 10);
    put_stderr_back();
    aistrace_stop();
    umount2(client.dir, MNT_DETACH);
    umount2(client.dir, MNT_DETACH);
}

/* A server that closes the descriptors it does not know, and opens a file of its own. */
TEST(nothing_is_printed_into_what_descriptor_2_has_become)
{
    char path[256];
    struct holder holder;
    struct stat status;

    catch_stderr();
    start_with(64 << 10, 1);
    snprintf(path, sizeof(path), "%s/the-programs-own", client.dir);
    close(STDERR_FILENO);
    ck_assert_int_eq(open(path, O_CREAT | O_WRONLY, 0600), STDERR_FILENO);
    holder_begin(&holder);
    write_spans(10);
    holder_end(&holder);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq((int)status.st_size, 0);
    put_stderr_back();
}
