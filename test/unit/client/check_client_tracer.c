/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support/advice.h"
#include "support/client_fixture.h"
#include "support/directory.h"
#include "support/test.h"

static void start(void)
{
    client_fixture_init();
    unsetenv("AIS_TRACING_RING_DIR");
    unsetenv("AIS_TRACING_RING_SIZE");
    unsetenv("AIS_TRACING_RING_UID");
    unsetenv("AIS_TRACING_DEBUG");
    unsetenv("MY_POD");
    setenv("AIS_TRACING_CLOCK", "system", 1); /* which is set here; check_client_clock tests the other */
}

FIXTURE(start, client_fixture_done);

static void one_span(const char *name)
{
    struct aistrace_span span;

    aistrace_span_start(&span, name, NULL);
    aistrace_span_set_string(&span, "key", "value");
    aistrace_span_end(&span);
}

static bool mount_small(const char *options)
{
    return test_mounts_privately() && mount("tmpfs", client.dir, "tmpfs", 0, options) == 0;
}

/* Everything works as if nothing were there, and an incoming context is passed on. */
static void runs_as_nothing(void)
{
    static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    uint64_t before = client_counted().no_segment;
    struct aistrace_context remote;
    struct aistrace_span span;
    char kept[AISTRACE_TRACE_STATE_BYTES], header[AISTRACE_TRACEPARENT_BYTES];

    ck_assert_int_eq(aistrace_thread_attach(), -ENODEV);
    ck_assert_int_eq(aistrace_context_parse(&remote, parent, 55, "a=1", 3, kept), 0);
    aistrace_span_start(&span, "nothing", &(struct aistrace_span_options){.parent = &remote});
    ck_assert(!aistrace_span_recording(&span));
    aistrace_span_set_int(&span, "key", 1);
    aistrace_span_set_name(&span, "name");
    aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, "message");
    aistrace_span_add_event(&span, "event", NULL, 0);
    aistrace_span_add_link(&span, &remote, NULL, 0);
    aistrace_traceparent_write(aistrace_span_context(&span), header);
    ck_assert_str_eq(header, parent);
    aistrace_span_end(&span);
    aistrace_span_end(&span);
    one_span("root");
    ck_assert_uint_eq(client_counted().no_segment, before + 2);
    ck_assert_uint_eq(client_counted().attempted, before + 2);
    ck_assert_uint_eq(client_counted().committed, 0);
}

TEST(without_start_everything_works_and_records_nothing)
{
    runs_as_nothing();
    aistrace_stop();
    runs_as_nothing();
}

TEST(the_options_must_name_one_service)
{
    struct aistrace_options options = {.ring_dir = client.dir};
    static char huge[SHMRING_RESOURCE_MAX];

    ck_assert_int_eq(aistrace_start(NULL), -EINVAL);
    ck_assert_int_eq(aistrace_start(&options), -EINVAL);
    options.role = options.service_name = "both";
    ck_assert_int_eq(aistrace_start(&options), -EINVAL);
    options.role = "";
    memset(huge, 'x', sizeof(huge) - 1);
    options.service_name = huge;
    ck_assert_int_eq(aistrace_start(&options), -EINVAL);
    runs_as_nothing();
    options.service_name = "one";
    ck_assert_int_eq(aistrace_start(&options), 0);
    aistrace_stop();
}

TEST(a_second_start_is_refused_until_stop)
{
    struct aistrace_options options = {.role = "proxy", .ring_dir = client.dir};

    ck_assert_int_eq(aistrace_start(&options), 0);
    ck_assert_int_eq(aistrace_start(&options), -EALREADY);
    one_span("first");
    aistrace_stop();
    ck_assert_uint_eq(client_counted().committed, 1); /* what it came to can still be asked for */
    ck_assert_int_eq(aistrace_start(&options), 0);
    ck_assert_uint_eq(client_counted().attempted, 0);
    one_span("second");
    one_span("third");
    ck_assert_uint_eq(client_counted().committed, 2);
    aistrace_stop();
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.segments, 2);
    ck_assert_uint_eq(client.set.count, 3);
}

