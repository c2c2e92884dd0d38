/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ending.h"
#include "base/timer_grid.h"
#include "keeper.h"
#include "losses.h"
#include "poll_pace.h"
#include "pressure.h"
#include "replay.h"
#include "restore.h"
#include "ring/ring_dir.h"
#include "ring/segments.h"
#include "ring/totals.h"
#include "source_env.h"
#include "source_read.h"
#include "span/sampler.h"

struct source {
    struct source_env env;
    struct ring_dir dir;
    struct totals totals;
    struct segments segments;
    struct restore restore;
    struct replay replay;
    struct keeper keeper;
    struct pressure pressure;
    struct source_read reading;
    struct losses losses;
    uv_timer_t timer; /* the next pass, when there is time until then */
    uv_idle_t again;  /* the next pass at once */
    uint64_t poll_ms;
    struct ending ending;
};

/* ---- passes ---- */

static void on_timer(uv_timer_t *timer);
static void on_again(uv_idle_t *idle);

static bool seal_is_due(const struct source *source, bool more)
{
    const struct batch *open = source->reading.open;
    return open && (uv_hrtime() >= batch_deadline_ns(open) || (source->env.phase >= SOURCE_DRAINS && !more));
}

static uint64_t until_next_ms(const struct source *source)
{
    const struct batch *open = source->reading.open;
    bool idle = source->poll_ms == POLL_PACE_IDLE_MAX_MS;
    uint64_t wait_ms = idle ? timer_grid_ms(uv_now(source->env.loop), POLL_PACE_IDLE_MAX_MS) : source->poll_ms;
    if (source->segments.suspects)
        return POLL_PACE_MIN_MS;
    if (!open)
        return wait_ms;
    uint64_t now = uv_hrtime(), deadline = batch_deadline_ns(open);
    uint64_t left_ms = deadline > now ? (deadline - now + 999999) / 1000000 : POLL_PACE_MIN_MS;
    return left_ms < wait_ms ? left_ms : wait_ms;
}

static void turn(struct source *source)
{
    struct poll_look look;
    bool more = source_read_pass(&source->reading, &look);
    segments_probe_suspects(&source->segments);
    if (seal_is_due(source, more))
        source_read_seal(&source->reading);
    if (pressure_relieve(&source->pressure, source->reading.open, source->reading.stalled))
        source->poll_ms = POLL_PACE_MIN_MS;
    segments_release(source->env.pool);
    segments_dismiss(&source->segments);
    keeper_tidy(&source->keeper);
    replay_send(&source->replay);

    source->poll_ms = poll_pace_next(source->poll_ms, &look);
    if (more && !source->reading.stalled) {
        /* Not by a timer of 0 ms: the loop would run it again and again before it looks at a socket. */
        uv_idle_start(&source->again, on_again);
        return;
    }
    uv_timer_start(&source->timer, on_timer, until_next_ms(source), 0);
}

static void on_timer(uv_timer_t *timer)
{
    turn(timer->data);
}

static void on_again(uv_idle_t *idle)
{
    uv_idle_stop(idle);
    turn(idle->data);
}

/* Makes the next pass come within ms. */
static void schedule(struct source *source, uint64_t ms)
{
    if (uv_is_closing((uv_handle_t *)&source->timer))
        return;
    if (!uv_is_active((uv_handle_t *)&source->timer) || uv_timer_get_due_in(&source->timer) > ms)
        uv_timer_start(&source->timer, on_timer, ms, 0);
}

static void free_source(struct source *source)
{
    segments_done(&source->segments);
    restore_done(&source->restore);
    source_read_done(&source->reading);
    batch_pool_free(source->env.pool);
    totals_done(&source->totals);
    ring_dir_close(&source->dir);
    free(source);
}

/* ---- what others tell ---- */

static void on_released(void *user)
{
    struct source *source = user;
    segments_release(source->env.pool);
    if (source->reading.stalled)
        schedule(source, 0);
}

void source_batch_finished(void *user, struct batch *batch, const struct batch_outcome *outcome)
{
    struct source *source = user;
    keeper_settle(&source->keeper, batch, outcome);
}

static int on_attach(void *user, struct segment *segment)
{
    struct source *source = user;
    int err = restore_attach(&source->restore, segment);
    if (!err)
        source->poll_ms = POLL_PACE_MIN_MS; /* its producer is about to write */
    return err;
}

static void on_slot_lost(void *user, struct segment_slot *slot)
{
    struct source *source = user;
    restore_drop(&source->restore, slot);
}

static void on_wake(void *user, uint64_t within_ms)
{
    schedule(user, within_ms);
}

static void tell_losses(struct source *source)
{
    struct stats_snapshot now;
    source_snapshot(source, &now);
    losses_tell_drops(&source->losses, &now, source->env.log);
    losses_tell_outage(&source->losses, &now, source->env.config->endpoint, source->env.stats, source->env.log);
}

static void on_tick(void *user)
{
    struct source *source = user;
    restore_forget_gone(&source->restore);
    tell_losses(source);
    log_flush(source->env.log, false);
}

static const struct segments_callbacks segments_callbacks = {on_attach, on_slot_lost, on_wake, on_tick};

