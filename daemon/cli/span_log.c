/* SPDX-License-Identifier: MIT */
#include "span_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/encoding.h"

static_assert(SPAN_LOG_CHUNK_BYTES % 4096 == 0, "chunks are mapped alone");

int span_log_open(struct span_log *log, const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    *log = (struct span_log){.fd = fd};
    pthread_mutex_init(&log->lock, NULL);
    return 0;
}

/* Allocates the chunk before it is mapped: a full file system is an error here, not a SIGBUS later. */
static int next_chunk(struct span_log *log, struct span_log_writer *writer)
{
    span_log_writer_done(writer);
    pthread_mutex_lock(&log->lock);
    off_t offset = (off_t)(log->chunks * SPAN_LOG_CHUNK_BYTES);
    int err = -posix_fallocate(log->fd, offset, SPAN_LOG_CHUNK_BYTES);
    if (!err)
        log->chunks++;
    pthread_mutex_unlock(&log->lock);
    if (err)
        return err;
    void *chunk = mmap(NULL, SPAN_LOG_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, log->fd, offset);
    if (chunk == MAP_FAILED)
        return -errno;
    *writer = (struct span_log_writer){.chunk = chunk};
    return 0;
}

int span_log_write(struct span_log *log, struct span_log_writer *writer, const struct aistrace_context *span,
                   const uint8_t parent_id[8])
{
    if (!writer->chunk || writer->lines == SPAN_LOG_CHUNK_LINES) {
        int err = next_chunk(log, writer);
        if (err)
            return err;
    }
    char *at = writer->chunk + writer->lines++ * SPAN_LOG_LINE_BYTES;
    at = hex_encode(at, span->trace_id, sizeof(span->trace_id));
    *at++ = ' ';
    at = hex_encode(at, span->span_id, sizeof(span->span_id));
    *at++ = ' ';
    at = hex_encode(at, parent_id, 8);
    *at++ = ' ';
    *at++ = span->trace_flags & 1 ? '1' : '0';
    atomic_signal_fence(memory_order_release); /* a kill falls between two instructions: the newline is stored last */
    *(volatile char *)at = '\n';
    atomic_signal_fence(memory_order_seq_cst); /* and the span is attempted only after that */
    return 0;
}

void span_log_writer_done(struct span_log_writer *writer)
{
    if (writer->chunk)
        munmap(writer->chunk, SPAN_LOG_CHUNK_BYTES);
    *writer = (struct span_log_writer){0};
}

/* Moves the whole lines of a chunk to `to`. -> where they end, or -errno. */
static off_t compact(const struct span_log *log, char *buffer, uint64_t chunk, off_t to)
{
    ssize_t bytes = pread(log->fd, buffer, SPAN_LOG_CHUNK_BYTES, (off_t)(chunk * SPAN_LOG_CHUNK_BYTES));
    if (bytes != SPAN_LOG_CHUNK_BYTES)
        return bytes < 0 ? -errno : -EIO;
    size_t lines = 0;
    while (lines < SPAN_LOG_CHUNK_LINES && buffer[(lines + 1) * SPAN_LOG_LINE_BYTES - 1] == '\n')
        lines++;
    size_t whole = lines * SPAN_LOG_LINE_BYTES;
    for (size_t done = 0; done < whole;) {
        bytes = pwrite(log->fd, buffer + done, whole - done, to + (off_t)done);
        if (bytes <= 0)
            return bytes < 0 ? -errno : -EIO;
        done += (size_t)bytes;
    }
    return to + (off_t)whole;
}

int span_log_close(struct span_log *log)
{
    off_t end = 0;
    char *buffer = malloc(SPAN_LOG_CHUNK_BYTES);
    if (!buffer)
        end = -ENOMEM;
    for (uint64_t i = 0; i < log->chunks && end >= 0; i++)
        end = compact(log, buffer, i, end);
    free(buffer);
    int err = end < 0 ? (int)end : 0;
    if (!err && ftruncate(log->fd, end) < 0)
        err = -errno;
    close(log->fd);
    pthread_mutex_destroy(&log->lock);
    return err;
}