/* Of the segment no more is left than what a process without threads uses. */
static void cut_off_the_slots(void)
{
    char path[320];
    DIR *dir = opendir(client.dir);

    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        snprintf(path, sizeof(path), "%s/%s", client.dir, entry->d_name);
        ck_assert(entry->d_name[0] == '.' || truncate(path, SHMRING_SLOTS_OFFSET) == 0);
    }
    closedir(dir);
}

TEST(errno_stays_as_it_was)
{
    struct aistrace_options options = {.role = "proxy", .ring_dir = "/proc/none/such"};

    NEEDS(advice_populates(), "MADV_POPULATE_WRITE");
    errno = 12345;
    ck_assert_int_eq(aistrace_start(&options), -ENOENT);
    options.ring_dir = client.dir;
    ck_assert_int_eq(aistrace_start(&options), 0);
    ck_assert_int_eq(errno, 12345);
    cut_off_the_slots();
    errno = 12345;
    one_span("the thread's first, and there is no memory for its ring");
    ck_assert_int_eq(errno, 12345);
    ck_assert_uint_eq(client_counted().no_memory, 1);
    errno = 12345;
    aistrace_stop();
    ck_assert_int_eq(errno, 12345);
}

TEST(a_span_left_open_over_stop_records_nothing)
{
    struct aistrace_options options = {.role = "proxy", .ring_dir = client.dir};
    struct aistrace_span span, late;

    ck_assert_int_eq(aistrace_start(&options), 0);
    aistrace_span_start(&span, "open", NULL);
    aistrace_span_start(&late, "open", NULL);
    aistrace_stop();
    aistrace_span_end(&span);
    ck_assert_uint_eq(client_counted().no_segment, 1);
    ck_assert_int_eq(aistrace_start(&options), 0);
    one_span("new");
    aistrace_span_end(&late);
    ck_assert_uint_eq(client_counted().no_segment, 1);
    ck_assert_uint_eq(client_counted().committed, 1);
    aistrace_stop();
}

TEST(a_missing_directory_is_created_for_its_owner_alone)
{
    char path[256];
    struct stat status;

    snprintf(path, sizeof(path), "%s/below", client.dir);
    setenv("AIS_TRACING_RING_DIR", path, 1);
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy"}), 0);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0700);
    one_span("in it");
    aistrace_stop();
    span_set_drain(&client.set, path);
    ck_assert_uint_eq(client.set.count, 1);
    span_set_dir_remove(strdup(path));
}

TEST(a_foreign_directory_is_refused)
{
    NEEDS(geteuid() == 0, "root");
    ck_assert_int_eq(chown(client.dir, 12345, 12345), 0);
    one_span("before");
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir}), -EPERM);
    ck_assert_uint_eq(client_counted().attempted, 0); /* since that start */
    runs_as_nothing();
    ck_assert_int_eq(chown(client.dir, 0, 0), 0);
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir}), 0);
    aistrace_stop();
}

static const struct {
    uint32_t option;
    const char *environment;
    int result;
} ring_uids[] = {
    {12345, "", 0},
    {0, "12345", 0},
    {12345, "4711", 0},
    {12346, "12345", -EPERM},
    {0, "12346", -EPERM},
    {0, "root", -EPERM},
    {0, "-12345", -EPERM},
    {0, "12345x", -EPERM},
    {0, "4294967295", -EPERM},
    {0, "4294979641", -EPERM},
};

LOOP_TEST(a_directory_of_the_named_user_is_trusted, COUNT(ring_uids))
{
    NEEDS(geteuid() == 0, "root");
    ck_assert_int_eq(chown(client.dir, 12345, 12345), 0);
    setenv("AIS_TRACING_RING_UID", ring_uids[_i].environment, 1);
    struct aistrace_options options = {.role = "proxy", .ring_dir = client.dir, .ring_uid = ring_uids[_i].option};
    ck_assert_int_eq(aistrace_start(&options), ring_uids[_i].result);
    if (ring_uids[_i].result == 0)
        aistrace_stop();
}

