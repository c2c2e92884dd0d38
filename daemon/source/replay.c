/* SPDX-License-Identifier: MIT
 *
 * The spool's records on their way to the endpoint, oldest first, beside what is read from the rings. One at a time
 * until the endpoint has taken one, then twice as many with each batch it takes; at most half of max_in_flight while
 * batches from the rings are there as well. While nothing answers those probe the endpoint, and only without them a
 * record does. Where answers fail now and then, a record in backoff makes place for the next: else an endpoint that
 * refuses most attempts would get no more than one record in so many backoffs, and the spool would fill.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "batch/delivery.h"
#include "keeper.h"
#include "source_state.h"

enum {
    READ_TRIES = 3,
    READ_RETRY_MS = 1000,
    BACKOFF_BYTES_MAX =
        EXPORTER_WAITING_MAX_BYTES / 2, /* of records in backoff; the rest is for batches of the rings */
};

/* Of the records with the exporter those that are not in backoff, and the bytes of those that are. */
static size_t under_way(const struct source *s, size_t *backoff_bytes)
{
    size_t count = 0;
    *backoff_bytes = 0;
    struct batch *batch = s->replays > 0 ? exporter_oldest(s->env.exporter) : NULL;
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

static bool has_place(const struct source *s)
{
    size_t live = exporter_held(s->env.exporter) - s->replays;
    size_t most = s->env.config->max_in_flight;
    size_t backoff_bytes, count = under_way(s, &backoff_bytes);
    if (exporter_away(s->env.exporter))
        return live == 0 && s->replays == 0;
    if (live > 0)
        most = most > 1 ? most / 2 : 1;
    return count < (s->replay_window < most ? s->replay_window : most) && backoff_bytes < BACKOFF_BYTES_MAX;
}

static bool may_send(const struct source *s)
{
    return s->env.exporter && s->env.config->enabled && s->env.phase == SOURCE_WORKS;
}

void source_replay(struct source *s)
{
    if (!s->spool || !may_send(s))
        return;
    if (exporter_trouble(s->env.exporter))
        s->replay_window = 1;
    if (spool_reading(s->spool) || uv_now(s->env.loop) < s->replay_retry_ms || !has_place(s))
        return;
    struct spool_record *record = spool_take(s->spool);
    if (record && spool_read(s->spool, record) != 0)
        spool_return(record);
}

/* What is damaged stays so; a disk that fails may do so once. */
static void not_read(struct source *s, struct spool_record *record, int err)
{
    if (err != -EBADMSG && ++s->read_failures < READ_TRIES) {
        s->replay_retry_ms = uv_now(s->env.loop) + READ_RETRY_MS;
        spool_return(record);
        return;
    }
    s->read_failures = 0;
    log_cause(s->env.log, LOG_ERROR, "spool_read",
              "a batch of %" PRIu32 " spans in the spool cannot be read: %s; counted as lost",
              spool_record_spans(record), err == -EBADMSG ? "it is damaged" : strerror(-err));
    spool_settle(s->spool, record, &(struct batch_outcome){.reason = DROP_SPOOL_CORRUPT});
}

void source_replay_read(void *user, struct spool_record *record, struct buf *request, int err)
{
    struct source *s = user;
    struct batch *batch;
    if (err) {
        not_read(s, record, err);
    } else if (!may_send(s) || batch_load(s->env.pool, request, spool_record_spans(record), &batch) != 0) {
        spool_return(record);
        return;
    } else {
        *batch_stay(batch) = (struct batch_stay){.record = record, .replay = true, .with_exporter = true};
        s->replays++;
        s->read_failures = 0;
        exporter_submit(s->env.exporter, batch);
    }
    source_replay(s);
}

void source_replay_ended(struct source *s, bool replay, const struct batch_outcome *outcome)
{
    s->replays -= replay;
    if (outcome->exported && s->replay_window < s->env.config->max_in_flight)
        s->replay_window *= 2;
}

void source_replay_stop(struct source *s)
{
    struct batch *next = s->env.exporter ? exporter_oldest(s->env.exporter) : NULL;
    for (struct batch *batch; (batch = next);) {
        next = exporter_next(batch);
        if (!batch_stay(batch)->replay)
            continue;
        if (exporter_withdraw(s->env.exporter, batch))
            source_spool_settle(s, batch, &(struct batch_outcome){.returned = true});
        else
            exporter_mark_spooled(batch);
    }
}
