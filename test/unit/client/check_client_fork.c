/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/advice.h"
#include "support/client_fixture.h"
#include "support/test.h"

static struct aistrace_options options = {.role = "proxy", .ring_bytes = 1 << 20, .thread_slots = 8};

static void start(void)
{
    client_fixture_init();
    options.ring_dir = client.dir;
    client_fixture_start(options);
}

FIXTURE(start, client_fixture_done);

static void one_span(const char *name)
{
    struct aistrace_span span;

    aistrace_span_start(&span, name, NULL);
    aistrace_span_end(&span);
}

static void wait_for(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

static pid_t plain_fork(void)
{
    return fork();
}

/* What no fork handler sees. */
static pid_t raw_clone(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static pid_t (*const ways[])(void) = {plain_fork, raw_clone};
enum { WAYS = COUNT(ways) };

/* By the library, in the child. */
static bool is_seen(pid_t (*way)(void))
{
    return way == plain_fork || advice_wipes_on_fork();
}

static size_t of_instance(const uint8_t instance[16])
{
    size_t count = 0;

    for (size_t i = 0; i < client.set.count; i++)
        count += memcmp(client.set.spans[i].instance, instance, 16) == 0;
    return count;
}

LOOP_TEST(the_child_gets_its_own_segment_on_its_first_span, WAYS)
{
    NEEDS(is_seen(ways[_i]), "MADV_WIPEONFORK");
    pid_t child;

    one_span("parent");
    child = ways[_i]();
    if (child == 0) {
        one_span("child");
        one_span("child");
        if (client_counted().committed != 2 || client_counted().attempted != 2)
            _exit(1);
        _exit(0);
    }
    wait_for(child);
    one_span("parent");
    ck_assert_uint_eq(client_counted().committed, 2);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.segments, 2);
    ck_assert_uint_eq(client.set.count, 4);
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
    ck_assert_uint_eq(of_instance(client.set.spans[0].instance), 2);
}

LOOP_TEST(a_child_without_spans_leaves_no_trace, WAYS)
{
    pid_t child;

    one_span("parent");
    child = ways[_i]();
    if (child == 0)
        _exit(0);
    wait_for(child);
    one_span("parent");
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.segments, 1);
    ck_assert_uint_eq(client.set.count, 2);
}

LOOP_TEST(the_childs_resource_has_its_own_pid, WAYS)
{
    NEEDS(is_seen(ways[_i]), "MADV_WIPEONFORK");
    struct span_set_item item;
    int64_t pid;
    pid_t child;

    span_set_dir_clear(client.dir); /* the parent's segment, so that only the child's is there */
    child = ways[_i]();
    if (child == 0) {
        one_span("child");
        _exit(0);
    }
    wait_for(child);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.segments, 1);
    ck_assert(span_set_item(client.set.resource, client.set.resource_bytes, AISTRACE_ITEM_ROLE, NULL, &item));
    ck_assert(
        span_set_item(client.set.resource, client.set.resource_bytes, AISTRACE_ITEM_ATTRIBUTE, "process.pid", &item));
    memcpy(&pid, item.value, sizeof(pid));
    ck_assert_int_eq(pid, child);
}

LOOP_TEST(a_span_of_the_parent_that_the_child_ends_is_not_written_twice, WAYS)
{
    NEEDS(is_seen(ways[_i]), "MADV_WIPEONFORK");
    struct aistrace_span span;
    pid_t child;

    aistrace_span_start(&span, "parent's", NULL);
    child = ways[_i]();
    if (child == 0) {
        aistrace_span_end(&span);
        _exit(client_counted().no_segment == 1 && client_counted().committed == 0 ? 0 : 1);
    }
    wait_for(child);
    aistrace_span_end(&span);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 1);
}

LOOP_TEST(a_childs_span_may_have_the_parents_as_its_parent, WAYS)
{
    struct aistrace_span span;
    const struct span_set_span *seen;
    pid_t child;

    aistrace_span_start(&span, "parent's", NULL);
    aistrace_set_current(aistrace_span_context(&span));
    child = ways[_i]();
    if (child == 0) {
        one_span("child's");
        _exit(0);
    }
    wait_for(child);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 1);
    seen = &client.set.spans[0];
    ck_assert_mem_eq(seen->fixed.parent_span_id, span.context.span_id, 8);
    ck_assert_mem_eq(seen->fixed.trace_id, span.context.trace_id, 16);
    aistrace_span_end(&span);
}

