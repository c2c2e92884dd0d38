/* SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "source_state.h"
#include "spool/spool_place.h"

enum { LEAST_BYTES = 128 << 10 }; /* a spool below is none */

/* ---- batches that are sealed and whose spans are nowhere else, by age ---- */

static void stay_append(struct source *s, struct batch *batch)
{
    struct batch_stay *stay = batch_stay(batch);
    *stay = (struct batch_stay){.older = s->youngest};
    *(s->youngest ? &batch_stay(s->youngest)->younger : &s->oldest) = batch;
    s->youngest = batch;
    s->stays++;
}

static void stay_remove(struct source *s, struct batch *batch)
{
    struct batch_stay *stay = batch_stay(batch);
    *(stay->older ? &batch_stay(stay->older)->younger : &s->oldest) = stay->younger;
    *(stay->younger ? &batch_stay(stay->younger)->older : &s->youngest) = stay->older;
    stay->older = stay->younger = NULL;
    s->stays--;
}

static void submit(struct source *s, struct batch *batch)
{
    if (s->env.phase == SOURCE_CLOSES)
        return; /* its spans are in their rings */
    batch_stay(batch)->with_exporter = true;
    exporter_submit(s->env.exporter, batch);
}

void source_spool_send(struct source *s, struct batch *batch)
{
    stay_append(s, batch);
    if (s->env.phase < SOURCE_RESTS || !source_spool_put(s, batch))
        submit(s, batch);
}

static void released(struct source *s)
{
    segments_release(s->env.pool);
    if (s->stalled)
        source_schedule(s, 0);
}

static void finish(struct source *s, struct batch *batch, const struct batch_outcome *outcome)
{
    source_pressure_overtaken(s, batch);
    stay_remove(s, batch);
    batch_finish(batch, outcome);
    released(s);
}

/* ---- to the spool ---- */

static void tell_refusal(struct source *s, int err)
{
    if (err == -ENOSPC)
        log_cause(s->env.log, LOG_WARN, "spool_full",
                  "the spool is full; spans wait in their rings until there is room, and programs drop what does not "
                  "fit there: aistraced.spool.max_bytes makes it larger");
    else if (err == -E2BIG)
        log_cause(s->env.log, LOG_WARN, "spool_small",
                  "a batch does not fit into the spool; it waits in its rings: a larger aistraced.spool.max_bytes or "
                  "a smaller aistraced.max_batch_bytes helps");
    else if (err == -ENOMEM)
        log_cause(s->env.log, LOG_ERROR, "no_memory", "no memory to spool a batch; trying again");
}

bool source_spool_put(struct source *s, struct batch *batch)
{
    struct batch_stay *stay = batch_stay(batch);
    if (!s->spool || !s->spool_takes || s->spool_refuses || s->env.phase == SOURCE_CLOSES || stay->writing ||
        stay->record)
        return false;
    int err = spool_write(s->spool, batch);
    if (err) {
        s->spool_refuses = err == -ENOSPC || err == -EAGAIN;
        tell_refusal(s, err);
        return false;
    }
    stay->writing = true;
    if (stay->with_exporter && exporter_withdraw(s->env.exporter, batch))
        stay->with_exporter = false;
    if (stay->with_exporter)
        exporter_mark_spooled(batch);
    return true;
}

static void not_written(struct source *s, struct batch *batch)
{
    struct batch_stay *stay = batch_stay(batch);
    struct batch_outcome outcome = stay->outcome;
    if (stay->ended)
        finish(s, batch, &outcome);
    else if (!stay->with_exporter)
        submit(s, batch);
}

/* The exporter has said its word about a batch that the spool has, too. */
static void end_record(struct source *s, struct batch *batch, const struct batch_outcome *outcome)
{
    struct batch_stay *stay = batch_stay(batch);
    if (outcome->returned)
        spool_return(stay->record);
    else
        spool_settle(s->spool, stay->record, outcome);
    batch_finish(batch, &(struct batch_outcome){.exported = true}); /* its claims are settled: the memory alone */
}

static void on_written(void *user, struct batch *batch, struct spool_record *record, int err)
{
    struct source *s = user;
    struct batch_stay *stay = batch_stay(batch);
    stay->writing = false;
    if (err) {
        tell_refusal(s, err);
        not_written(s, batch);
        return;
    }
    if (!s->spooling)
        log_cause(s->env.log, LOG_INFO, "spooling", "%s to the spool",
                  s->env.phase >= SOURCE_RESTS ? "what cannot be sent in time goes" : "the rings fill: spans go");
    s->spooling = true;
    stay->record = record;
    spool_hold(record);
    stay_remove(s, batch);
    batch_settle_spooled(batch);
    if (stay->ended)
        end_record(s, batch, &stay->outcome);
    else if (!stay->with_exporter)
        end_record(s, batch, &(struct batch_outcome){.returned = true});
    released(s);
    replay_send(&s->replay);
}

void source_spool_settle(struct source *s, struct batch *batch, const struct batch_outcome *outcome)
{
    struct batch_stay *stay = batch_stay(batch);
    stay->with_exporter = false;
    replay_note_end(&s->replay, stay->replay, outcome);
    if (stay->record) {
        end_record(s, batch, outcome);
    } else if (stay->writing && !outcome->returned && !spool_unwrite(s->spool, batch)) {
        stay->ended = true;
        stay->outcome = *outcome;
    } else if (!outcome->returned) {
        finish(s, batch, outcome);
    } else if (!stay->writing) {
        submit(s, batch); /* it could not be written after all */
    }
    if (s->stalled)
        source_schedule(s, 0);
    replay_send(&s->replay);
}

/* Takes back what it sends from the spool; what is on the wire stays there until its attempt ends. */
void source_stop_replay(struct source *s)
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

