/* SPDX-License-Identifier: MIT
 *
 * The spool on real files. Includes the source that writes, so that every write can be kept and made to fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/test.h"

enum { WRITES_MAX = 64, IMAGE_BYTES = 64 << 10 };

struct written {
    off_t offset;
    size_t bytes;
    uint8_t *data;
};
static struct written writes[WRITES_MAX];
static size_t write_count;
static bool keep_writes;
static int write_error, sync_error;
static size_t writes_until_error; /* so many still succeed */

static bool write_fails(void)
{
    return write_error && (writes_until_error == 0 || writes_until_error-- == 0);
}

static ssize_t kept_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (write_fails()) {
        errno = write_error;
        return -1;
    }
    ssize_t n = pwritev(fd, parts, count, offset);
    if (!keep_writes || n < 0)
        return n;
    ck_assert_uint_lt(write_count, WRITES_MAX);
    struct written *w = &writes[write_count++];
    *w = (struct written){offset, (size_t)n, malloc((size_t)n)};
    ck_assert_int_eq(pread(fd, w->data, (size_t)n, offset), n);
    return n;
}

static off_t unreadable_from;

static ssize_t failing_pread(int fd, void *to, size_t bytes, off_t offset)
{
    if (unreadable_from == 0 || offset < unreadable_from)
        return pread(fd, to, bytes, offset);
    errno = EIO;
    return -1;
}

static pthread_t loop_thread;
static int closed_elsewhere;

static int noted_close(int fd)
{
    closed_elsewhere += !pthread_equal(pthread_self(), loop_thread);
    return close(fd);
}

#define pwritev kept_pwritev
#define pread   failing_pread
#define close   noted_close
#include "spool/spool_io.c"
#undef pwritev
#undef pread
#undef close

int fdatasync(int fd)
{
    (void)fd;
    errno = sync_error;
    return sync_error ? -1 : 0;
}

#include "spool/spool_state.h" /* for SPOOL_GROUP_BYTES */
#include "support/spool_fixture.h"

static struct spool_fixture *const f = &spool_fixture;
static const struct batch_outcome exported = {.exported = true};

/* ---- writing and reading ---- */

FIXTURE(spool_fixture_init, spool_fixture_done);

TEST(what_is_written_comes_back_oldest_first)
{
    spool_fixture_open();
    for (char letter = 'a'; letter <= 'e'; letter++)
        ck_assert_int_eq(spool_fixture_write(letter, 1000, 5), 0);
    spool_fixture_await_written(5);
    ck_assert_uint_eq(spool_fixture_figures().spans, 25);
    ck_assert_uint_eq(spool_fixture_figures().bytes, 5000);
    for (char letter = 'a'; letter <= 'e'; letter++)
        spool_fixture_export(letter);
    ck_assert_ptr_null(spool_fixture_take());
    ck_assert_uint_eq(spool_fixture_figures().spans, 0);
    ck_assert_uint_eq(spool_fixture_figures().settled.exported, 25);
}

TEST(what_is_returned_is_the_oldest_again)
{
    spool_fixture_open();
    for (char letter = 'a'; letter <= 'c'; letter++)
        ck_assert_int_eq(spool_fixture_write(letter, 100, 1), 0);
    spool_fixture_await_written(3);
    struct spool_record *record = spool_take(f->spool);
    spool_fixture_export('b');
    spool_return(record);
    spool_fixture_export('a');
    spool_fixture_export('c');
}

TEST(a_record_that_is_held_is_not_taken)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 100, 7), 0);
    ck_assert_int_eq(spool_fixture_write('b', 100, 1), 0);
    spool_fixture_await_written(2);
    ck_assert_uint_eq(spool_record_spans(f->written[0]), 7);
    spool_hold(f->written[0]);
    spool_fixture_export('b');
    ck_assert_ptr_null(spool_take(f->spool));
    spool_return(f->written[0]);
    spool_fixture_export('a');
}

