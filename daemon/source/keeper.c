/* SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "spool/spool_place.h"

enum { LEAST_BYTES = 128 << 10 }; /* a smaller spool is none */

/* ---- batches that are sealed and whose spans are nowhere else, by age ---- */

static void stay_append(struct keeper *keeper, struct batch *batch)
{
    struct batch_stay *stay = batch_stay(batch);
    *stay = (struct batch_stay){.older = keeper->youngest};
    *(keeper->youngest ? &batch_stay(keeper->youngest)->younger : &keeper->oldest) = batch;
    keeper->youngest = batch;
    keeper->count++;
}

static void stay_remove(struct keeper *keeper, struct batch *batch)
{
    struct batch_stay *stay = batch_stay(batch);
    *(stay->older ? &batch_stay(stay->older)->younger : &keeper->oldest) = stay->younger;
    *(stay->younger ? &batch_stay(stay->younger)->older : &keeper->youngest) = stay->older;
    stay->older = stay->younger = NULL;
    keeper->count--;
}

static void submit(struct keeper *keeper, struct batch *batch)
{
    if (keeper->env->phase == SOURCE_CLOSES)
        return; /* its spans are in their rings */
    batch_stay(batch)->with_exporter = true;
    exporter_submit(keeper->env->exporter, batch);
}

void keeper_send(struct keeper *keeper, struct batch *batch)
{
    stay_append(keeper, batch);
    if (keeper->env->phase < SOURCE_RESTS || !keeper_put(keeper, batch))
        submit(keeper, batch);
}

/* By a batch that ends: the older ones still wait. */
static void note_overtaken(struct keeper *keeper, const struct batch *by)
{
    for (struct batch *batch = keeper->oldest; batch != by; batch = batch_stay(batch)->younger)
        batch_stay(batch)->overtaken++;
}

static void end_stay(struct keeper *keeper, struct batch *batch, const struct batch_outcome *outcome)
{
    note_overtaken(keeper, batch);
    stay_remove(keeper, batch);
    batch_finish(batch, outcome);
}

/* ---- to the spool ---- */

void keeper_ask_again(struct keeper *keeper)
{
    keeper->spool_refuses = false;
}

static void tell_refusal(struct keeper *keeper, int err)
{
    if (err == -ENOSPC)
        log_cause(keeper->env->log, LOG_WARN, "spool_full",
                  "the spool is full; spans wait in their rings until there is room, and programs drop what does not "
                  "fit there: aistraced.spool.max_bytes makes it larger");
    else if (err == -E2BIG)
        log_cause(keeper->env->log, LOG_WARN, "spool_small",
                  "a batch does not fit into the spool; it waits in its rings: a larger aistraced.spool.max_bytes or "
                  "a smaller aistraced.max_batch_bytes helps");
    else if (err == -ENOMEM)
        log_cause(keeper->env->log, LOG_ERROR, "no_memory", "no memory to spool a batch; trying again");
}

bool keeper_put(struct keeper *keeper, struct batch *batch)
{
    struct batch_stay *stay = batch_stay(batch);
    if (!keeper->spool || !keeper->spool_takes || keeper->spool_refuses || keeper->env->phase == SOURCE_CLOSES ||
        stay->writing || stay->record)
        return false;
    int err = spool_write(keeper->spool, batch);
    if (err) {
        keeper->spool_refuses = err == -ENOSPC || err == -EAGAIN;
        tell_refusal(keeper, err);
        return false;
    }
    stay->writing = true;
    if (stay->with_exporter && exporter_withdraw(keeper->env->exporter, batch))
        stay->with_exporter = false;
    if (stay->with_exporter)
        exporter_mark_spooled(batch);
    return true;
}

static void not_written(struct keeper *keeper, struct batch *batch)
{
    struct batch_stay *stay = batch_stay(batch);
    struct batch_outcome outcome = stay->outcome;
    if (stay->ended) {
        end_stay(keeper, batch, &outcome);
        keeper->released_cb(keeper->user);
    } else if (!stay->with_exporter) {
        submit(keeper, batch);
    }
}