TEST(a_directory_that_cannot_be_is_refused)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/not/there", client.dir);
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = path}), -ENOENT);
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = "/proc/version"}),
                     -ENOTDIR);
    runs_as_nothing();
}

TEST(a_full_tmpfs_has_no_segment)
{
    NEEDS(mount_small("size=8k,mode=0700"), "root, to mount");
    ck_assert_int_eq(
        aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir, .ring_bytes = 1 << 20}),
        -ENOSPC);
    runs_as_nothing();
    umount(client.dir);
}

static void fill_small(void)
{
    char path[256];
    struct statvfs fs;
    snprintf(path, sizeof(path), "%s/other", client.dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstatvfs(fd, &fs), 0);
    ck_assert_int_eq(posix_fallocate(fd, 0, (off_t)(fs.f_bavail * fs.f_frsize)), 0);
    close(fd);
}

TEST(a_tmpfs_without_room_for_a_ring_counts_no_memory)
{
    struct aistrace_span span;

    NEEDS(mount_small("size=600k,mode=0700"), "root, to mount");
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){
                         .role = "proxy", .ring_dir = client.dir, .ring_bytes = 64 << 10, .thread_slots = 8}),
                     0);
    fill_small();
    ck_assert_int_eq(aistrace_thread_attach(), -ENOSPC);
    aistrace_span_start(&span, "no room", NULL);
    aistrace_span_end(&span);
    one_span("no room");
    ck_assert_uint_eq(client_counted().no_memory, 2);
    ck_assert_uint_eq(client_counted().attempted, 2);
    aistrace_stop();
    umount2(client.dir, MNT_DETACH);
}

TEST(a_limit_on_file_size_is_an_error_not_a_signal)
{
    struct rlimit limit = {1 << 20, 1 << 20};

    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir}), -EFBIG);
    runs_as_nothing();
}

static const struct {
    const char *text;
    uint64_t bytes; /* 0: ignored */
} sizes[] = {
    {"65536", 65536},
    {"64KiB", 65536},
    {"2MiB", 2 << 20},
    {"70000", 131072},
    {"64kb", 0},
    {"-1", 0},
    {" 65536", 0},
    {"0", 0},
    {"100", 0},
    {"4GiB", 0},
    {"x", 0},
    {"", 0},
    {"99999999999999999999", 0},
};

LOOP_TEST(the_ring_size_comes_from_the_environment, COUNT(sizes))
{
    struct shmring_reader *reader;
    uint64_t bytes, default_bytes;

    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir}), 0);
    reader = span_set_open(client.dir);
    default_bytes = shmring_reader_header(reader)->ring_bytes;
    shmring_reader_close(reader);
    aistrace_stop();
    span_set_dir_remove(client.dir);
    client.dir = span_set_dir_new();

    setenv("AIS_TRACING_RING_SIZE", sizes[_i].text, 1);
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir}), 0);
    reader = span_set_open(client.dir);
    bytes = shmring_reader_header(reader)->ring_bytes;
    shmring_reader_close(reader);
    ck_assert_uint_eq(bytes, sizes[_i].bytes ? sizes[_i].bytes : default_bytes);
    aistrace_stop();
}

#define RESOURCE(tag, key, ...)                                                                                        \
    (span_set_item(client.set.resource, client.set.resource_bytes, tag, key, &item) &&                                 \
     item.head.value_bytes == strlen(__VA_ARGS__) && memcmp(item.value, __VA_ARGS__, item.head.value_bytes) == 0)

