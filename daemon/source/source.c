/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/timer_grid.h"
#include "source_state.h"
#include "span/sampler.h"

static void on_timer(uv_timer_t *timer);
static void on_again(uv_idle_t *idle);

static void turn(struct source *s)
{
    uint64_t began = uv_hrtime();
    bool more;
    struct poll_look look = {.elapsed_ns = began - s->last_pass_ns, .flush_ms = s->env.config->flush_interval_ms};
    look.bytes = source_read_pass(s, &more);
    look.filled = s->filled;
    s->last_pass_ns = began;
    segments_probe_suspects(&s->segments);
    if (s->open && (uv_hrtime() >= batch_deadline_ns(s->open) || (s->env.phase >= SOURCE_DRAINS && !more)))
        source_read_seal(s);
    if (pressure_relieve(&s->pressure, s->open, s->stalled))
        s->poll_ms = POLL_PACE_MIN_MS;
    segments_release(s->env.pool);
    segments_dismiss(&s->segments);
    keeper_tidy(&s->keeper);
    replay_send(&s->replay);

    s->poll_ms = poll_pace_next(s->poll_ms, &look);
    if (more && !s->stalled) {
        /* Not by a timer of 0 ms: the loop would run it again and again before it looks at a socket. */
        uv_idle_start(&s->again, on_again);
        return;
    }
    bool idle = s->poll_ms == POLL_PACE_IDLE_MAX_MS;
    uint64_t wait_ms = idle ? timer_grid_ms(uv_now(s->env.loop), POLL_PACE_IDLE_MAX_MS) : s->poll_ms;
    if (s->open) {
        uint64_t now = uv_hrtime(), deadline = batch_deadline_ns(s->open);
        uint64_t left_ms = deadline > now ? (deadline - now + 999999) / 1000000 : POLL_PACE_MIN_MS;
        wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
    }
    if (s->segments.suspects)
        wait_ms = POLL_PACE_MIN_MS;
    uv_timer_start(&s->timer, on_timer, wait_ms, 0);
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

void source_schedule(struct source *s, uint64_t ms)
{
    if (uv_is_closing((uv_handle_t *)&s->timer))
        return;
    if (!uv_is_active((uv_handle_t *)&s->timer) || uv_timer_get_due_in(&s->timer) > ms)
        uv_timer_start(&s->timer, on_timer, ms, 0);
}

static void free_source(struct source *s)
{
    segments_done(&s->segments);
    restore_done(&s->restore);
    shmring_window_free(s->window);
    batch_pool_free(s->env.pool);
    totals_done(&s->totals);
    ring_dir_close(&s->dir);
    free(s);
}

/* ---- what others tell ---- */

static void on_released(void *user)
{
    struct source *s = user;
    segments_release(s->env.pool);
    if (s->stalled)
        source_schedule(s, 0);
}

void source_batch_finished(void *user, struct batch *batch, const struct batch_outcome *outcome)
{
    struct source *s = user;
    keeper_settle(&s->keeper, batch, outcome);
}

static int on_attach(void *user, struct segment *segment)
{
    struct source *s = user;
    int err = restore_attach(&s->restore, segment);
    if (!err)
        s->poll_ms = POLL_PACE_MIN_MS; /* its producer is about to write */
    return err;
}

static void on_slot_lost(void *user, struct segment_slot *slot)
{
    struct source *s = user;
    restore_drop(&s->restore, slot);
}

static void on_wake(void *user, uint64_t within_ms)
{
    source_schedule(user, within_ms);
}

static void tell_losses(struct source *s)
{
    struct stats_snapshot now;
    source_snapshot(s, &now);
    losses_tell_drops(&s->losses, &now, s->env.log);
    losses_tell_outage(&s->losses, &now, s->env.config->endpoint, s->env.stats, s->env.log);
}

static void on_tick(void *user)
{
    struct source *s = user;
    restore_forget_gone(&s->restore);
    tell_losses(s);
    log_flush(s->env.log, false);
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

static int load_totals(struct source *s)
{
    int err = totals_load(s->dir.fd, &s->totals);
    if (err != -EBADMSG)
        return err;
    log_line(s->env.log, LOG_WARN, "%s/%s is damaged; counting of finished segments begins at zero", s->dir.path,
             TOTALS_FILE);
    return 0;
}

int source_open(uv_loop_t *loop, const struct config *config, struct stats *stats, struct log *log, struct source **out)
{
    struct source *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int err = ring_dir_open(&s->dir, config->ring_dir, log);
    if (err) {
        free(s);
        return err;
    }
    s->env = (struct source_env){.loop = loop, .config = config, .stats = stats, .log = log};
    s->poll_ms = POLL_PACE_MIN_MS;
    s->restore = (struct restore){.env = &s->env, .segments = &s->segments};
    s->keeper = (struct keeper){.env = &s->env,
                                .dir = &s->dir,
                                .totals = &s->totals,
                                .restore = &s->restore,
                                .replay = &s->replay,
                                .released_cb = on_released,
                                .user = s};
    s->pressure = (struct pressure){.env = &s->env, .segments = &s->segments, .keeper = &s->keeper};
    s->segments = (struct segments){.loop = loop,
                                    .stats = stats,
                                    .log = log,
                                    .dir = &s->dir,
                                    .totals = &s->totals,
                                    .callbacks = &segments_callbacks,
                                    .user = s,
                                    .settings = settings_of(config)};
    s->last_pass_ns = uv_hrtime();
    err = load_totals(s);
    if (!err)
        err = shmring_window_new(SOURCE_WINDOW_BYTES, &s->window);
    if (!err)
        err = batch_pool_new(&s->env.pool);
    if (!err)
        err = segments_start(&s->segments);
    if (err) {
        free_source(s);
        return err;
    }
    losses_init(&s->losses, s->totals.producer_dropped);
    uv_timer_init(loop, &s->timer);
    uv_idle_init(loop, &s->again);
    s->timer.data = s->again.data = s;
    *out = s;
    return 0;
}

int source_start(struct source *s)
{
    int err = keeper_start(&s->keeper);
    if (err)
        return err;
    segments_scan(&s->segments);
    tell_losses(s); /* what outages cost is counted from here */
    source_schedule(s, 0);
    return 0;
}

void source_attach_exporter(struct source *source, struct exporter *exporter)
{
    source->env.exporter = exporter;
}

void source_reconfigure(struct source *s, const struct config *fresh)
{
    source_read_seal(s); /* what was read before goes with the resources and limits of before */
    s->env.config = fresh;
    struct segments_settings settings = settings_of(fresh);
    segments_publish(&s->segments, &settings);
    if (!fresh->enabled)
        keeper_stop_replay(&s->keeper);
    source_schedule(s, 0);
}

bool source_sending(const struct source *s)
{
    return s->keeper.count > 0 || (s->open && batch_span_count(s->open) > 0);
}

void source_drain(struct source *s)
{
    s->env.phase = SOURCE_DRAINS;
    segments_set_drain_targets(&s->segments);
    keeper_stop_replay(&s->keeper);
    source_schedule(s, 0);
}

void source_rest(struct source *s)
{
    s->env.phase = SOURCE_RESTS;
    source_schedule(s, 0);
}

bool source_drained(const struct source *s)
{
    return s->env.phase >= SOURCE_DRAINS && !s->open && segments_drained(&s->segments);
}

void source_snapshot(const struct source *s, struct stats_snapshot *out)
{
    *out = (struct stats_snapshot){.now_ms = uv_now(s->env.loop), .stats = s->env.stats};
    segments_snapshot(&s->segments, out);
    keeper_snapshot(&s->keeper, out);
}

static void on_segments_closed(void *user)
{
    struct source *s = user;
    void (*closed_cb)(void *) = s->closed_cb;
    void *closed_user = s->closed_user;
    free_source(s);
    if (closed_cb)
        closed_cb(closed_user);
}

static void on_keeper_closed(void *user)
{
    struct source *s = user;
    segments_close(&s->segments, on_segments_closed, s);
}

static void on_idle_closed(uv_handle_t *handle)
{
    struct source *s = handle->data;
    keeper_close(&s->keeper, on_keeper_closed, s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct source *s = handle->data;
    uv_close((uv_handle_t *)&s->again, on_idle_closed);
}

void source_close(struct source *s, void (*closed_cb)(void *user), void *user)
{
    s->env.phase = SOURCE_CLOSES;
    s->closed_cb = closed_cb;
    s->closed_user = user;
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}