/* The exporter has answered for a batch that the spool has as well. */
static void end_record(struct keeper *keeper, struct batch *batch, const struct batch_outcome *outcome)
{
    struct batch_stay *stay = batch_stay(batch);
    if (outcome->returned)
        spool_return(stay->record);
    else
        spool_settle(keeper->spool, stay->record, outcome);
    /* The claims are settled already: only the memory goes back. */
    batch_finish(batch, &(struct batch_outcome){.exported = true});
}

static void on_written(void *user, struct batch *batch, struct spool_record *record, int err)
{
    struct keeper *keeper = user;
    struct batch_stay *stay = batch_stay(batch);
    stay->writing = false;
    if (err) {
        tell_refusal(keeper, err);
        not_written(keeper, batch);
        return;
    }
    if (!keeper->spooling)
        log_cause(keeper->env->log, LOG_INFO, "spooling", "%s to the spool",
                  keeper->env->phase >= SOURCE_RESTS ? "what cannot be sent in time goes" : "the rings fill: spans go");
    keeper->spooling = true;
    stay->record = record;
    spool_hold(record);
    stay_remove(keeper, batch);
    batch_settle_spooled(batch);
    if (stay->ended)
        end_record(keeper, batch, &stay->outcome);
    else if (!stay->with_exporter)
        end_record(keeper, batch, &(struct batch_outcome){.returned = true});
    keeper->released_cb(keeper->user);
    replay_send(keeper->replay);
}

void keeper_settle(struct keeper *keeper, struct batch *batch, const struct batch_outcome *outcome)
{
    struct batch_stay *stay = batch_stay(batch);
    stay->with_exporter = false;
    replay_note_end(keeper->replay, stay->replay, outcome);
    if (stay->record) {
        end_record(keeper, batch, outcome);
    } else if (stay->writing && !outcome->returned && !spool_unwrite(keeper->spool, batch)) {
        stay->ended = true;
        stay->outcome = *outcome;
    } else if (!outcome->returned) {
        end_stay(keeper, batch, outcome);
    } else if (!stay->writing) {
        submit(keeper, batch); /* the write failed meanwhile */
    }
    keeper->released_cb(keeper->user);
    replay_send(keeper->replay);
}

void keeper_stop_replay(struct keeper *keeper)
{
    struct batch *next = keeper->env->exporter ? exporter_oldest(keeper->env->exporter) : NULL;
    for (struct batch *batch; (batch = next);) {
        next = exporter_next(batch);
        if (!batch_stay(batch)->replay)
            continue;
        if (exporter_withdraw(keeper->env->exporter, batch))
            keeper_settle(keeper, batch, &(struct batch_outcome){.returned = true});
        else
            exporter_mark_spooled(batch);
    }
}

/* ---- the totals ---- */

static int on_retire(void *user, uint64_t id, const struct shmring_counts *outcome)
{
    struct keeper *keeper = user;
    int err = totals_retire(keeper->totals, keeper->dir->fd, id, outcome);
    if (err)
        log_cause(keeper->env->log, LOG_ERROR, "state", "cannot write %s/%s: %s; trying again", keeper->dir->path,
                  TOTALS_FILE, strerror(-err));
    return err;
}

static void on_forget(void *user, uint64_t id)
{
    totals_forget_retired(((struct keeper *)user)->totals, id);
}

static bool on_retired(void *user, uint64_t id)
{
    return totals_retired(((struct keeper *)user)->totals, id);
}

void keeper_tidy(struct keeper *keeper)
{
    struct spool_figures figures;
    if (!keeper->spool)
        return;
    spool_tidy(keeper->spool);
    if (!keeper->spooling)
        return;
    spool_figures(keeper->spool, &figures);
    keeper->spooling = figures.spans > 0;
    if (!keeper->spooling)
        log_cause(keeper->env->log, LOG_INFO, "spooled", "the spool is empty again");
}