TEST(more_rejected_than_there_were_are_all)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 100, 5), 0);
    spool_fixture_await_written(1);
    spool_settle(f->spool, spool_fixture_take(), &(struct batch_outcome){.exported = true, .rejected = UINT64_MAX});
    ck_assert_uint_eq(spool_fixture_figures().settled.rejected, 5);
    ck_assert_uint_eq(spool_fixture_figures().settled.exported, 0);
}

TEST(an_end_waits_for_a_read_and_tells_nothing_of_it)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 60000, 5), 0);
    spool_fixture_await_written(1);
    struct spool_record *record = spool_take(f->spool);
    ck_assert_int_eq(spool_read(f->spool, record), 0);
    ck_assert(spool_reading(f->spool));
    spool_fixture_close();
    ck_assert_uint_eq(f->read_count, 0);
    spool_fixture_open();
    spool_fixture_export('a');
    ck_assert(!spool_reading(f->spool));
}

/* It has the lock, but not the directory's. */
TEST(a_lock_file_that_is_taken_is_another_daemon)
{
    struct spool *none;
    spool_fixture_open();
    spool_fixture_close();
    int fd = spool_fixture_file("aistraced.lock", O_RDWR);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(spool_open(&f->loop, &f->options, &spool_fixture_callbacks, f, f->log, &none), -EWOULDBLOCK);
    spool_fixture_await_idle();
    close(fd);
    spool_fixture_open();
}

TEST(what_has_not_begun_can_be_taken_back)
{
    struct buf request = {0};
    struct batch *batch;
    spool_fixture_open();
    ck_assert_int_eq(buf_append(&request, "x", 1), 0);
    ck_assert_int_eq(batch_load(f->pool, &request, 1, &batch), 0);
    buf_done(&request);
    ck_assert_int_eq(spool_write(f->spool, batch), 0);
    ck_assert_int_eq(spool_fixture_write('a', 100, 1), 0);
    ck_assert(spool_unwrite(f->spool, batch));
    ck_assert(!spool_unwrite(f->spool, batch));
    spool_fixture_await_written(1);
    spool_fixture_export('a');
    batch_finish(batch, &exported);
}

TEST(what_was_taken_back_leaves_room_in_the_queue)
{
    static const size_t bytes = 60000;
    spool_fixture_open();
    for (size_t taken = 0; taken <= SPOOL_GROUP_BYTES; taken += bytes) {
        struct buf request = {0};
        struct batch *batch;
        ck_assert_int_eq(buf_reserve(&request, bytes), 0);
        memset(request.data, 'x', bytes);
        request.len = bytes;
        ck_assert_int_eq(batch_load(f->pool, &request, 1, &batch), 0);
        buf_done(&request);
        ck_assert_int_eq(spool_write(f->spool, batch), 0);
        ck_assert(spool_unwrite(f->spool, batch)); /* it is the last of the queue */
        batch_finish(batch, &exported);
    }
    ck_assert_int_eq(spool_fixture_write('a', bytes, 1), 0);
    spool_fixture_await_written(1);
    spool_fixture_export('a');
}

TEST(what_is_settled_just_before_the_end_is_not_sent_again)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 100, 5), 0);
    ck_assert_int_eq(spool_fixture_write('b', 100, 1), 0);
    spool_fixture_await_written(2);
    spool_fixture_export('a');
    spool_fixture_close(); /* before a job could note it */
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().spans, 1);
    ck_assert_uint_eq(spool_fixture_figures().settled.exported, 5);
    spool_fixture_export('b');
    ck_assert_ptr_null(spool_fixture_take());
}

