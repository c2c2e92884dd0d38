/* SPDX-License-Identifier: MIT
 *
 * Includes the sources it tests, so that their allocations and system calls can be made to fail: each failure is
 * reported, leaves no memory, descriptor, mapping or file, and the next attempt succeeds. A process that is killed at one of
 * them leaves what shmring/FORMAT.md says.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/failing.h"

static uid_t someone_else; /* 0: the caller is who it is */
#define geteuid() (someone_else ? someone_else : geteuid())

static const void *same_random; /* what the kernel gave before; NULL: it gives anew */

static ssize_t random_of_kernel(void *out, size_t bytes)
{
    if (!same_random)
        return getrandom(out, bytes, 0);
    memcpy(out, same_random, bytes);
    return (ssize_t)bytes;
}
#undef getrandom
#define getrandom(out, bytes, flags) random_of_kernel(out, bytes)

#include "close.c"
#include "dir.c"
#include "dir_lock.c"
#include "drain.c"
#include "guard.c"
#include "mapping.c"
#include "open.c"
#include "reader.c"
#include "release.c"
#include "room.c"
#include "segment.c"
#include "slots.c"

#include "support/advice.h"
#include "support/ring_fixture.h"
#include "support/test.h"

enum { RING_BYTES = 8192, SLOTS = 10 };

FIXTURE(ring_fixture_init, ring_fixture_done);

/* ---- what is held ---- */

struct holdings {
    long memory;
    int descriptors, files, mappings;
};

static int entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Of files in the directory, and of those that had a name there. */
static int mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    int count = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps))
        count += strstr(line, rings.dir) != NULL;
    fclose(maps);
    return count;
}

static struct holdings holdings(void)
{
    return (struct holdings){failing.held, entries("/proc/self/fd"), entries(rings.dir), mappings()};
}

static void expect_nothing_more(struct holdings before)
{
    struct holdings now = holdings();

    ck_assert_int_eq(now.memory, before.memory);
    ck_assert_int_eq(now.descriptors, before.descriptors);
    ck_assert_int_eq(now.files, before.files);
    ck_assert_int_eq(now.mappings, before.mappings);
}

/* What a closed ring keeps for threads that may still hold it. */
static void close_and_forget(struct shmring *ring)
{
    shmring_close(ring);
    ck_assert_ptr_eq(closed, ring);
    closed = ring->closed_before;
    shmring_abandon(ring);
}