/* What the rings' ledgers gave to the spool, against what the spool knows of. More in the spool: the ledgers of an
 * earlier run are gone. Less: spans are lost. */
void keeper_snapshot(const struct keeper *keeper, struct stats_snapshot *out)
{
    struct spool_figures figures = {0};
    if (keeper->spool)
        spool_figures(keeper->spool, &figures);
    out->spool = keeper->totals->spool;
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

/* ---- start and end ---- */

static void on_read(void *user, struct spool_record *record, struct buf *request, int err)
{
    struct keeper *keeper = user;
    replay_read(keeper->replay, record, request, err);
}

static int on_claim(void *user, struct spool_record *record, const struct spool_claim *claim)
{
    struct keeper *keeper = user;
    return restore_claim(keeper->restore, record, claim);
}

static void on_committed(void *user, struct spool_record *record)
{
    const struct keeper *keeper = user;
    if (keeper->env->phase < SOURCE_CLOSES) /* else the record is gone */
        spool_claim_committed(record);
}

static void tell_start(struct keeper *keeper, const struct spool_place *place)
{
    struct spool_figures figures;
    spool_figures(keeper->spool, &figures);
    if (figures.spans > 0)
        log_line(keeper->env->log, LOG_INFO, "spool %s: %" PRIu64 " spans of an earlier run are sent, oldest first",
                 place->path, figures.spans);
    if (place->max_bytes > 0)
        log_line(keeper->env->log, LOG_INFO, "spool %s: at most %.1f MiB%s", place->path,
                 (double)place->max_bytes / (1 << 20), place->in_memory ? ", in memory" : "");
}

static int open_spool(struct keeper *keeper, const struct spool_place *place)
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
        .sync = keeper->env->config->spool_sync == CONFIG_SYNC_ALWAYS && !place->in_memory,
        .request_max_bytes = keeper->env->config->max_batch_bytes,
        .create = place->named,
        .transient = place->in_memory,
    };
    int err = spool_open(keeper->env->loop, &options, &callbacks, keeper, keeper->env->log, &keeper->spool);
    if (err)
        return err;
    keeper->spool_takes = place->max_bytes > 0;
    totals_keep_retired(keeper->totals);
    batch_pool_watch(keeper->env->pool, on_committed, keeper);
    tell_start(keeper, place);
    return 0;
}

static int start_spool(struct keeper *keeper)
{
    struct spool_place place;
    int err = spool_place_find(keeper->env->config, getenv("STATE_DIRECTORY"), &place);
    if (err)
        return err;
    if (place.max_bytes > 0 && place.max_bytes < LEAST_BYTES) {
        log_line(keeper->env->log, LOG_WARN,
                 "no spool: %s has no room for one; aistraced.spool.dir names another place", place.path);
        place.max_bytes = 0;
    }
    place.named = place.named && place.max_bytes > 0;
    err = open_spool(keeper, &place);
    if (err && !place.named) {
        log_line(keeper->env->log, LOG_ERROR,
                 "no spool: %s cannot be used: %s; aistraced.spool.dir names another place", place.path,
                 strerror(-err));
        err = 0;
    }
    free(place.path);
    return err;
}

int keeper_start(struct keeper *keeper)
{
    int err = keeper->env->config->spool_dir ? start_spool(keeper) : 0;
    restore_opened(keeper->restore, keeper->spool);
    replay_init(keeper->replay, keeper->env, keeper->spool);
    return err;
}

static void on_spool_closed(void *user)
{
    struct keeper *keeper = user;
    keeper->spool = NULL;
    ending_tell(&keeper->ending);
}

void keeper_close(struct keeper *keeper, void (*closed_cb)(void *user), void *user)
{
    ending_begin(&keeper->ending, closed_cb, user);
    if (keeper->spool)
        spool_close(keeper->spool, on_spool_closed, keeper);
    else
        on_spool_closed(keeper);
}