TEST(a_restart_sends_what_was_not_settled_and_counts_what_was)
{
    static const struct batch_outcome partial = {.exported = true, .rejected = 2}, refused = {.reason = DROP_REFUSED};
    spool_fixture_open();
    for (char letter = 'a'; letter <= 'd'; letter++)
        ck_assert_int_eq(spool_fixture_write(letter, 1000, 5), 0);
    spool_fixture_await_written(4);
    spool_settle(f->spool, spool_fixture_take(), &partial);
    spool_settle(f->spool, spool_fixture_take(), &refused);
    spool_fixture_await_idle();
    spool_fixture_close();
    for (int round = 0; round < 2; round++) {
        spool_fixture_open();
        struct spool_figures figures = spool_fixture_figures();
        ck_assert_uint_eq(f->claims_seen, 4);
        ck_assert_uint_eq(figures.spans, 10);
        ck_assert_uint_eq(figures.settled.exported, 3);
        ck_assert_uint_eq(figures.settled.rejected, 2);
        ck_assert_uint_eq(figures.settled.dropped[DROP_REFUSED], 5);
        if (round == 0)
            spool_fixture_close();
    }
    spool_fixture_export('c');
    spool_fixture_export('d');
}

TEST(a_file_is_retired_when_its_claims_are_committed_too)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 60000, 5), 0);
    ck_assert_int_eq(spool_fixture_write('b', 60000, 1), 0);
    spool_fixture_await_written(2);
    spool_fixture_close();
    f->claim_answer = 1;
    spool_fixture_open();
    struct spool_record *record = spool_fixture_take();
    spool_settle(f->spool, record, &exported);
    spool_fixture_await_idle();
    spool_tidy(f->spool);
    ck_assert_uint_eq(f->retired_count, 0);
    spool_claim_committed(record);
    spool_tidy(f->spool);
    ck_assert_uint_eq(f->retired.exported, 5);
}

TEST(a_file_written_by_this_daemon_waits_for_its_claims_too)
{
    f->keep_claims = true;
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 60000, 5), 0);
    ck_assert_int_eq(spool_fixture_write('b', 60000, 1), 0);
    spool_fixture_await_written(2);
    spool_fixture_export('a');
    spool_fixture_await_idle();
    spool_tidy(f->spool);
    ck_assert_uint_eq(f->retired_count, 0);
    spool_fixture_commit();
    spool_tidy(f->spool);
    ck_assert_uint_eq(f->retired_count, 1);
    ck_assert_uint_eq(f->retired.exported, 5);
}

/* Nothing of it is known but what became of its records. */
TEST(a_claim_of_a_segment_that_was_given_up_is_written)
{
    static const uint8_t none[16];
    f->abandoned = true;
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 100, 5), 0);
    spool_fixture_await_written(1);
    ck_assert_uint_eq(f->orphaned.spooled, 5);
    spool_fixture_close();
    spool_fixture_open();
    ck_assert_uint_eq(f->claims_seen, 1);
    ck_assert_mem_eq(f->claim.instance, none, sizeof(none));
    ck_assert_uint_eq(f->claim.slot, 0);
    ck_assert_uint_eq(f->claim.spans, 5);
}

TEST(a_record_waits_for_all_claims_that_were_kept)
{
    struct claim_queue second = f->queue;
    struct buf request = {0};
    struct batch *batch;
    spool_fixture_open();
    ck_assert_int_eq(buf_append(&request, "a", 1), 0);
    ck_assert_int_eq(batch_load(f->pool, &request, 1, &batch), 0);
    buf_done(&request);
    batch_claim(batch, &f->queue, 0)->end = 1000;
    batch_claim(batch, &second, 0)->end = 1000;
    ck_assert_int_eq(spool_write(f->spool, batch), 0);
    spool_fixture_await_written(1);
    ck_assert_int_eq(spool_fixture_write('b', 61000, 1), 0); /* in the next file */
    spool_fixture_await_written(2);
    spool_fixture_close();
    f->claim_answer = 1;
    spool_fixture_open();
    ck_assert_uint_eq(f->claims_seen, 3);
    struct spool_record *record = spool_fixture_take();
    spool_settle(f->spool, record, &exported);
    spool_fixture_await_idle();
    for (size_t committed = 0; committed < 2; committed++) {
        spool_tidy(f->spool);
        ck_assert_uint_eq(f->retired_count, 0);
        spool_claim_committed(record);
    }
    spool_tidy(f->spool);
    ck_assert_uint_eq(f->retired_count, 1);
}