LOOP_TEST(the_child_may_stop_and_start_anew, WAYS)
{
    pid_t child = ways[_i]();

    if (child == 0) {
        if (aistrace_start(&options) != -EALREADY)
            _exit(1);
        aistrace_stop();
        if (aistrace_start(&options) != 0)
            _exit(2);
        one_span("new");
        _exit(client_counted().committed == 1 ? 0 : 3);
    }
    wait_for(child);
}

LOOP_TEST(a_child_whose_segment_cannot_be_runs_as_nothing, WAYS)
{
    NEEDS(is_seen(ways[_i]), "MADV_WIPEONFORK");
    pid_t child;

    one_span("parent");
    options.ring_dir = NULL;
    child = ways[_i]();
    if (child == 0) {
        span_set_dir_remove(strdup(client.dir)); /* and a file in its place */
        if (symlink("/proc/version", client.dir) != 0)
            _exit(1);
        one_span("child");
        one_span("child");
        if (aistrace_thread_attach() != -ENODEV)
            _exit(2);
        one_span("child");
        if (unlink(client.dir) != 0 || mkdir(client.dir, 0700) != 0)
            _exit(3);
        _exit(client_counted().no_segment == 3 && client_counted().attempted == 3 ? 0 : 4);
    }
    wait_for(child);
    one_span("parent");
    ck_assert_uint_eq(client_counted().committed, 2);
}

LOOP_TEST(a_directory_is_the_one_that_was_found_at_the_start, WAYS)
{
    char dir[256];

    aistrace_stop();
    options.ring_dir = "rings";
    ck_assert_int_eq(chdir(client.dir), 0);
    ck_assert_int_eq(aistrace_start(&options), 0);
    pid_t child = ways[_i]();
    if (child == 0) {
        if (chdir("/") != 0)
            _exit(1);
        one_span("child");
        _exit(client_counted().committed == 1 && access("/rings", F_OK) != 0 ? 0 : 2);
    }
    wait_for(child);
    ck_assert_int_eq(chdir("/"), 0);
    aistrace_stop();
    snprintf(dir, sizeof(dir), "%s/rings", client.dir);
    span_set_drain(&client.set, dir);
    ck_assert_uint_eq(client.set.count, 1);
    span_set_dir_remove(strdup(dir));
}

TEST(exec_in_a_vfork_child_leaves_the_parent_alone)
{
    one_span("before");
    for (int i = 0; i < 20; i++) {
        pid_t child = vfork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        wait_for(child);
        one_span("after");
    }
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 21);
    ck_assert_uint_eq(client.set.segments, 1);
}

static atomic_bool enough;

static void *trace_all_the_time(void *count)
{
    while (!atomic_load(&enough)) {
        one_span("busy");
        ++*(uint64_t *)count;
    }
    return NULL;
}

static void *attach_and_leave(void *unused)
{
    aistrace_thread_attach();
    return unused;
}

static void *come_and_go(void *unused)
{
    while (!atomic_load(&enough)) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, attach_and_leave, NULL) == 0)
            pthread_join(thread, NULL);
    }
    return unused;
}

TEST(forks_amid_tracing_and_attaching_threads_hang_nowhere)
{
    pthread_t busy, churn;
    uint64_t attempted = 0;
    struct aistrace_counters counters;

    ck_assert_int_eq(pthread_create(&busy, NULL, trace_all_the_time, &attempted), 0);
    ck_assert_int_eq(pthread_create(&churn, NULL, come_and_go, NULL), 0);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            one_span("child");
            _exit(client_counted().committed == 1 ? 0 : 1);
        }
        wait_for(child);
    }
    atomic_store(&enough, true);
    pthread_join(busy, NULL);
    pthread_join(churn, NULL);
    counters = client_counted();
    ck_assert_uint_eq(counters.attempted, attempted);
    ck_assert_uint_eq(counters.committed + counters.ring_full, attempted);
}

