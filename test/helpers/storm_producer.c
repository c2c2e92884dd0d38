/* SPDX-License-Identifier: MIT
 *
 * Producers that come and go.
 *
 *   storm_producer RING_DIR HELD_DIR LOG MODE COUNT SPANS
 *
 *   fork     COUNT children write SPANS spans each, as does the parent before, between and after; some end by exit,
 * some by _exit in the middle of a span killed   COUNT children that write without end, each killed by SIGKILL after
 * SPANS spans exec     writes SPANS spans and executes itself, COUNT times threads  COUNT threads at once, on SLOTS
 * slots, SPANS spans each short    COUNT threads one after another, SPANS spans each reuse    COUNT children one after
 * another, all of the same pid; needs a PID namespace of its own
 *
 * LOG and HELD_DIR: see attempt_log.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aistrace.h"
#include "support/attempt_log.h"

enum { SLOTS = 32, RING_BYTES = 256 << 10, ROOMY_RING_BYTES = 8 << 20, REUSED_PID = 4242 };

struct storm {
    char **argv;
    const char *ring_dir, *held_dir, *log_path;
    long count, spans;
    int log;
    uint64_t ring_bytes;
    pid_t held; /* process whose segment is held */
    pthread_barrier_t together;
};

static void die(const char *what)
{
    fprintf(stderr, "storm_producer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void start_tracer(struct storm *storm)
{
    int err = aistrace_start(&(struct aistrace_options){
        .service_name = "storm", .ring_dir = storm->ring_dir, .ring_bytes = storm->ring_bytes, .thread_slots = SLOTS});
    if (err) {
        errno = -err;
        die("aistrace_start");
    }
}

/* A child of a fork has its segment from its first span on. */
static void hold(struct storm *storm)
{
    pid_t pid = getpid();
    if (storm->held == pid)
        return;
    if (held_segment_link(storm->ring_dir, storm->held_dir, pid) < 0)
        die("the segment to hold");
    storm->held = pid;
}

static void write_span(const struct storm *storm)
{
    struct aistrace_span span;
    aistrace_span_start(&span, "storm", NULL);
    if (attempt_log_write(storm->log, getpid(), &span) < 0)
        die(storm->log_path);
    aistrace_span_end(&span);
}

static void write_spans(struct storm *storm, long count)
{
    for (long i = 0; i < count; i++) {
        write_span(storm);
        hold(storm);
    }
}

static void await(pid_t pid, int wanted)
{
    int status;
    if (pid < 0)
        die("fork");
    if (waitpid(pid, &status, 0) != pid || status != wanted) {
        errno = 0;
        die("a child ended otherwise");
    }
}

/* ---- modes ---- */

static void fork_child(struct storm *storm, long number)
{
    struct aistrace_span unended;
    write_spans(storm, storm->spans);
    aistrace_span_start(&unended, "never ended", NULL);
    if (number % 2)
        _exit(0);
    exit(0);
}

static void run_fork(struct storm *storm)
{
    start_tracer(storm);
    for (long i = 0; i < storm->count; i++) {
        write_spans(storm, storm->spans);
        pid_t pid = fork();
        if (pid == 0)
            fork_child(storm, i);
        write_spans(storm, 1);
        await(pid, 0);
    }
    write_spans(storm, storm->spans);
}

static void run_killed(struct storm *storm)
{
    for (long i = 0; i < storm->count; i++) {
        int told[2];
        char byte;
        pid_t pid = pipe(told) < 0 ? -1 : fork();
        if (pid == 0) {
            start_tracer(storm);
            write_spans(storm, storm->spans);
            if (write(told[1], "", 1) != 1)
                _exit(1);
            for (;;)
                write_span(storm);
        }
        if (pid > 0 && read(told[0], &byte, 1) == 1)
            kill(pid, SIGKILL);
        close(told[0]);
        close(told[1]);
        await(pid, SIGKILL);
    }
}

static void run_exec(struct storm *storm)
{
    char left[24];
    start_tracer(storm);
    write_spans(storm, storm->spans);
    if (storm->count == 0)
        return;
    snprintf(left, sizeof(left), "%ld", storm->count - 1);
    storm->argv[5] = left;
    execv("/proc/self/exe", storm->argv);
    die("exec");
}

static void *write_in_thread(void *user)
{
    struct storm *storm = user;
    write_span(storm);
    pthread_barrier_wait(&storm->together); /* by then each has a slot, or has found none */
    for (long i = 1; i < storm->spans; i++)
        write_span(storm);
    return NULL;
}

static void run_threads(struct storm *storm)
{
    pthread_t *threads = calloc((size_t)storm->count, sizeof(*threads));
    pthread_barrier_init(&storm->together, NULL, (unsigned)storm->count);
    start_tracer(storm);
    hold(storm);
    for (long i = 0; threads && i < storm->count; i++)
        if (pthread_create(&threads[i], NULL, write_in_thread, storm) != 0)
            die("pthread_create");
    for (long i = 0; threads && i < storm->count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

static void run_short(struct storm *storm)
{
    pthread_t thread;
    pthread_barrier_init(&storm->together, NULL, 1);
    storm->ring_bytes = ROOMY_RING_BYTES; /* for all spans of all threads */
    start_tracer(storm);
    hold(storm);
    for (long i = 0; i < storm->count; i++) {
        if (pthread_create(&thread, NULL, write_in_thread, storm) != 0)
            die("pthread_create");
        pthread_join(thread, NULL);
    }
}

static void run_reuse(struct storm *storm)
{
    char last[24];
    int length = snprintf(last, sizeof(last), "%d", REUSED_PID - 1);
    for (long i = 0; i < storm->count; i++) {
        int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, last, (size_t)length) != length)
            die("ns_last_pid");
        close(fd);
        pid_t pid = fork();
        if (pid == 0) {
            if (getpid() != REUSED_PID)
                _exit(5);
            start_tracer(storm);
            write_spans(storm, storm->spans);
            _exit(0);
        }
        await(pid, 0);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct storm *storm);
    } modes[] = {{"fork", run_fork},       {"killed", run_killed}, {"exec", run_exec},
                 {"threads", run_threads}, {"short", run_short},   {"reuse", run_reuse}};
    if (argc == 7) {
        struct storm storm = {.argv = argv,
                              .ring_bytes = RING_BYTES,
                              .ring_dir = argv[1],
                              .held_dir = argv[2],
                              .log_path = argv[3],
                              .count = atol(argv[5]),
                              .spans = atol(argv[6])};
        storm.log = attempt_log_open(storm.log_path);
        if (storm.log < 0)
            die(storm.log_path);
        for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
            if (strcmp(argv[4], modes[i].name) != 0)
                continue;
            modes[i].run(&storm);
            return 0;
        }
    }
    fprintf(stderr, "usage: storm_producer RING_DIR HELD_DIR LOG fork|killed|exec|threads|short|reuse COUNT SPANS\n");
    return 64;
}