TEST(no_memory_for_a_claim_is_no_start)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 100, 5), 0);
    spool_fixture_await_written(1);
    spool_fixture_close();
    f->claim_answer = -ENOMEM;
    ck_assert_int_eq(spool_open(&f->loop, &f->options, &spool_fixture_callbacks, f, f->log, &f->spool), -ENOMEM);
}

TEST(a_restart_writes_on_in_the_same_file)
{
    for (size_t round = 1; round <= 20; round++) {
        spool_fixture_open();
        ck_assert_int_eq(spool_fixture_write('a', 100, 1), 0);
        spool_fixture_await_written(round);
        spool_fixture_close();
    }
    ck_assert_uint_eq(spool_fixture_files(".spool"), 1);
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().spans, 20);
}

/* ---- bounds ---- */

static size_t fill(void)
{
    size_t count = 0;
    int err;
    while ((err = spool_fixture_write('x', 30000, 1)) == 0) {
        spool_fixture_await_written(f->written_count + 1);
        count++;
    }
    ck_assert_int_eq(err, -ENOSPC);
    return count;
}

TEST(the_bound_holds_and_files_are_used_again)
{
    spool_fixture_open();
    for (int round = 0; round < 3; round++) {
        size_t before = f->written_count;
        ck_assert_uint_ge(fill(), 8);
        ck_assert_uint_eq(spool_fixture_files(".spool"), 8);
        ck_assert_uint_eq(spool_fixture_figures().file_bytes, f->options.max_bytes);
        for (size_t i = before; i < f->written_count; i++)
            spool_fixture_export('x');
        spool_fixture_await_idle();
        spool_tidy(f->spool);
        spool_fixture_await_idle();
        ck_assert_uint_le(spool_fixture_files(".spool"), 2); /* the last, and one to spare */
    }
    ck_assert_uint_ge(f->retired.exported, f->written_count - 2);
    ck_assert_uint_gt(f->forgotten_count, 0);
}

TEST(a_large_spool_has_large_files_rather_than_many)
{
    f->options.max_bytes = 17ull << 30;
    f->options.file_bytes = 0;
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 100, 1), 0);
    spool_fixture_await_written(1);
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, (17ull << 30) / 256);
}

TEST(what_is_larger_than_a_file_is_refused)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('x', SPOOL_FIXTURE_FILE_BYTES, 1), -E2BIG);
}

TEST(a_retired_file_counts_once_whenever_the_daemon_dies)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 60000, 7), 0);
    ck_assert_int_eq(spool_fixture_write('b', 60000, 1), 0);
    spool_fixture_await_written(2);
    spool_fixture_export('a');
    spool_fixture_await_idle();
    f->retire_error = -ENOSPC;
    spool_tidy(f->spool);
    ck_assert_uint_eq(spool_fixture_figures().settled.exported, 7); /* not in the totals: still here */
    spool_fixture_close();
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().settled.exported, 7);
    f->retire_error = 0;
    spool_tidy(f->spool);
    ck_assert_uint_eq(f->retired.exported, 7);
    ck_assert_uint_eq(spool_fixture_figures().settled.exported, 0);
    spool_fixture_close(); /* its head still says the id that is noted */
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().settled.exported, 0);
    ck_assert_uint_eq(spool_fixture_figures().spans, 1);
}

/* ---- damage ---- */

TEST(a_damaged_request_is_told_when_it_is_read)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 1000, 5), 0);
    spool_fixture_await_written(1);
    int fd = spool_fixture_file(".spool", O_RDWR);
    ck_assert_int_eq(pwrite(fd, "z", 1, SPOOL_FIRST + 128 + 80 + 500), 1);
    close(fd);
    ck_assert_int_eq(spool_check(f->written[0]), -EBADMSG);
    ck_assert_ptr_nonnull(spool_fixture_take());
    ck_assert_int_eq(f->read_error, -EBADMSG);
}

