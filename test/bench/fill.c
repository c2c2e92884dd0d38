/* SPDX-License-Identifier: MIT
 *
 *   fill RING_DIR SEGMENTS THREADS RING_BYTES
 *
 * That many processes, each with a segment and that many tracing threads, which write when told to and stay. Prints
 * "ready" once all are attached. Commands on standard input, each with one line of answer:
 *
 *   write N   each thread writes N spans: "SPANS DROPPED"
 *   await     waits until the sidecar has released everything: "NANOSECONDS" that took, or "late" after two minutes
 *
 * Ends with its processes when standard input does.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench.h"
#include "shmring_format.h"

enum { AWAIT_SECONDS = 120, AWAIT_PAUSE_US = 300, THREADS_MAX = 64, LINE_BYTES = 64 };

struct shared {
    pthread_barrier_t barrier; /* all threads of all processes, and the parent */
    long spans;                /* that each thread writes next */
};

struct view {
    const uint8_t *base; /* header and control pages of a segment */
};

static void *write_when_told(void *user)
{
    struct shared *shared = user;
    bench_attach();
    pthread_barrier_wait(&shared->barrier);
    for (;;) {
        pthread_barrier_wait(&shared->barrier);
        for (long i = 0; i < shared->spans; i++)
            bench_span();
        pthread_barrier_wait(&shared->barrier);
    }
    return NULL;
}

static _Noreturn void be_process(struct shared *shared, const char *dir, long threads, uint64_t ring_bytes)
{
    pthread_t thread;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bench_tracer_start(dir, ring_bytes);
    for (long i = 0; i < threads; i++)
        if (pthread_create(&thread, NULL, write_when_told, shared) != 0)
            bench_die("thread", -errno);
    for (;;)
        pause();
}

static struct view *map_segments(const char *path, long count)
{
    struct view *views = calloc((size_t)count, sizeof(*views));
    DIR *dir = opendir(path);
    struct dirent *entry;
    long found = 0;
    while (views && dir && (entry = readdir(dir))) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".ring") != 0 || found == count)
            continue;
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        struct shmring_header header;
        if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header))
            bench_die(entry->d_name, -errno);
        views[found].base = mmap(NULL, header.data_offset, PROT_READ, MAP_SHARED, fd, 0);
        if (views[found++].base == MAP_FAILED)
            bench_die("mmap", -errno);
        close(fd);
    }
    if (!dir || found != count)
        bench_die("not all segments are there", 0);
    closedir(dir);
    return views;
}

static const struct shmring_producer *producer(const struct view *view, long slot)
{
    return (const struct shmring_producer *)(view->base + shmring_producer_offset((uint32_t)slot));
}

static bool released(const struct view *view, long slots)
{
    for (long slot = 0; slot < slots; slot++) {
        const struct shmring_consumer *consumer =
            (const struct shmring_consumer *)(view->base + shmring_consumer_offset((uint32_t)slot));
        if (atomic_load(&consumer->cpos_pub) != atomic_load(&producer(view, slot)->wpos))
            return false;
    }
    return true;
}

static uint64_t dropped_so_far(const struct view *views, long segments, long slots)
{
    uint64_t sum = 0;
    for (long i = 0; i < segments; i++)
        for (long slot = 0; slot < slots; slot++)
            for (int reason = 0; reason < SHMRING_DROP_REASONS; reason++)
                sum += atomic_load(&producer(&views[i], slot)->dropped[reason]);
    return sum;
}

static bool await(const struct view *views, long segments, long slots)
{
    uint64_t begin = bench_now_ns();
    for (long at = 0; at < segments;) {
        if (released(&views[at], slots)) {
            at++;
            continue;
        }
        if (bench_now_ns() - begin > AWAIT_SECONDS * UINT64_C(1000000000))
            return false;
        usleep(AWAIT_PAUSE_US);
    }
    return true;
}

static struct shared *share(unsigned parties)
{
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t attributes;
    if (shared == MAP_FAILED)
        bench_die("mmap", -errno);
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attributes, parties);
    return shared;
}

int main(int argc, char **argv)
{
    char line[LINE_BYTES];
    if (argc != 5)
        return 64;
    long segments = strtol(argv[2], NULL, 10), threads = strtol(argv[3], NULL, 10);
    uint64_t ring_bytes = strtoull(argv[4], NULL, 10), dropped = 0;
    if (segments < 1 || threads < 1 || threads > THREADS_MAX)
        return 64;
    struct shared *shared = share((unsigned)(segments * threads + 1));
    for (long i = 0; i < segments; i++) {
        pid_t pid = fork();
        if (pid < 0)
            bench_die("fork", -errno);
        if (pid == 0)
            be_process(shared, argv[1], threads, ring_bytes);
    }
    pthread_barrier_wait(&shared->barrier);
    struct view *views = map_segments(argv[1], segments);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        uint64_t begin = bench_now_ns();
        if (strncmp(line, "write ", 6) == 0) {
            shared->spans = strtol(line + 6, NULL, 10);
            pthread_barrier_wait(&shared->barrier);
            pthread_barrier_wait(&shared->barrier);
            uint64_t before = dropped;
            dropped = dropped_so_far(views, segments, threads);
            printf("%ld %" PRIu64 "\n", shared->spans * segments * threads, dropped - before);
        } else if (await(views, segments, threads)) {
            printf("%" PRIu64 "\n", bench_now_ns() - begin);
        } else {
            puts("late");
        }
        fflush(stdout);
    }
    return 0;
}