TEST(the_resource_says_who_writes)
{
    struct aistrace_attribute more[] = {aistrace_attr_string("region", "north"), aistrace_attr_bool("test", true)};
    struct aistrace_options options = {.role = "target",
                                       .version = "1.2",
                                       .daemon_id = "t1",
                                       .attributes = more,
                                       .attribute_count = 2,
                                       .ring_dir = client.dir};
    struct span_set_item item;
    char host[256];
    int64_t pid;

    setenv("MY_POD", "pod-7", 1);
    gethostname(host, sizeof(host));
    ck_assert_int_eq(aistrace_start(&options), 0);
    span_set_drain(&client.set, client.dir);
    ck_assert(RESOURCE(AISTRACE_ITEM_ROLE, NULL, "target"));
    ck_assert(!span_set_item(client.set.resource, client.set.resource_bytes, AISTRACE_ITEM_SERVICE, NULL, &item));
    ck_assert(RESOURCE(AISTRACE_ITEM_ATTRIBUTE, "version", "1.2"));
    ck_assert(RESOURCE(AISTRACE_ITEM_ATTRIBUTE, "daemonID", "t1"));
    ck_assert(RESOURCE(AISTRACE_ITEM_ATTRIBUTE, "pod", "pod-7"));
    ck_assert(RESOURCE(AISTRACE_ITEM_ATTRIBUTE, "host.name", host));
    ck_assert(RESOURCE(AISTRACE_ITEM_ATTRIBUTE, "telemetry.sdk.name", "aistrace"));
    ck_assert(RESOURCE(AISTRACE_ITEM_ATTRIBUTE, "telemetry.sdk.language", "c"));
    ck_assert(RESOURCE(AISTRACE_ITEM_ATTRIBUTE, "telemetry.sdk.version", AISTRACE_VERSION));
    ck_assert(RESOURCE(AISTRACE_ITEM_ATTRIBUTE, "region", "north"));
    ck_assert(
        span_set_item(client.set.resource, client.set.resource_bytes, AISTRACE_ITEM_ATTRIBUTE, "process.pid", &item));
    memcpy(&pid, item.value, sizeof(pid));
    ck_assert_int_eq(item.head.type, AISTRACE_VALUE_INT);
    ck_assert_int_eq(pid, getpid());
    aistrace_stop();
}

TEST(resource_attributes_that_do_not_fit_are_left_out)
{
    static char large[SHMRING_RESOURCE_MAX];
    struct aistrace_attribute more[2];
    struct span_set_item item;

    memset(large, 'x', sizeof(large) - 1);
    more[0] = aistrace_attr_string("large", large);
    more[1] = aistrace_attr_string("small", "kept");
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){
                         .service_name = "shop", .attributes = more, .attribute_count = 2, .ring_dir = client.dir}),
                     0);
    span_set_drain(&client.set, client.dir);
    ck_assert(RESOURCE(AISTRACE_ITEM_SERVICE, NULL, "shop"));
    ck_assert(RESOURCE(AISTRACE_ITEM_ATTRIBUTE, "small", "kept"));
    ck_assert(!span_set_item(client.set.resource, client.set.resource_bytes, AISTRACE_ITEM_ATTRIBUTE, "large", &item));
    ck_assert(!span_set_item(client.set.resource, client.set.resource_bytes, AISTRACE_ITEM_ATTRIBUTE, "pod", &item));
    aistrace_stop();
}

/* ---- what it prints ---- */