TEST(a_disowned_record_counts_for_nothing_after_a_restart_too)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 1000, 5), 0);
    ck_assert_int_eq(spool_fixture_write('b', 1000, 6), 0);
    spool_fixture_await_written(2);
    spool_disown(f->spool, f->written[0]);
    spool_disown(f->spool, f->written[0]);
    ck_assert_int_eq(spool_check(f->written[0]), -EBADMSG);
    spool_fixture_await_idle();
    spool_fixture_close();
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().spans, 6);
    struct spool_figures figures = spool_fixture_figures();
    ck_assert_uint_eq(outcome_sum(&figures.settled), 0);
}

TEST(a_record_found_whole_answers_for_all_its_claims)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 1000, 5), 0);
    spool_fixture_await_written(1);
    ck_assert_int_eq(spool_check(f->written[0]), 0); /* a ring's interval is passed over */
    int fd = spool_fixture_file(".spool", O_RDWR);
    ck_assert_int_eq(pwrite(fd, "z", 1, SPOOL_FIRST + 128 + 80 + 500), 1);
    close(fd);
    ck_assert_int_eq(spool_check(f->written[0]), 0); /* then so are the others */
}

TEST(a_record_disowned_while_it_is_out_is_settled_once)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 1000, 5), 0);
    ck_assert_int_eq(spool_fixture_write('b', 1000, 6), 0);
    spool_fixture_await_written(2);
    struct spool_record *record = spool_fixture_take();
    spool_disown(f->spool, record);
    spool_return(record);
    spool_settle(f->spool, record, &exported);
    ck_assert_uint_eq(spool_fixture_figures().spans, 6);
    ck_assert_uint_eq(spool_fixture_figures().settled.exported, 0);
    spool_fixture_export('b');
    ck_assert_uint_eq(spool_fixture_figures().spans, 0);
}

/* The file's content, and no file. */
static void write_three_settle_one_write_two(uint8_t image[IMAGE_BYTES])
{
    char command[128];
    spool_fixture_open();
    for (char letter = 'a'; letter <= 'c'; letter++)
        ck_assert_int_eq(spool_fixture_write(letter, 150, 1), 0);
    spool_fixture_await_written(3);
    spool_fixture_export('a');
    spool_fixture_await_idle();
    for (char letter = 'd'; letter <= 'e'; letter++)
        ck_assert_int_eq(spool_fixture_write(letter, 150, 1), 0);
    spool_fixture_await_written(5);
    spool_fixture_close();
    int fd = spool_fixture_file(".spool", O_RDONLY);
    ck_assert_int_eq(pread(fd, image, IMAGE_BYTES, 0), IMAGE_BYTES);
    close(fd);
    snprintf(command, sizeof(command), "rm %s/*.spool", f->dir);
    ck_assert_int_eq(system(command), 0);
    log_configure(f->log, LOG_ERROR, LOG_TEXT);
}

static void set_image(const uint8_t *image)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/image.spool", f->dir);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(pwrite(fd, image, IMAGE_BYTES, 0), IMAGE_BYTES);
    close(fd);
}

/* Opens what is there. -> letters that can be read or are settled */
static size_t records_left(void)
{
    spool_fixture_open();
    struct spool_figures figures = spool_fixture_figures();
    size_t left = (size_t)outcome_sum(&figures.settled);
    while (spool_fixture_take())
        left += f->read_error == 0;
    spool_fixture_close();
    return left;
}

TEST(every_prefix_of_what_was_written_opens_and_has_every_whole_record)
{
    static uint8_t image[IMAGE_BYTES];
    size_t whole = 0;
    keep_writes = true;
    write_three_settle_one_write_two(image);
    keep_writes = false;
    memset(image, 0, sizeof(image));
    for (size_t i = 0; i < write_count; i++) {
        size_t step = writes[i].bytes > 1000 ? 512 : 16;
        for (size_t bytes = 0; bytes <= writes[i].bytes; bytes += step) {
            memcpy(image + writes[i].offset, writes[i].data, bytes);
            set_image(image);
            size_t left = records_left();
            ck_assert_msg(left >= whole, "write %zu, %zu bytes: %zu left of %zu", i, bytes, left, whole);
        }
        memcpy(image + writes[i].offset, writes[i].data, writes[i].bytes);
        set_image(image);
        whole = records_left();
    }
    ck_assert_uint_eq(whole, 5);
}