static struct segments_settings settings_of(const struct config *config)
{
    return (struct segments_settings){.resource = {.service_prefix = config->service_prefix,
                                                   .attributes = config->attributes,
                                                   .attribute_count = config->attribute_count},
                                      .enabled = config->enabled,
                                      .sampling_threshold = sampler_threshold(config->probability)};
}

/* ---- start ---- */

static int load_totals(struct source *source)
{
    int err = totals_load(source->dir.fd, &source->totals);
    if (err != -EBADMSG)
        return err;
    log_line(source->env.log, LOG_WARN, "%s/%s is damaged; counting of finished segments begins at zero",
             source->dir.path, TOTALS_FILE);
    return 0;
}

static void put_together(struct source *source)
{
    const struct source_env *env = &source->env;
    source->segments = (struct segments){.loop = env->loop,
                                         .stats = env->stats,
                                         .log = env->log,
                                         .dir = &source->dir,
                                         .totals = &source->totals,
                                         .callbacks = &segments_callbacks,
                                         .user = source,
                                         .settings = settings_of(env->config)};
    source->restore = (struct restore){.env = env, .segments = &source->segments};
    source->keeper = (struct keeper){.env = env,
                                     .dir = &source->dir,
                                     .totals = &source->totals,
                                     .restore = &source->restore,
                                     .replay = &source->replay,
                                     .released_cb = on_released,
                                     .user = source};
    source->pressure = (struct pressure){.env = env, .segments = &source->segments, .keeper = &source->keeper};
    source->reading = (struct source_read){.env = env,
                                           .segments = &source->segments,
                                           .restore = &source->restore,
                                           .keeper = &source->keeper,
                                           .pressure = &source->pressure};
}

int source_open(uv_loop_t *loop, const struct config *config, struct stats *stats, struct log *log, struct source **out)
{
    struct source *source = calloc(1, sizeof(*source));
    if (!source)
        return -ENOMEM;
    int err = ring_dir_open(&source->dir, config->ring_dir, log);
    if (err) {
        free(source);
        return err;
    }
    source->env = (struct source_env){.loop = loop, .config = config, .stats = stats, .log = log};
    source->poll_ms = POLL_PACE_MIN_MS;
    put_together(source);
    err = load_totals(source);
    if (!err)
        err = source_read_start(&source->reading);
    if (!err)
        err = batch_pool_new(&source->env.pool);
    if (!err)
        err = segments_start(&source->segments);
    if (err) {
        free_source(source);
        return err;
    }
    losses_init(&source->losses, source->totals.producer_dropped);
    uv_timer_init(loop, &source->timer);
    uv_idle_init(loop, &source->again);
    source->timer.data = source->again.data = source;
    *out = source;
    return 0;
}

int source_start(struct source *source)
{
    int err = keeper_start(&source->keeper);
    if (err)
        return err;
    segments_scan(&source->segments);
    tell_losses(source); /* what outages cost is counted from here */
    schedule(source, 0);
    return 0;
}

void source_attach_exporter(struct source *source, struct exporter *exporter)
{
    source->env.exporter = exporter;
}

void source_reconfigure(struct source *source, const struct config *fresh)
{
    source_read_seal(&source->reading); /* spans read before go with the settings of before */
    source->env.config = fresh;
    struct segments_settings settings = settings_of(fresh);
    segments_publish(&source->segments, &settings);
    if (!fresh->enabled)
        keeper_stop_replay(&source->keeper);
    schedule(source, 0);
}

bool source_sending(const struct source *source)
{
    return source->keeper.count > 0 || (source->reading.open && batch_span_count(source->reading.open) > 0);
}

static void enter(struct source *source, enum source_phase phase)
{
    if (source->env.phase < phase)
        source->env.phase = phase;
}

void source_drain(struct source *source)
{
    enter(source, SOURCE_DRAINS);
    segments_set_drain_targets(&source->segments);
    keeper_stop_replay(&source->keeper);
    schedule(source, 0);
}

void source_rest(struct source *source)
{
    enter(source, SOURCE_RESTS);
    schedule(source, 0);
}

bool source_drained(const struct source *source)
{
    return source->env.phase >= SOURCE_DRAINS && !source->reading.open && segments_drained(&source->segments);
}

void source_snapshot(const struct source *source, struct stats_snapshot *out)
{
    *out = (struct stats_snapshot){.now_ms = uv_now(source->env.loop), .stats = source->env.stats};
    segments_snapshot(&source->segments, out);
    keeper_snapshot(&source->keeper, out);
}

/* ---- end ---- */

static void release(struct source *source)
{
    if (!ending_release(&source->ending))
        return;
    struct ending ending = source->ending;
    free_source(source);
    ending_tell(&ending);
}

static void on_handle_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void on_segments_closed(void *user)
{
    release(user);
}

static void on_keeper_closed(void *user)
{
    struct source *source = user;
    segments_close(&source->segments, on_segments_closed, source);
}

void source_close(struct source *source, void (*closed_cb)(void *user), void *user)
{
    enter(source, SOURCE_CLOSES);
    ending_begin(&source->ending, closed_cb, user);
    ending_hold(&source->ending, 3); /* two handles; and the segments, once the spool is closed */
    uv_close((uv_handle_t *)&source->timer, on_handle_closed);
    uv_close((uv_handle_t *)&source->again, on_handle_closed);
    keeper_close(&source->keeper, on_keeper_closed, source);
}
