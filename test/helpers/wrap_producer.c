/* SPDX-License-Identifier: MIT
 *
 * A producer whose positions and counters begin where the test says, as if it had run for years.
 *
 *   wrap_producer RING_DIR HELD_DIR LOG POSITION RECORDS DROPS SPANS
 *
 * POSITION (hexadecimal): where positions begin. RECORDS: how many records, of RECORD_BYTES, each slot has already
 * committed and seen exported; DROPS: how many it has already dropped with its ring full. Two threads take their slots,
 * then it prints `ready` and waits for SIGUSR1; then each writes SPANS spans, some in bursts longer than the ring.
 * Linked with --wrap: the library's own calls of shmring_create and shmring_slot_publish come here first. LOG, HELD_DIR:
 * attempt_log.h.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aistrace.h"
#include "shmring.h"
#include "support/attempt_log.h"
#include "writer.h"

enum { THREADS = 2, RING_BYTES = 64 << 10, PAUSE_EVERY = 100, PAUSE_US = 3000, RECORD_BYTES = 192 };

static struct wrap {
    int log;
    uint64_t position, records, drops;
    long spans;
    pthread_barrier_t attached, go;
} wrap;

int __real_shmring_create(const struct shmring_options *options, struct shmring **out);
int __wrap_shmring_create(const struct shmring_options *options, struct shmring **out);
int __real_shmring_slot_publish(struct shmring *ring, struct shmring_writer *taken, int err,
                                struct shmring_writer **out);
int __wrap_shmring_slot_publish(struct shmring *ring, struct shmring_writer *taken, int err,
                                struct shmring_writer **out);

int __wrap_shmring_create(const struct shmring_options *options, struct shmring **out)
{
    struct shmring_options placed = *options;
    placed.first_position = wrap.position;
    return __real_shmring_create(&placed, out);
}

int __wrap_shmring_slot_publish(struct shmring *ring, struct shmring_writer *taken, int err,
                                struct shmring_writer **out)
{
    err = __real_shmring_slot_publish(ring, taken, err, out);
    if (err)
        return err;
    struct shmring_writer *writer = *out;
    writer->ordinal = wrap.records;
    writer->refused[SHMRING_DROP_RING_FULL] = wrap.drops;
    writer->begun = wrap.records + wrap.drops;
    atomic_store(&writer->producer->begun, writer->begun);
    atomic_store(&writer->producer->dropped[SHMRING_DROP_RING_FULL], wrap.drops);
    uint64_t position = wrap.position + wrap.records * RECORD_BYTES;
    writer->wpos = writer->begin = writer->cpos = writer->limit = position;
    for (int i = 0; i < 2; i++) {
        writer->consumer->ledger[i].counts.exported = wrap.records;
        writer->consumer->ledger[i].cpos = position;
    }
    atomic_store(&writer->consumer->cpos_pub, position);
    atomic_store(&writer->producer->wpos, position);
    return 0;
}

static void *write_spans(void *user)
{
    (void)user;
    if (aistrace_thread_attach() != 0)
        exit(1);
    pthread_barrier_wait(&wrap.attached);
    pthread_barrier_wait(&wrap.go);
    for (long i = 0; i < wrap.spans; i++) {
        struct aistrace_span span;
        aistrace_span_start(&span, "wrap", NULL);
        aistrace_span_set_int(&span, "number", i);
        if (attempt_log_write(wrap.log, getpid(), &span) < 0)
            exit(1);
        aistrace_span_end(&span);
        if (i % PAUSE_EVERY == 0 && i % (PAUSE_EVERY * 20) < PAUSE_EVERY * 10)
            usleep(PAUSE_US);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    sigset_t go;
    int number;
    if (argc != 8) {
        fprintf(stderr, "usage: wrap_producer RING_DIR HELD_DIR LOG POSITION RECORDS DROPS SPANS\n");
        return 64;
    }
    wrap.log = attempt_log_open(argv[3]);
    wrap.position = strtoull(argv[4], NULL, 16);
    wrap.records = strtoull(argv[5], NULL, 10);
    wrap.drops = strtoull(argv[6], NULL, 10);
    wrap.spans = atol(argv[7]);
    pthread_barrier_init(&wrap.attached, NULL, THREADS + 1);
    pthread_barrier_init(&wrap.go, NULL, THREADS + 1);
    sigemptyset(&go);
    sigaddset(&go, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &go, NULL);
    struct aistrace_options options = {.service_name = "wrap", .ring_dir = argv[1], .ring_bytes = RING_BYTES};
    if (wrap.log < 0 || aistrace_start(&options) != 0 || held_segment_link(argv[1], argv[2], getpid()) != 0)
        return 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, write_spans, NULL) != 0)
            return 1;
    pthread_barrier_wait(&wrap.attached);
    puts("ready");
    fflush(stdout);
    sigwait(&go, &number);
    pthread_barrier_wait(&wrap.go);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    aistrace_stop();
    return 0;
}
