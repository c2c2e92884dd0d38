/* SPDX-License-Identifier: MIT
 *
 * A producer that is stopped or killed at a chosen instruction of a span, start to end, through the client library.
 *
 *   step_producer RING_DIR HELD_DIR LOG kill every STRIDE     a fresh producer killed at every STRIDE-th instruction
 *   step_producer RING_DIR HELD_DIR LOG kill POINT...         one killed at each point: logged begun middle filled
 * published step_producer RING_DIR HELD_DIR LOG stop POINT            one left there by SIGSTOP; it goes on at SIGCONT,
 * and ends well
 *
 * First a producer that ends well is stepped through, to learn where the points are:
 *
 *   logged     the attempt is in the log, the call to end the span has not begun
 *   begun      the ring counts the span as begun
 *   middle     half-way between begun and published
 *   filled     the instruction before the record is published
 *   published  the record is published
 *
 * HELD_DIR gets a second link to each segment, by which it can be read when the daemon has removed it.
 * LOG: a line `PID SPAN_ID` per span, written before it is ended. Output, as they happen: `steps N begun B published P`
 * of the stepped span, then `PID STEP BEGUN PUBLISHED` per producer: how far it was, 0 or 1 each. Status 77: ptrace is
 * not allowed.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aistrace.h"
#include "support/attempt_log.h"

enum {
    RING_BYTES = 4096,
    WARM_SPANS = 2,
    NOT_ALLOWED = 77,
    PID_BYTES = 11,
    MAPPED_BYTES = SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES
};

struct stage {
    const char *ring_dir;
    const char *held_dir;
    int log_fd;
    bool learning;
    pid_t pid; /* the child's, in the child */
};

struct course {
    long steps, logged, begun, published;
};

static void die(const char *what)
{
    fprintf(stderr, "step_producer: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the child ---- */

static void one_span(const struct stage *stage)
{
    struct aistrace_span span;
    aistrace_span_start(&span, "stepped", NULL);
    aistrace_span_set_string(&span, "text", "some thirty bytes of payload..");
    aistrace_span_set_int(&span, "number", 7);
    if (attempt_log_write(stage->log_fd, stage->pid, &span) != 0)
        _exit(3);
    aistrace_span_end(&span);
}

static pid_t start_child(struct stage *stage)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    stage->pid = getpid();
    struct aistrace_options options = {
        .service_name = "stepped", .ring_dir = stage->ring_dir, .ring_bytes = RING_BYTES, .thread_slots = 1};
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(NOT_ALLOWED);
    if (aistrace_start(&options) != 0)
        _exit(4);
    for (int i = 0; i < WARM_SPANS; i++)
        one_span(stage);
    raise(SIGSTOP);
    one_span(stage);
    if (stage->learning)
        raise(SIGSTOP);
    aistrace_stop();
    _exit(0);
}

/* ---- the tracer ---- */

static bool step(pid_t pid)
{
    int status;
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
        die("step");
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        die("a producer ended under the tracer");
    return WSTOPSIG(status) == SIGTRAP;
}

static pid_t start_stopped(struct stage *stage)
{
    int status;
    pid_t pid = start_child(stage);
    if (waitpid(pid, &status, 0) != pid)
        die("waitpid");
    if (WIFEXITED(status))
        exit(WEXITSTATUS(status));
    return pid;
}

static const struct shmring_producer *map_slot(const struct stage *stage, pid_t pid)
{
    const struct shmring_producer *slot = held_segment_map(stage->ring_dir, stage->held_dir, pid);
    if (!slot)
        die("the producer's segment");
    return slot;
}

static void resume_to_its_end(pid_t pid)
{
    int status;
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die("a producer did not end well");
}

static off_t log_size(const struct stage *stage)
{
    return lseek(stage->log_fd, 0, SEEK_END);
}

static struct course learn(struct stage *stage)
{
    struct course course = {0};
    stage->learning = true;
    pid_t pid = start_stopped(stage);
    stage->learning = false;
    const struct shmring_producer *slot = map_slot(stage, pid);
    uint64_t begun = atomic_load(&slot->begun), wpos = atomic_load(&slot->wpos);
    off_t logged = log_size(stage);
    while (step(pid)) {
        course.steps++;
        if (!course.logged && log_size(stage) != logged)
            course.logged = course.steps;
        if (!course.begun && atomic_load(&slot->begun) != begun)
            course.begun = course.steps;
        if (!course.published && atomic_load(&slot->wpos) != wpos)
            course.published = course.steps;
    }
    printf("steps %ld begun %ld published %ld\n%d %ld 1 1\n", course.steps, course.begun, course.published, (int)pid,
           course.steps);
    resume_to_its_end(pid);
    return course;
}

static long step_of(const struct course *course, const char *point)
{
    const struct {
        const char *name;
        long step;
    } points[] = {{"logged", course->logged},
                  {"begun", course->begun},
                  {"middle", (course->begun + course->published) / 2},
                  {"filled", course->published - 1},
                  {"published", course->published}};
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++)
        if (strcmp(points[i].name, point) == 0)
            return points[i].step;
    errno = EINVAL;
    die(point);
    return 0;
}

static pid_t start_at(struct stage *stage, long steps)
{
    pid_t pid = start_stopped(stage);
    const struct shmring_producer *slot = map_slot(stage, pid);
    uint64_t begun = atomic_load(&slot->begun), wpos = atomic_load(&slot->wpos);
    for (long i = 0; i < steps; i++)
        step(pid);
    printf("%d %ld %d %d\n", (int)pid, steps, atomic_load(&slot->begun) != begun, atomic_load(&slot->wpos) != wpos);
    fflush(stdout);
    held_segment_unmap(slot);
    return pid;
}

static void kill_at(struct stage *stage, long steps)
{
    pid_t pid = start_at(stage, steps);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void stop_at(struct stage *stage, long steps)
{
    int status;
    pid_t pid = start_at(stage, steps);
    ptrace(PTRACE_DETACH, pid, NULL, (void *)(uintptr_t)SIGSTOP);
    while (waitpid(pid, &status, 0) == pid && !WIFEXITED(status) && !WIFSIGNALED(status))
        continue;
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static int usage(void)
{
    fprintf(stderr, "usage: step_producer RING_DIR HELD_DIR LOG kill every STRIDE | kill POINT... | stop POINT\n");
    return 64;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return usage();
    struct stage stage = {.ring_dir = argv[1], .held_dir = argv[2]};
    const char *log = argv[3], *mode = argv[4], *point = argv[5];
    stage.log_fd = attempt_log_open(log);
    if (stage.log_fd < 0)
        die(log);
    struct course course = learn(&stage);
    if (strcmp(mode, "stop") == 0)
        stop_at(&stage, step_of(&course, point));
    if (strcmp(mode, "kill") != 0)
        return usage();
    if (strcmp(point, "every") == 0) {
        long stride = argc > 6 ? atol(argv[6]) : 1;
        for (long at = 0; at <= course.steps; at += stride)
            kill_at(&stage, at);
        return 0;
    }
    for (int i = 5; i < argc; i++)
        kill_at(&stage, step_of(&course, argv[i]));
    return 0;
}
