/* SPDX-License-Identifier: MIT
 *
 * Reading a record's request back, on a worker.
 */
#include <errno.h>
#include <stdlib.h>

#include "shmring.h"
#include "spool_io.h"
#include "spool_state.h"

enum { CHECK_BYTES = 64 << 10 };

static void do_read(uv_work_t *work)
{
    struct spool_read *read = &((struct spool *)work->data)->read;
    const struct spool_record *record = read->record;
    read->err = spool_io_read(record->file->fd, record->request_offset, read->request.data, record->request_bytes);
    if (!read->err && shmring_crc32c(0, read->request.data, record->request_bytes) != record->request_crc)
        read->err = -EBADMSG;
}

static void on_done(uv_work_t *work, int status)
{
    struct spool *s = work->data;
    struct spool_record *record = s->read.record;
    (void)status;
    s->read.running = false;
    record->file->users--;
    if (s->ending.begun)
        spool_wake(s);
    else
        s->callbacks->read_cb(s->user, record, &s->read.request, s->read.err);
}

int spool_read(struct spool *s, struct spool_record *record)
{
    s->read.request.len = 0;
    int err = buf_reserve(&s->read.request, record->request_bytes);
    if (err)
        return err;
    s->read.request.len = record->request_bytes;
    s->read.record = record;
    s->read.work.data = s;
    err = uv_queue_work(s->loop, &s->read.work, do_read, on_done);
    if (err)
        return err;
    s->read.running = true;
    record->file->users++;
    return 0;
}

bool spool_reading(const struct spool *s)
{
    return s->read.running;
}

int spool_check(struct spool_record *record)
{
    uint8_t window[CHECK_BYTES];
    uint32_t crc = 0;
    int err = record->disowned ? -EBADMSG : 0;
    if (record->state == SPOOL_RECORD_SETTLED || record->sound)
        return err;
    for (uint32_t at = 0; at < record->request_bytes && !err;) {
        uint32_t left = record->request_bytes - at;
        uint32_t bytes = left < sizeof(window) ? left : (uint32_t)sizeof(window);
        err = spool_io_read(record->file->fd, record->request_offset + at, window, bytes);
        crc = shmring_crc32c(crc, window, bytes);
        at += bytes;
    }
    if (!err && crc != record->request_crc)
        err = -EBADMSG;
    record->sound = !err;
    return err;
}