TEST(a_changed_byte_of_a_file_costs_at_most_the_record_hit)
{
    static uint8_t image[IMAGE_BYTES];
    write_three_settle_one_write_two(image);
    size_t used = SPOOL_FIRST + 5 * spool_record_bytes(1, 150);
    for (size_t at = 0; at < used; at++) {
        if (at == 2 * sizeof(struct spool_file_head))
            at = SPOOL_HEAD_STRIDE; /* what lies between says nothing */
        if (at == SPOOL_HEAD_STRIDE + 2 * sizeof(struct spool_file_head))
            at = SPOOL_FIRST;
        image[at] ^= 0x55;
        set_image(image);
        size_t left = records_left();
        ck_assert_msg(left >= 4, "byte %zu: %zu records left", at, left);
        image[at] ^= 0x55;
    }
}

TEST(strange_files_are_set_aside_or_left_alone)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/strange.spool", f->dir);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, path, sizeof(path)), sizeof(path));
    close(fd);
    snprintf(path, sizeof(path), "%s/link.spool", f->dir);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof(path), "%s/pipe.spool", f->dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().damaged, 3);
    ck_assert_uint_eq(spool_fixture_files("damaged"), 1);
    ck_assert_int_eq(spool_fixture_write('a', 100, 1), 0);
    spool_fixture_await_written(1);
}

TEST(a_file_of_another_user_is_not_believed)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 1000, 5), 0);
    spool_fixture_await_written(1);
    spool_fixture_close();
    int fd = spool_fixture_file(".spool", O_RDWR);
    int err = fchown(fd, 65534, (gid_t)-1);
    close(fd);
    NEEDS(err == 0, "root, to give a file away");
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().spans, 0);
    ck_assert_uint_eq(spool_fixture_figures().damaged, 1);
}

/* ---- errors ---- */

TEST(what_cannot_be_read_at_the_start_is_told)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 1000, 5), 0);
    ck_assert_int_eq(spool_fixture_write('b', 1000, 6), 0);
    spool_fixture_await_written(2);
    spool_fixture_close();
    unreadable_from = SPOOL_FIRST + (off_t)spool_record_bytes(1, 1000);
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().spans, 5);
    ck_assert_uint_eq(spool_fixture_figures().damaged, 1);
    unreadable_from = 0;
    spool_fixture_export('a');
}

TEST(the_loop_does_not_wait_for_a_file_to_go)
{
    loop_thread = pthread_self();
    spool_fixture_open();
    fill();
    for (size_t i = 0; i < f->written_count; i++)
        spool_fixture_export('x');
    spool_fixture_await_idle();
    spool_tidy(f->spool);
    spool_fixture_await_idle();
    ck_assert_uint_le(spool_fixture_files(".spool"), 2);
    ck_assert_int_ge(closed_elsewhere, 6);
}

TEST(a_disk_that_does_not_keep_up_is_given_a_bounded_queue)
{
    size_t taken = 0;
    f->options.max_bytes = SPOOL_FIXTURE_EVENTS * SPOOL_FIXTURE_FILE_BYTES;
    spool_fixture_open();
    int err;
    while (taken < SPOOL_FIXTURE_EVENTS && (err = spool_fixture_write('a', 60000, 1)) == 0)
        taken++;
    ck_assert_int_eq(err, -EAGAIN);
    ck_assert_uint_eq(taken, SPOOL_GROUP_BYTES / 60000 + 1);
    spool_fixture_await_written(taken);
    ck_assert_int_eq(spool_fixture_write('a', 60000, 1), 0);
}