static void expect_killed(pid_t child)
{
    int status;

    ck_assert_int_ge(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---- creation ---- */

static int create(uint64_t ring_bytes, struct shmring **out)
{
    struct shmring_options options = {.dir = rings.dir,
                                      .trusted_uid = (uid_t)-1,
                                      .slot_count = SLOTS,
                                      .ring_bytes = ring_bytes,
                                      .resource = "resource",
                                      .resource_bytes = 8};
    return shmring_create(&options, out);
}

struct failure {
    const char *call;
    unsigned after;
    int err;    /* of the call; 0: it does only a part of its work */
    int result; /* of ours */
};

static const struct failure creations[] = {
    {"malloc", 0, ENOMEM, -ENOMEM},
    {"open", 0, EMFILE, -EMFILE},
    {"open", 0, ENFILE, -EMFILE}, /* -ENFILE is for slots */
    {"fstat", 0, EIO, -EIO},
    {"calloc", 0, ENOMEM, -ENOMEM},
    {"statvfs", 0, EIO, -EIO},
    {"getrandom", 0, ENOSYS, -ENOSYS},
    {"getrandom", 0, EINTR, 0},
    {"getrandom", 0, 0, -EIO},
    {"fstat", 1, EIO, -EIO},
    {"access", 0, ENOENT, 0},     /* no /proc: a file with a temporary name */
    {"openat", 0, EOPNOTSUPP, 0}, /* no O_TMPFILE: the same */
    {"ftruncate", 0, ENOSPC, -ENOSPC},
    {"flock", 0, ENOLCK, -ENOLCK},
    {"mmap", 0, ENOMEM, 0},          /* the whole file; its begin is mapped then */
    {"madvise", 0, EINVAL, -EINVAL}, /* MADV_DONTFORK */
    {"mprotect", 0, ENOMEM, -ENOMEM},
    {"madvise", 1, ENOMEM, -ENOMEM}, /* MADV_POPULATE_WRITE */
    {"madvise", 1, EFAULT, -ENOSPC}, /* a store would be SIGBUS */
    {"madvise", 1, EINTR, 0},
    {"madvise", 1, EAGAIN, 0},
    {"madvise", 1, EINVAL, 0}, /* not known before Linux 5.14 */
    {"fstat", 2, EIO, -EIO},
    {"fstat", 3, EIO, -EIO},
    {"realpath", 0, EACCES, -EACCES},
    {"malloc", 1, ENOMEM, -ENOMEM},
    {"open", 1, ENOENT, 0}, /* the boot id */
    {"read", 0, EIO, 0},
    {"linkat", 0, ENOENT, -ENOENT},
};

/* Where the kernel cannot populate. */
static const struct failure creations_by_name[] = {
    {"posix_fallocate", 0, ENOSPC, -ENOSPC},
    {"posix_fallocate", 0, EINTR, 0},
};

static const struct failure *creation(int number)
{
    if (number < (int)COUNT(creations))
        return &creations[number];
    fail_call("madvise", 1, EINVAL);
    return &creations_by_name[number - (int)COUNT(creations)];
}

LOOP_TEST(a_creation_that_fails_leaves_nothing, COUNT(creations) + COUNT(creations_by_name))
{
    const struct failure *failure = creation(_i);
    struct holdings before = holdings();
    struct shmring *ring = NULL;

    fail_call(failure->call, failure->after, failure->err);
    ck_assert_int_eq(create(0, &ring), failure->result);
    ck_assert(failed());
    if (failure->result == 0) {
        shmring_reader_close(ring_fixture_open(shmring_name(ring)));
        close_and_forget(ring);
    }
    expect_nothing_more(before);
    ck_assert_int_eq(create(0, &ring), 0);
    shmring_close(ring);
}

LOOP_TEST(a_producer_killed_before_its_file_is_linked_leaves_nothing, COUNT(creations) + COUNT(creations_by_name))
{
    struct holdings before = holdings();
    struct shmring *ring;
    pid_t child = fork();

    if (child == 0) {
        const struct failure *failure = creation(_i);
        fail_call(failure->call, failure->after, DIES);
        create(0, &ring);
        _exit(1);
    }
    expect_killed(child);
    expect_nothing_more(before);
}

static const struct failure drafts[] = {
    {"openat", 0, EROFS, -EROFS},
    {"ftruncate", 0, ENOSPC, -ENOSPC},
    {"madvise", 0, ENOMEM, -ENOMEM},
    {"renameat", 0, EIO, -EIO},
};

/* Without /proc the draft has a name of its own, which goes too. */
LOOP_TEST(a_named_draft_that_fails_leaves_no_file, COUNT(drafts))
{
    const struct failure *failure = &drafts[_i];
    struct holdings before = holdings();
    struct shmring *ring = NULL;

    fail_call("access", 0, ENOENT);
    fail_call(failure->call, failure->after, failure->err);
    ck_assert_int_eq(create(RING_BYTES, &ring), failure->result);
    ck_assert(failed());
    ck_assert_ptr_null(ring);
    expect_nothing_more(before);
}

/* -> how many files with a leading dot there are; none of them is locked. */
static int unlocked_drafts(void)
{
    DIR *dir = opendir(rings.dir);
    const struct dirent *entry;
    int count = 0;

    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.' || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int fd = openat(rings.dir_fd, entry->d_name, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
        close(fd);
        count++;
    }
    closedir(dir);
    return count;
}

LOOP_TEST(a_producer_killed_before_its_named_draft_is_renamed_leaves_that, COUNT(drafts))
{
    struct holdings before = holdings();
    struct shmring *ring;
    pid_t child = fork();
    int left = strcmp(drafts[_i].call, "openat") != 0; /* else not even made */

    if (child == 0) {
        fail_call("access", 0, ENOENT);
        fail_call(drafts[_i].call, drafts[_i].after, DIES);
        create(RING_BYTES, &ring);
        _exit(1);
    }
    expect_killed(child);
    ck_assert_int_eq(entries(rings.dir), before.files + left);
    ck_assert_int_eq(unlocked_drafts(), left);
}

/* Whoever may write into the directory may have put something at the name that the draft will have. */
LOOP_TEST(a_named_draft_takes_no_file_that_is_there, 2)
{
    struct draft draft = {.dir_fd = rings.dir_fd, .fd = -1};
    uint8_t instance[SHMRING_INSTANCE_BYTES];
    char target[128];
    struct stat st;

    fail_call("access", 0, ENOENT);
    ck_assert_int_eq(draft_open(&draft), 0);
    ck_assert(draft.named);
    ck_assert_int_eq(fstat(draft.fd, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
    ck_assert_int_eq(fcntl(draft.fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(draft.fd, F_GETFL) & O_ACCMODE, O_RDWR);
    close(draft.fd);
    if (_i == 1) {
        snprintf(target, sizeof(target), "%s/target", rings.dir);
        ck_assert_int_eq(unlinkat(rings.dir_fd, draft.temporary, 0), 0);
        ck_assert_int_eq(symlinkat(target, rings.dir_fd, draft.temporary), 0);
    }
    memcpy(instance, draft.instance, sizeof(instance));
    same_random = instance;
    fail_call("access", 0, ENOENT);
    draft.named = false;
    ck_assert_int_eq(draft_open(&draft), -EEXIST);
    ck_assert(!draft.named);
}

/* ---- slots ---- */

static const struct slot_failure {
    struct failure failure;
    enum { POPULATED, BY_NAME, ALONE } way; /* ALONE: by name, and no room for the whole file */
} slots[] = {
    {{"aligned_alloc", 0, ENOMEM, -ENOMEM}, POPULATED},
    {{"mprotect", 0, ENOMEM, -ENOMEM}, POPULATED},
    {{"madvise", 0, EFAULT, -ENOSPC}, POPULATED}, /* the group */
    {{"madvise", 0, EINTR, 0}, POPULATED},
    {{"madvise", 1, EFAULT, -ENOSPC}, POPULATED}, /* the ring */
    {{"madvise", 1, ENOMEM, -ENOMEM}, POPULATED},
    {{"madvise", 1, EAGAIN, 0}, POPULATED},
    {{"open", 0, EMFILE, -EMFILE}, BY_NAME},
    {{"open", 0, ENFILE, -EMFILE}, BY_NAME},
    {{"open", 0, EACCES, -EACCES}, BY_NAME},
    {{"fstat", 0, EIO, -ESTALE}, BY_NAME},
    {{"posix_fallocate", 0, ENOSPC, -ENOSPC}, BY_NAME}, /* the group */
    {{"posix_fallocate", 1, ENOSPC, -ENOSPC}, BY_NAME}, /* the ring */
    {{"posix_fallocate", 1, EINTR, 0}, BY_NAME},
    {{"open", 0, EMFILE, -EMFILE}, ALONE},
    {{"mmap", 0, ENOMEM, -ENOMEM}, ALONE},
    {{"madvise", 0, EINVAL, -EINVAL}, ALONE}, /* MADV_DONTFORK */
};

static struct shmring *create_for(const struct slot_failure *slot)
{
    struct shmring *ring;

    if (slot->way == BY_NAME)
        fail_call("madvise", 1, EINVAL);
    if (slot->way == ALONE)
        fail_call("mmap", 0, ENOMEM);
    ck_assert_int_eq(create(RING_BYTES, &ring), 0);
    ck_assert(failed());
    return ring;
}

LOOP_TEST(a_slot_is_never_left_half_made, COUNT(slots))
{
    const struct failure *failure = &slots[_i].failure;
    struct shmring_writer *writer = NULL;

    NEEDS(slots[_i].way != POPULATED || advice_populates(), "MADV_POPULATE_WRITE");
    struct shmring *ring = create_for(&slots[_i]);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    struct holdings before = holdings();
    fail_call(failure->call, failure->after, failure->err);
    ck_assert_int_eq(shmring_attach(ring, &writer), failure->result);
    ck_assert(failed());
    if (failure->result < 0) {
        ck_assert_ptr_null(writer);
        before.memory += ring->slots; /* a writer stays for the next attempt */
        expect_nothing_more(before);
        ck_assert_uint_eq(shmring_reader_slots(reader), 0);
        ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    }
    ck_assert_uint_eq(shmring_reader_slots(reader), 1);
    for (uint64_t seed = 0; seed < 200; seed++) {
        ck_assert(ring_write(writer, seed, (uint32_t)(seed * 7 % 1000)));
        ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
        ring_release(reader, 0);
    }
    shmring_reader_close(reader);
    shmring_close(ring);
}

/* Its first slot, or one after a slot that is in use. */
LOOP_TEST(a_producer_killed_while_it_adds_a_slot_leaves_those_before, 2 * COUNT(slots))
{
    const struct slot_failure *slot = &slots[_i / 2];
    uint32_t before = (uint32_t)_i % 2;
    char name[64];

    NEEDS(slot->way != POPULATED || advice_populates(), "MADV_POPULATE_WRITE");
    pid_t child = fork();
    if (child == 0) {
        struct shmring *ring = create_for(slot);
        struct shmring_writer *writer;
        for (uint32_t i = 0; i < before; i++)
            if (shmring_attach(ring, &writer) != 0 || !ring_write(writer, 0, 100))
                _exit(1);
        fail_call(slot->failure.call, slot->failure.after, DIES);
        shmring_attach(ring, &writer);
        _exit(1);
    }
    expect_killed(child);
    ring_fixture_await_segment(name);
    struct shmring_reader *reader = ring_fixture_open(name);
    ck_assert(!shmring_reader_owner_alive(reader));
    ck_assert_uint_eq(shmring_reader_slots(reader), before);
    for (uint32_t i = 0; i < before; i++)
        ck_assert_int_eq(ring_drain(reader, i, 0), 1);
    shmring_reader_close(reader);
}

/* Second: where the whole file cannot be mapped. */
LOOP_TEST(a_slot_holds_no_descriptor_and_a_closed_ring_nothing, 2)
{
    struct holdings before = holdings();
    struct shmring_writer *writer;
    struct shmring *ring;

    if (_i == 1)
        fail_call("mmap", 0, ENOMEM);
    ck_assert_int_eq(create(RING_BYTES, &ring), 0);
    for (int i = 0; i < SLOTS; i++)
        ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    ck_assert_int_eq(entries("/proc/self/fd"), before.descriptors + 1);
    ck_assert_int_gt(mappings(), before.mappings + (_i == 1 ? SLOTS : 0));
    shmring_reader_close(reader);
    close_and_forget(ring);
    expect_nothing_more(before);
}

/* ---- the reader ---- */

static const struct failure readers[] = {
    {"fstat", 0, EIO, -EIO},
    {"fstat", 1, EIO, -EIO},
    {"pread", 0, EIO, -EIO},
    {"pread", 0, EINTR, 0},
    {"pread", 0, 0, 0}, /* half of it */
    {"malloc", 0, ENOMEM, -ENOMEM},
    {"pread", 1, EIO, -EIO},
    {"pread", 1, EINTR, 0},
    {"pread", 1, 0, 0},
    {"calloc", 0, ENOMEM, -ENOMEM},
    {"mmap", 0, ENOMEM, -ENOMEM},
    {"mprotect", 0, EACCES, -EACCES},
};

LOOP_TEST(a_segment_that_cannot_be_opened_leaves_nothing, COUNT(readers))
{
    const struct failure *failure = &readers[_i];
    struct shmring_reader *reader = NULL;
    struct shmring_writer *writer;
    struct shmring *ring;
    uint32_t bytes;

    ck_assert_int_eq(create(RING_BYTES, &ring), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert(ring_write(writer, 0, 100));
    struct holdings before = holdings();
    fail_call(failure->call, failure->after, failure->err);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, shmring_name(ring), &reader), failure->result);
    ck_assert(failed());
    if (failure->result < 0) {
        ck_assert_ptr_null(reader);
        expect_nothing_more(before);
        reader = ring_fixture_open(shmring_name(ring));
    }
    ck_assert_mem_eq(shmring_reader_resource(reader, &bytes), "resource", 8);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
    shmring_reader_close(reader);
    expect_nothing_more(before);
    shmring_close(ring);
}

TEST(a_segment_whose_holes_cannot_be_asked_for_is_not_read)
{
    struct shmring_writer *writer;
    struct shmring *ring;

    ck_assert_int_eq(create(RING_BYTES, &ring), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert(ring_write(writer, 0, 100));
    for (unsigned after = 0; after < 4; after++) {
        fail_call("lseek", after, ENXIO);
        struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
        ck_assert(failed());
        ck_assert_str_eq(shmring_reader_slot(reader, 0)->problem,
                         after < 2 ? "slot is in use but not allocated" : "unread records are not allocated");
        shmring_reader_close(reader);
    }
    shmring_close(ring);
}

LOOP_TEST(a_window_without_memory_is_an_error, 2)
{
    struct shmring_window *window = NULL;
    struct holdings before = holdings();

    fail_call(_i == 0 ? "calloc" : "malloc", 0, ENOMEM);
    ck_assert_int_eq(shmring_window_new(1, &window), -ENOMEM);
    ck_assert(failed());
    ck_assert_ptr_null(window);
    expect_nothing_more(before);
}

TEST(a_window_that_cannot_grow_loses_no_record)
{
    struct shmring_window *window;
    struct shmring_writer *writer;
    struct shmring *ring;
    struct shmring_view view;

    ck_assert_int_eq(create(64 << 10, &ring), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    ck_assert_int_eq(shmring_window_new(1, &window), 0);
    ck_assert(ring_write(writer, 0, 10000));
    ck_assert_int_gt(shmring_reader_slots(reader), 0);
    ck_assert_int_gt(shmring_reader_fill(reader, 0, window), 0);
    ck_assert_int_eq(shmring_reader_next(window, &view), 0);
    fail_call("realloc", 0, ENOMEM);
    ck_assert_int_eq(shmring_reader_fill(reader, 0, window), -ENOMEM);
    ck_assert(failed());
    ck_assert_int_eq(shmring_reader_next(window, &view), 0);
    ck_assert_int_gt(shmring_reader_fill(reader, 0, window), 0);
    ck_assert_int_eq(shmring_reader_next(window, &view), 1);
    ck_assert(ring_pattern_intact(view.payload, 10000, 0));
    shmring_window_free(window);
    shmring_reader_close(reader);
    shmring_close(ring);
}

static const struct {
    struct failure failure;
    const char *problem;
} foreign_reads[] = {
    {{"pread", 0, EIO, -EBADMSG}, "file cannot be read"},
    {{"pread", 0, EINTR, 1}, NULL},
    {{"pread", 0, 0, 1}, NULL},
};

/* A segment of another user is read with pread. */
LOOP_TEST(a_foreign_ring_that_cannot_be_read_is_left, COUNT(foreign_reads))
{
    const struct failure *failure = &foreign_reads[_i].failure;
    struct shmring_writer *writer;
    struct shmring *ring;

    ck_assert_int_eq(create(RING_BYTES, &ring), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert(ring_write(writer, 0, 100));
    someone_else = 4711;
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    someone_else = 0;
    ck_assert_ptr_null(reader->data);
    fail_call(failure->call, failure->after, failure->err);
    ck_assert_int_eq(ring_drain(reader, 0, 0), failure->result);
    ck_assert(failed());
    ck_assert_pstr_eq(shmring_reader_problem(reader), foreign_reads[_i].problem);
    shmring_reader_close(reader);
    shmring_close(ring);
}

/* ---- the directory ---- */

static const struct failure directories[] = {
    {"mkdir", 0, EACCES, 0}, /* it is there */
    {"malloc", 0, ENOMEM, -ENOMEM}, {"open", 0, EACCES, -EACCES},
    {"open", 0, ENOTDIR, -ENOTDIR}, {"fstat", 0, EIO, -EIO},
};

LOOP_TEST(a_directory_that_cannot_be_opened_is_an_error, COUNT(directories))
{
    const struct failure *failure = &directories[_i];
    struct holdings before = holdings();

    fail_call(failure->call, failure->after, failure->err);
    int fd = shmring_dir_open(rings.dir, (uid_t)-1);
    ck_assert(failed());
    if (failure->result == 0) {
        ck_assert_int_ge(fd, 0);
        close(fd);
    } else {
        ck_assert_int_eq(fd, failure->result);
    }
    expect_nothing_more(before);
}

TEST(a_directory_that_cannot_be_made_says_why)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/below", rings.dir);
    fail_call("mkdir", 0, EACCES);
    ck_assert_int_eq(shmring_dir_open(path, (uid_t)-1), -EACCES);
    fail_call("mkdir", 0, EEXIST); /* and removed in between */
    ck_assert_int_eq(shmring_dir_open(path, (uid_t)-1), -ENOENT);
}

static const struct failure locks[] = {
    {"openat", 0, EMFILE, -EMFILE},
    {"fstat", 0, EIO, -EIO},
    {"flock", 0, ENOLCK, -ENOLCK},
};

LOOP_TEST(a_lock_that_fails_leaves_no_descriptor, COUNT(locks))
{
    int descriptors = entries("/proc/self/fd");

    fail_call(locks[_i].call, locks[_i].after, locks[_i].err);
    ck_assert_int_eq(shmring_dir_lock(rings.dir_fd), locks[_i].result);
    ck_assert(failed());
    ck_assert_int_eq(entries("/proc/self/fd"), descriptors);
    close(shmring_dir_lock(rings.dir_fd));
}

/* ---- the guard ---- */

LOOP_TEST(a_guard_that_cannot_be_installed_says_so, 2)
{
    struct sigaction none = {.sa_handler = SIG_DFL};

    ck_assert_int_eq(sigaction(SIGBUS, &none, NULL), 0);
    fail_call("sigaction", (unsigned)_i, EINVAL);
    ck_assert_int_eq(shmring_guard_install(), -EINVAL);
    ck_assert(failed());
    ck_assert_int_eq(shmring_guard_install(), 0);
}
