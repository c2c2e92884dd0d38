/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "batch/delivery.h"

enum {
    READ_TRIES = 3,
    READ_RETRY_MS = 1000,
    BACKOFF_BYTES_MAX = EXPORTER_WAITING_MAX_BYTES / 2, /* of records; the rest is for batches of the rings */
};

/* -> how many records with the exporter are not in backoff, and the bytes of those that are */
static size_t under_way(const struct replay *replay, size_t *backoff_bytes)
{
    size_t count = 0;
    *backoff_bytes = 0;
    struct batch *batch = replay->held > 0 ? exporter_oldest(replay->env->exporter) : NULL;
    for (; batch; batch = exporter_next(batch)) {
        if (!batch_stay(batch)->replay)
            continue;
        if (batch_delivery(batch)->state == DELIVERY_WAITING)
            *backoff_bytes += batch_bytes(batch);
        else
            count++;
    }
    return count;
}

static bool has_place(const struct replay *replay)
{
    size_t live = exporter_held(replay->env->exporter) - replay->held;
    size_t most = replay->env->config->max_in_flight;
    size_t backoff_bytes, count = under_way(replay, &backoff_bytes);
    if (exporter_away(replay->env->exporter))
        return live == 0 && replay->held == 0;
    if (live > 0)
        most = most > 1 ? most / 2 : 1;
    return count < (replay->window < most ? replay->window : most) && backoff_bytes < BACKOFF_BYTES_MAX;
}

static bool may_send(const struct replay *replay)
{
    return replay->env->exporter && replay->env->config->enabled && replay->env->phase == SOURCE_WORKS;
}

void replay_init(struct replay *replay, const struct source_env *env, struct spool *spool)
{
    *replay = (struct replay){.env = env, .spool = spool, .window = 1};
}

void replay_send(struct replay *replay)
{
    if (!replay->spool || !may_send(replay))
        return;
    if (exporter_trouble(replay->env->exporter))
        replay->window = 1;
    if (spool_reading(replay->spool) || uv_now(replay->env->loop) < replay->retry_ms || !has_place(replay))
        return;
    struct spool_record *record = spool_take(replay->spool);
    if (record && spool_read(replay->spool, record) != 0)
        spool_return(record);
}

/* A damaged record stays damaged; a failure of the disk may pass. */
static void not_read(struct replay *replay, struct spool_record *record, int err)
{
    if (err != -EBADMSG && ++replay->failures < READ_TRIES) {
        replay->retry_ms = uv_now(replay->env->loop) + READ_RETRY_MS;
        spool_return(record);
        return;
    }
    replay->failures = 0;
    log_cause(replay->env->log, LOG_ERROR, "spool_read",
              "a batch of %" PRIu32 " spans in the spool cannot be read: %s; counted as lost",
              spool_record_spans(record), err == -EBADMSG ? "it is damaged" : strerror(-err));
    spool_settle(replay->spool, record, &(struct batch_outcome){.reason = DROP_SPOOL_CORRUPT});
}

void replay_read(struct replay *replay, struct spool_record *record, struct buf *request, int err)
{
    struct batch *batch;
    if (err) {
        not_read(replay, record, err);
    } else if (!may_send(replay) || batch_load(replay->env->pool, request, spool_record_spans(record), &batch) != 0) {
        spool_return(record);
        return;
    } else {
        *batch_stay(batch) = (struct batch_stay){.record = record, .replay = true, .with_exporter = true};
        replay->held++;
        replay->failures = 0;
        exporter_submit(replay->env->exporter, batch);
    }
    replay_send(replay);
}

void replay_note_end(struct replay *replay, bool was_replay, const struct batch_outcome *outcome)
{
    replay->held -= was_replay;
    if (outcome->exported && replay->window < replay->env->config->max_in_flight)
        replay->window *= 2;
}