/* ---- the totals ---- */

static int on_retire(void *user, uint64_t id, const struct shmring_counts *outcome)
{
    struct source *s = user;
    int err = totals_retire(&s->totals, s->dir.fd, id, outcome);
    if (err)
        log_cause(s->env.log, LOG_ERROR, "state", "cannot write %s/%s: %s; trying again", s->dir.path, TOTALS_FILE,
                  strerror(-err));
    return err;
}

static void on_forget(void *user, uint64_t id)
{
    totals_forget_retired(&((struct source *)user)->totals, id);
}

/* Those asked about are still there; they are moved to the front. */
static bool on_retired(void *user, uint64_t id)
{
    struct source *s = user;
    uint64_t *ids = s->totals.retired;
    for (size_t i = 0; i < s->totals.retired_count; i++) {
        if (ids[i] != id)
            continue;
        if (i >= s->retired_seen) {
            ids[i] = ids[s->retired_seen];
            ids[s->retired_seen++] = id;
        }
        return true;
    }
    return false;
}

void source_spool_tidy(struct source *s)
{
    struct spool_figures figures;
    if (!s->spool)
        return;
    spool_tidy(s->spool);
    if (!s->spooling)
        return;
    spool_figures(s->spool, &figures);
    s->spooling = figures.spans > 0;
    if (!s->spooling)
        log_cause(s->env.log, LOG_INFO, "spooled", "the spool is empty again");
}

/* What the rings' ledgers gave to the spool, against what the spool has: more in the spool is of a life whose ledgers
 * are gone; less is lost. */
void source_spool_figures(const struct source *s, struct stats_snapshot *out)
{
    struct spool_figures figures = {0};
    if (s->spool)
        spool_figures(s->spool, &figures);
    out->spool = s->totals.spool;
    outcome_add(&out->spool, &figures.settled);
    out->spooled_now = figures.spans;
    out->spool_bytes = figures.bytes;
    out->spool_file_bytes = figures.file_bytes;
    out->spool_limit_bytes = figures.max_bytes;
    out->spool_damaged = figures.damaged;

    out->spool_written += out->outcome.spooled;
    uint64_t known = outcome_sum(&out->spool) + figures.spans;
    if (known > out->spool_written) {
        out->committed += known - out->spool_written;
        out->spool_written = known;
    } else {
        out->spool.dropped[DROP_SPOOL_CORRUPT] += out->spool_written - known;
    }
    out->outcome.spooled = 0;
    outcome_add(&out->outcome, &out->spool);
}

/* ---- start ---- */

static void on_read(void *user, struct spool_record *record, struct buf *request, int err)
{
    struct source *s = user;
    replay_read(&s->replay, record, request, err);
}

static int on_claim(void *user, struct spool_record *record, const struct spool_claim *claim)
{
    struct source *s = user;
    return restore_claim(&s->restore, record, claim);
}

static void on_committed(void *user, struct spool_record *record)
{
    const struct source *s = user;
    if (s->env.phase < SOURCE_CLOSES) /* else the record is gone */
        spool_claim_committed(record);
}

static void tell_start(struct source *s, const struct spool_place *place)
{
    struct spool_figures figures;
    spool_figures(s->spool, &figures);
    if (figures.spans > 0)
        log_line(s->env.log, LOG_INFO, "spool %s: %" PRIu64 " spans of an earlier run are sent, oldest first",
                 place->path, figures.spans);
    if (place->max_bytes > 0)
        log_line(s->env.log, LOG_INFO, "spool %s: at most %.1f MiB%s", place->path,
                 (double)place->max_bytes / (1 << 20), place->in_memory ? ", in memory" : "");
}

static int open_spool(struct source *s, const struct spool_place *place)
{
    static const struct spool_callbacks callbacks = {
        .written_cb = on_written,
        .read_cb = on_read,
        .claim_cb = on_claim,
        .retire_cb = on_retire,
        .forget_cb = on_forget,
        .retired_cb = on_retired,
    };
    struct spool_options options = {
        .path = place->path,
        .max_bytes = place->max_bytes,
        .sync = s->env.config->spool_sync == CONFIG_SYNC_ALWAYS && !place->in_memory,
        .request_max_bytes = s->env.config->max_batch_bytes,
        .create = place->named,
        .transient = place->in_memory,
    };
    int err = spool_open(s->env.loop, &options, &callbacks, s, s->env.log, &s->spool);
    if (err)
        return err;
    s->spool_takes = place->max_bytes > 0;
    s->totals.retired_count = s->retired_seen;
    batch_pool_watch(s->env.pool, on_committed, s);
    tell_start(s, place);
    return 0;
}

static int start_spool(struct source *s)
{
    struct spool_place place;
    int err = spool_place_find(s->env.config, getenv("STATE_DIRECTORY"), &place);
    if (err)
        return err;
    if (place.max_bytes > 0 && place.max_bytes < LEAST_BYTES) {
        log_line(s->env.log, LOG_WARN, "no spool: %s has no room for one; aistraced.spool.dir names another place",
                 place.path);
        place.max_bytes = 0;
    }
    place.named = place.named && place.max_bytes > 0;
    err = open_spool(s, &place);
    if (err && !place.named) {
        log_line(s->env.log, LOG_ERROR, "no spool: %s cannot be used: %s; aistraced.spool.dir names another place",
                 place.path, strerror(-err));
        err = 0;
    }
    free(place.path);
    return err;
}

int source_spool_start(struct source *s)
{
    int err = s->env.config->spool_dir ? start_spool(s) : 0;
    restore_opened(&s->restore, s->spool);
    replay_init(&s->replay, &s->env, s->spool);
    return err;
}
