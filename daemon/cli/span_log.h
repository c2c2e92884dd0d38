/* SPDX-License-Identifier: MIT
 *
 * A file of span ids that survives SIGKILL of its writer: records are stored into mapped pages, without system calls
 * between chunks. A record is a line of fixed length,
 *     trace_id span_id parent_span_id sampled\n     (hexadecimal; a root's parent is zeros; sampled is 0 or 1)
 * and its newline is stored last. span_log_close leaves whole lines only; in the file of a writer that was killed every
 * SPAN_LOG_LINE_BYTES bytes that do not end in a newline are to be skipped.
 */
#ifndef SPAN_LOG_H
#define SPAN_LOG_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "aistrace.h"

enum { SPAN_LOG_LINE_BYTES = 32 + 1 + 16 + 1 + 16 + 1 + 1 + 1 };
enum { SPAN_LOG_CHUNK_LINES = 4096, SPAN_LOG_CHUNK_BYTES = SPAN_LOG_CHUNK_LINES * SPAN_LOG_LINE_BYTES };

struct span_log {
    int fd;
    pthread_mutex_t lock; /* of chunks */
    uint64_t chunks;
};

/* One thread's part of it. Zero-initialised is empty. */
struct span_log_writer {
    char *chunk;
    size_t lines;
};

/* Creates or empties the file. -> 0 or -errno. */
int span_log_open(struct span_log *log, const char *path);

/* Stores a span's record. -> 0 or -errno: no room for the next chunk. */
int span_log_write(struct span_log *log, struct span_log_writer *writer, const struct aistrace_context *span,
                   const uint8_t parent_id[8]);
void span_log_writer_done(struct span_log_writer *writer);

/* Closes the gaps, once all writers are done. -> 0 or -errno. */
int span_log_close(struct span_log *log);

#endif
