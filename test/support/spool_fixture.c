/* SPDX-License-Identifier: MIT */
#include "spool_fixture.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct spool_fixture spool_fixture;
static struct spool_fixture *const f = &spool_fixture;
static const uint8_t instance[16] = {1, 2, 3};

void spool_fixture_commit(void)
{
    uint64_t end;
    struct shmring_counts outcome;
    while (claim_take(&f->queue, &end, &outcome))
        continue;
}

static void on_written(void *user, struct batch *batch, struct spool_record *record, int err)
{
    (void)user;
    if (err) {
        f->failed_count++;
        f->err = err;
        batch_finish(batch, &(struct batch_outcome){.reason = DROP_REFUSED});
        return;
    }
    ck_assert_uint_lt(f->written_count, SPOOL_FIXTURE_EVENTS);
    f->written[f->written_count++] = record;
    batch_stay(batch)->record = record;
    batch_settle_spooled(batch);
    batch_finish(batch, &(struct batch_outcome){.exported = true});
    if (!f->keep_claims)
        spool_fixture_commit();
}

static void on_read(void *user, struct spool_record *record, struct buf *request, int err)
{
    (void)user, (void)record;
    struct buf swap = f->read;
    f->read = *request;
    *request = swap;
    f->read_error = err;
    f->read_count++;
}

static int on_claim(void *user, struct spool_record *record, const struct spool_claim *claim)
{
    (void)user, (void)record;
    f->claims_seen++;
    f->claim = *claim;
    if (!f->abandoned) {
        ck_assert_mem_eq(claim->instance, instance, sizeof(instance));
        ck_assert_uint_eq(claim->slot, 3);
        ck_assert_uint_eq(claim->end - claim->begin, 1000);
    }
    return f->claim_answer;
}

static int on_retire(void *user, uint64_t id, const struct shmring_counts *outcome)
{
    (void)user;
    if (f->retire_error)
        return f->retire_error;
    ck_assert_uint_lt(f->retired_count, SPOOL_FIXTURE_EVENTS);
    f->retired_ids[f->retired_count++] = id;
    outcome_add(&f->retired, outcome);
    return 0;
}

static void on_forget(void *user, uint64_t id)
{
    (void)user, (void)id;
    f->forgotten_count++;
}

static bool on_retired(void *user, uint64_t id)
{
    (void)user;
    for (size_t i = 0; i < f->retired_count; i++)
        if (f->retired_ids[i] == id)
            return true;
    return false;
}

static void on_committed(void *user, struct spool_record *record)
{
    (void)user;
    spool_claim_committed(record);
}

const struct spool_callbacks spool_fixture_callbacks = {on_written, on_read,   on_claim,
                                                        on_retire,  on_forget, on_retired};

void spool_fixture_init(void)
{
    *f = (struct spool_fixture){.log_fd = -1,
                                .queue = {.instance = instance, .slot = 3},
                                .options = {.max_bytes = 8 * SPOOL_FIXTURE_FILE_BYTES,
                                            .file_bytes = SPOOL_FIXTURE_FILE_BYTES,
                                            .sync = true,
                                            .create = true}};
    test_directory(f->dir, "spool");
    f->options.path = f->dir;
    ck_assert_int_eq(uv_loop_init(&f->loop), 0);
    ck_assert_int_eq(log_new(STDERR_FILENO, &f->log), 0);
    ck_assert_int_eq(batch_pool_new(&f->pool), 0);
    batch_pool_watch(f->pool, on_committed, NULL);
}

bool spool_fixture_small_disk(const char *size)
{
    char options[32];
    snprintf(f->disk, sizeof(f->disk), "%s/disk", f->dir);
    snprintf(options, sizeof(options), "size=%s", size);
    ck_assert_int_eq(mkdir(f->disk, 0700), 0);
    f->options.path = f->disk;
    return test_mounts_privately() && mount("tmpfs", f->disk, "tmpfs", 0, options) == 0;
}

void spool_fixture_open(void)
{
    f->claims_seen = 0;
    ck_assert_int_eq(spool_open(&f->loop, &f->options, &spool_fixture_callbacks, f, f->log, &f->spool), 0);
}

