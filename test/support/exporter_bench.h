/* SPDX-License-Identifier: MIT
 *
 * An exporter, a scripted server and batches that are played, in the test's own loop. One of each in a program.
 */
#ifndef EXPORTER_BENCH_H
#define EXPORTER_BENCH_H

#include "batch/delivery.h"
#include "export/exporter.h"
#include "grpc/grpc.h"
#include "script_server.h"

enum { BATCHES_MAX = 64, BATCH_SPANS = 10, FILLER_BYTES = 100000, BATCH_BYTES = 4 + FILLER_BYTES };

struct batch {
    struct delivery delivery;
    struct iovec parts[2];
    uint32_t id;
    unsigned finished;
    unsigned sent, acknowledged; /* by the server's account */
    struct batch_outcome outcome;
};

extern struct exporter_bench {
    uv_loop_t loop;
    struct config config;
    struct stats stats;
    struct log *log;
    int log_fd;
    struct exporter *exporter;
    struct script_server *server;
    struct script script;
    char port[16];
    struct batch batches[BATCHES_MAX];
    unsigned submitted, finished, gzipped;
    bool closed;
    char last_headers[4096];
    char log_text[16384];
} bench;

void bench_begin(const struct script_step *steps, size_t count); /* loop, log, configuration, script */
void bench_serve(const struct script_server_options *given);     /* NULL: without options; on the port it had before */
void bench_export(void);
void bench_submit(unsigned count);
void bench_end(void); /* closes all, and checks that nothing more has happened */

/* Turns the loop until the condition holds; a test that waits too long fails. */
void bench_run_until(bool (*holds)(unsigned), unsigned argument);
bool bench_finished(unsigned count);
bool bench_connected(unsigned count);
bool bench_in_trouble(unsigned ignored);
bool bench_tried(unsigned code);
bool bench_sent(unsigned id);
bool bench_timed_out(unsigned count); /* calls */

/* Ends a short deadline and a script that holds. A call of before may still be late on a busy machine: then the server
 * acknowledges its batch twice. */
void bench_answer_from_now_on(void);

/* All submitted batches were exported; all: and each acknowledged exactly once. */
void bench_check_exported(void);
void bench_check_all_exported(void);

const char *bench_log(void);
char *bench_write_token(const char *text, size_t bytes); /* into a file of its own. -> its path */

#endif