static void provoke(const char *debug, char *printed, size_t capacity)
{
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t bytes;

    ck_assert_int_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    setenv("AIS_TRACING_DEBUG", debug, 1);
    setenv("AIS_TRACING_RING_SIZE", "nonsense", 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_ne(aistrace_start(&(struct aistrace_options){.role = "x", .ring_dir = "/proc/version"}), 0);
    one_span("x");
    dup2(saved, STDERR_FILENO);
    close(saved);
    bytes = read(ends[0], printed, capacity - 1);
    close(ends[0]);
    ck_assert_int_ge((int)bytes, 0);
    printed[bytes] = '\0';
}

TEST(it_prints_nothing_unless_asked)
{
    char printed[1024];

    provoke("", printed, sizeof(printed));
    ck_assert_str_eq(printed, "");
    provoke("0", printed, sizeof(printed));
    ck_assert_str_eq(printed, "");
}

TEST(asked_it_prints_one_line_per_cause)
{
    char printed[1024];
    int lines = 0;

    provoke("1", printed, sizeof(printed));
    for (const char *at = printed; (at = strchr(at, '\n')); at++)
        lines++;
    ck_assert_int_eq(lines, 2);
    ck_assert_ptr_nonnull(strstr(printed, "AIS_TRACING_RING_SIZE"));
    ck_assert_ptr_nonnull(strstr(printed, "Not a directory"));
}

/* ---- time ---- */

static int64_t wall_shift_ns, monotonic_shift_ns;

/* Takes the place of the C library's, so that a test can set the clocks. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    int64_t shift = clock == CLOCK_REALTIME ? wall_shift_ns : clock == CLOCK_MONOTONIC ? monotonic_shift_ns : 0;
    int64_t ns;

    if (syscall(SYS_clock_gettime, clock, out) != 0)
        return -1;
    ns = out->tv_sec * 1000000000ll + out->tv_nsec + shift;
    out->tv_sec = ns / 1000000000ll;
    out->tv_nsec = ns % 1000000000ll;
    return 0;
}

static uint64_t wall_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#define HOUR_NS 3600000000000ll
#define NEAR_NS 500000000ull /* a loaded machine may pause a test that long */

LOOP_TEST(a_step_of_the_wall_clock_changes_no_duration_and_is_taken_up_within_a_second, 2)
{
    struct aistrace_span before, after;
    const struct span_set_span *seen;
    struct span_set_item item;
    struct aistrace_event_value event;
    uint64_t begun_ns;

    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir}), 0);
    one_span("first");
    begun_ns = wall_ns();
    aistrace_span_start(&before, "over the step", NULL);
    wall_shift_ns = _i == 0 ? HOUR_NS : -HOUR_NS;
    monotonic_shift_ns = 1100000000;
    aistrace_span_start(&after, "after the step", NULL);
    aistrace_span_end(&after);
    aistrace_span_add_event(&before, "event", NULL, 0);
    aistrace_span_end(&before);
    span_set_drain(&client.set, client.dir);

    seen = span_set_find(&client.set, before.context.span_id);
    ck_assert_ptr_nonnull(seen);
    ck_assert_uint_lt(seen->fixed.start_unix_ns - begun_ns + NEAR_NS, 2 * NEAR_NS);
    ck_assert_uint_ge(seen->fixed.duration_ns, 1100000000);
    ck_assert_uint_lt(seen->fixed.duration_ns, 1100000000 + 4 * NEAR_NS);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_EVENT, NULL, &item));
    memcpy(&event, item.value, sizeof(event));
    ck_assert_uint_ge(event.time_unix_ns, seen->fixed.start_unix_ns);
    ck_assert_uint_le(event.time_unix_ns, seen->fixed.start_unix_ns + seen->fixed.duration_ns);

    seen = span_set_find(&client.set, after.context.span_id);
    ck_assert_ptr_nonnull(seen);
    ck_assert_uint_lt(wall_ns() - seen->fixed.start_unix_ns, 4 * NEAR_NS);
    ck_assert_uint_lt(seen->fixed.duration_ns, NEAR_NS);
    aistrace_stop();
}

TEST(a_monotonic_clock_that_goes_back_gives_no_negative_duration)
{
    struct aistrace_span span;

    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir}), 0);
    aistrace_span_start(&span, "back", NULL);
    monotonic_shift_ns = -1000000000;
    aistrace_span_end(&span);
    monotonic_shift_ns = 0; /* libcheck measures too */
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 1);
    ck_assert_uint_eq(client.set.spans[0].fixed.duration_ns, 0);
    aistrace_stop();
}