TEST(the_signal_mask_is_as_it_was_in_parent_and_child)
{
    sigset_t before, after;
    pid_t child;

    sigemptyset(&before);
    sigaddset(&before, SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    child = fork();
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    if (child == 0)
        _exit(sigismember(&after, SIGUSR1) == 1 && sigismember(&after, SIGUSR2) == 0 ? 0 : 1);
    wait_for(child);
    ck_assert_int_eq(sigismember(&after, SIGUSR1), 1);
    ck_assert_int_eq(sigismember(&after, SIGUSR2), 0);
    ck_assert_int_eq(sigismember(&after, SIGTERM), 0);
}

/* ---- other people's fork handlers ---- */

/* What they do, in the thread that forks; bits. */
enum { SPAN = 1, COUNTERS = 2, ATTACH = 4, START = 8, DETACH = 16 };

static struct {
    int before, in_parent, in_child;
} handlers;

static void act(int what)
{
    if (what & SPAN)
        one_span("of a handler");
    if (what & COUNTERS)
        client_counted();
    if (what & ATTACH)
        aistrace_thread_attach();
    if (what & DETACH)
        aistrace_thread_detach();
    if (what & START) { /* changes nothing */
        aistrace_stop();
        ck_assert_int_eq(aistrace_start(&options), -EAGAIN);
    }
}

static void before(void)
{
    act(handlers.before);
}

static void in_parent(void)
{
    act(handlers.in_parent);
}

static void in_child(void)
{
    act(handlers.in_child);
}

/* Earlier than the library: these handlers run between the library's, while it holds its mutex. */
__attribute__((constructor(101))) static void registers_first(void)
{
    pthread_atfork(before, in_parent, in_child);
}

static const struct {
    int before, in_parent, in_child;
    uint64_t spans_before, spans_in_child;
} traced_forks[] = {
    {SPAN, 0, 0, 1, 0},
    {COUNTERS, COUNTERS, COUNTERS, 0, 0},
    {ATTACH, ATTACH, ATTACH, 0, 0},
    {0, SPAN, 0, 1, 0},
    {0, 0, SPAN, 0, 1},
    {SPAN | COUNTERS | ATTACH | START, SPAN | COUNTERS | ATTACH | START, SPAN | COUNTERS, 2, 1},
};

static int child_is_well(uint64_t spans)
{
    struct aistrace_counters counters;

    alarm(20);
    one_span("child");
    counters = client_counted();
    return counters.committed == spans + 1 && counters.attempted == spans + 1 ? 0 : 1;
}

/* In a thread without slot, or with one. -> 0 or the child's verdict */
static void *fork_with_handlers(void *has_slot)
{
    int status;

    if (*(bool *)has_slot)
        one_span("before");
    pid_t child = fork();
    if (child == 0)
        _exit(child_is_well((uint64_t)(handlers.in_child & SPAN)));
    waitpid(child, &status, 0);
    handlers.before = handlers.in_parent = handlers.in_child = 0;
    one_span("after");
    return (void *)(intptr_t)status;
}

LOOP_TEST(other_libraries_fork_handlers_may_trace_and_count, 2 * COUNT(traced_forks))
{
    NEEDS(!(traced_forks[_i / 2].in_child & SPAN) || advice_wipes_on_fork(), "MADV_WIPEONFORK");
    bool has_slot = _i % 2;
    uint64_t spans = traced_forks[_i / 2].spans_before;
    struct aistrace_counters counters;
    pthread_t thread;
    void *status;

    handlers.before = traced_forks[_i / 2].before;
    handlers.in_parent = traced_forks[_i / 2].in_parent;
    handlers.in_child = traced_forks[_i / 2].in_child;
    ck_assert_int_eq(pthread_create(&thread, NULL, fork_with_handlers, &has_slot), 0);
    pthread_join(thread, &status);
    ck_assert_ptr_null(status);
    counters = client_counted();
    ck_assert_uint_eq(counters.attempted, spans + 1 + has_slot);
    ck_assert_uint_eq(counters.committed + counters.no_slot, counters.attempted);
    if (has_slot)
        ck_assert_uint_eq(counters.no_slot, 0);
    else /* the first span after the fork may be what looks for a slot */
        ck_assert_uint_le(counters.no_slot, spans + 1);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, counters.committed + 1 + traced_forks[_i / 2].spans_in_child);
}

/* While the library holds its mutex the slot cannot be given back: the thread keeps it. */
TEST(a_handler_that_detaches_its_thread_loses_no_slot)
{
    enum { FORKS = 20 }; /* more than there are slots */
    for (int i = 0; i < FORKS; i++) {
        one_span("before");
        handlers.before = handlers.in_parent = DETACH;
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
    handlers.before = handlers.in_parent = 0;
    one_span("after");
    ck_assert_uint_eq(client_counted().committed, FORKS + 1);
    ck_assert_uint_eq(client_counted().attempted, FORKS + 1);
}