static void on_closed(void *user)
{
    *(bool *)user = true;
}

void spool_fixture_close(void)
{
    bool closed = false;
    spool_close(f->spool, on_closed, &closed);
    LOOP_UNTIL(&f->loop, closed);
    f->spool = NULL;
}

void spool_fixture_done(void)
{
    if (f->spool)
        spool_fixture_close();
    uv_run(&f->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    batch_pool_free(f->pool);
    buf_done(&f->read);
    log_free(f->log);
    if (f->log_fd >= 0)
        close(f->log_fd);
    if (f->disk[0])
        umount2(f->disk, MNT_DETACH);
    test_directory_remove(f->dir);
}

int spool_fixture_write(char letter, size_t bytes, uint32_t spans)
{
    struct buf request = {0};
    struct batch *batch;
    ck_assert_int_eq(buf_reserve(&request, bytes), 0);
    memset(request.data, letter, bytes);
    request.len = bytes;
    ck_assert_int_eq(batch_load(f->pool, &request, spans, &batch), 0);
    buf_done(&request);
    struct claim *claim = batch_claim(batch, &f->queue, f->position);
    ck_assert_ptr_nonnull(claim);
    f->position += 1000;
    claim->end = f->position;
    claim->spans = spans;
    if (f->abandoned)
        claim_abandon(&f->queue, &f->orphaned);
    int err = spool_write(f->spool, batch);
    if (err)
        batch_finish(batch, &(struct batch_outcome){.reason = DROP_REFUSED});
    return err;
}

static void await(const size_t *count, size_t wanted)
{
    LOOP_UNTIL_OR(&f->loop, *count >= wanted, "%zu of %zu", *count, wanted);
    ck_assert_uint_eq(*count, wanted);
}

void spool_fixture_await_written(size_t count)
{
    await(&f->written_count, count);
}

void spool_fixture_await_failed(size_t count)
{
    await(&f->failed_count, count);
}

void spool_fixture_await_idle(void)
{
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

struct spool_record *spool_fixture_take(void)
{
    struct spool_record *record = spool_take(f->spool);
    size_t before = f->read_count;
    if (!record)
        return NULL;
    ck_assert_int_eq(spool_read(f->spool, record), 0);
    await(&f->read_count, before + 1);
    return record;
}

void spool_fixture_export(char letter)
{
    struct spool_record *record = spool_fixture_take();
    ck_assert_ptr_nonnull(record);
    ck_assert_int_eq(f->read_error, 0);
    for (size_t i = 0; i < f->read.len; i++)
        ck_assert_int_eq(f->read.data[i], letter);
    spool_settle(f->spool, record, &(struct batch_outcome){.exported = true});
}

struct spool_figures spool_fixture_figures(void)
{
    struct spool_figures figures;
    spool_figures(f->spool, &figures);
    return figures;
}

/* -> how many; fd: of one of them, if it is negative before */
static size_t open_files(const char *suffix, int flags, int *fd)
{
    size_t count = 0;
    DIR *dir = opendir(f->dir);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t bytes = strlen(entry->d_name), tail = strlen(suffix);
        if (bytes < tail || strcmp(entry->d_name + bytes - tail, suffix) != 0)
            continue;
        count++;
        if (fd && *fd < 0)
            *fd = openat(dirfd(dir), entry->d_name, flags | O_CLOEXEC);
    }
    closedir(dir);
    return count;
}

size_t spool_fixture_files(const char *suffix)
{
    return open_files(suffix, 0, NULL);
}

int spool_fixture_file(const char *suffix, int flags)
{
    int fd = -1;
    open_files(suffix, flags, &fd);
    ck_assert_int_ge(fd, 0);
    return fd;
}

/* ---- the log ---- */

void spool_fixture_listen(void)
{
    log_free(f->log);
    f->log_fd = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_ge(f->log_fd, 0);
    ck_assert_int_eq(log_new(f->log_fd, &f->log), 0);
}

bool spool_fixture_logged(const char *text)
{
    char said[8192] = "";
    ck_assert_int_ge(pread(f->log_fd, said, sizeof(said) - 1, 0), 0);
    return strstr(said, text);
}