LOOP_TEST(a_failed_write_is_not_found_later, 3)
{
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 1000, 1), 0);
    spool_fixture_await_written(1);
    if (_i == 0)
        sync_error = EIO;
    else
        write_error = EIO, writes_until_error = (size_t)_i - 1;
    ck_assert_int_eq(spool_fixture_write('b', 1000, 1), 0);
    spool_fixture_await_failed(1);
    ck_assert_int_eq(f->err, -EIO);
    ck_assert_int_eq(spool_fixture_write('c', 1000, 1), -EAGAIN); /* a moment's rest */
    sync_error = write_error = 0;
    spool_fixture_close();
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().spans, 1);
    spool_fixture_export('a');
    ck_assert_int_eq(spool_fixture_write('c', 1000, 1), 0);
    spool_fixture_await_written(2);
}

LOOP_TEST(a_vanished_directory_is_made_anew, 3)
{
    char command[128];
    if (_i == 0)
        f->options.file_bytes =
            8 << 10; /* the next needs a new file; else the same takes it, and nobody would find it */
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 3000, 1), 0);
    spool_fixture_await_written(1);
    snprintf(command, sizeof(command), _i < 2 ? "rm -rf %s" : "rm %s/*.spool", f->dir);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(spool_fixture_write('b', 3000, 1), 0);
    spool_fixture_await_failed(1);
    ck_assert_int_eq(f->err, -ENOENT);
    LOOP_UNTIL(&f->loop, spool_fixture_write('c', 3000, 1) == 0);
    spool_fixture_await_written(2);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 1);
    spool_fixture_export('a'); /* its file is open */
    spool_fixture_await_idle();
    spool_tidy(f->spool);
    spool_fixture_await_idle();
    if (_i > 0)
        ck_assert_uint_eq(spool_fixture_figures().file_bytes, SPOOL_FIXTURE_FILE_BYTES);
    spool_fixture_export('c');
}

TEST(a_full_disk_is_told_before_anything_is_written)
{
    NEEDS(spool_fixture_small_disk("96k"), "root, to mount");
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 60000, 1), 0);
    spool_fixture_await_written(1);
    ck_assert_int_eq(spool_fixture_write('b', 60000, 1), 0);
    ck_assert_int_eq(spool_fixture_write('c', 60000, 1), 0);
    spool_fixture_await_failed(2);
    ck_assert_int_eq(f->err, -ENOSPC);
    spool_fixture_export('a');
}

LOOP_TEST(a_spool_has_one_daemon_and_is_its_own, 4)
{
    struct spool *second;
    struct stat st;
    static const struct spool_callbacks none;
    char path[128];
    f->options.transient = _i & 1;
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 100, 1), 0);
    spool_fixture_await_written(1);
    f->options.transient = _i & 2;
    ck_assert_int_eq(spool_open(&f->loop, &f->options, &none, f, f->log, &second), -EWOULDBLOCK);
    int fd = spool_fixture_file(".spool", O_RDONLY);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(st.st_blocks * 512, SPOOL_FIXTURE_FILE_BYTES); /* all of it is allocated */
    close(fd);
    snprintf(path, sizeof(path), "%s/link", f->dir);
    ck_assert_int_eq(symlink(f->dir, path), 0);
    f->options.path = path;
    ck_assert_int_eq(spool_open(&f->loop, &f->options, &none, f, f->log, &second), -ELOOP);
}

LOOP_TEST(what_is_empty_at_the_end_leaves_no_file, 2)
{
    f->options.transient = _i;
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 100, 3), 0);
    spool_fixture_await_written(1);
    spool_fixture_close();
    ck_assert_uint_eq(spool_fixture_files(".spool"), 1);
    spool_fixture_open();
    spool_fixture_export('a');
    spool_fixture_close();
    ck_assert_uint_eq(f->retired.exported, 3);
    ck_assert_int_eq(access(f->dir, F_OK), _i ? -1 : 0);
    if (!_i)
        ck_assert_uint_eq(spool_fixture_files(".spool"), 0);
}

TEST(without_a_directory_there_is_nothing_until_the_first_write)
{
    ck_assert_int_eq(rmdir(f->dir), 0);
    f->options.create = false;
    spool_fixture_open();
    ck_assert_int_eq(access(f->dir, F_OK), -1);
    ck_assert_int_eq(spool_fixture_write('a', 100, 1), 0);
    spool_fixture_await_written(1);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 1);
}
