/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/timer_grid.h"
#include "source_state.h"

enum { OTHER_DESCRIPTORS = 64 }; /* connections, state file, directories */

static void on_timer(uv_timer_t *timer);
static void on_again(uv_idle_t *idle);

static void turn(struct source *s)
{
    uint64_t began = uv_hrtime();
    bool more;
    struct poll_look look = {.elapsed_ns = began - s->last_pass_ns, .flush_ms = s->config->flush_interval_ms};
    look.bytes = source_read_pass(s, &more);
    look.filled = s->filled;
    s->last_pass_ns = began;
    source_segments_probe_suspects(s);
    if (s->open && (uv_hrtime() >= batch_deadline_ns(s->open) || (s->draining && !more)))
        source_read_seal(s);
    source_pressure_relieve(s);
    source_read_release(s);
    source_segments_dismiss(s);
    source_spool_tidy(s);
    source_replay(s);

    s->poll_ms = poll_pace_next(s->poll_ms, &look);
    if (more && !s->stalled) {
        /* Not by a timer of 0 ms: the loop would run it again and again before it looks at a socket. */
        uv_idle_start(&s->again, on_again);
        return;
    }
    bool idle = s->poll_ms == POLL_PACE_IDLE_MAX_MS;
    uint64_t wait_ms = idle ? timer_grid_ms(s->loop, POLL_PACE_IDLE_MAX_MS) : s->poll_ms;
    if (s->open) {
        uint64_t now = uv_hrtime(), deadline = batch_deadline_ns(s->open);
        uint64_t left_ms = deadline > now ? (deadline - now + 999999) / 1000000 : POLL_PACE_MIN_MS;
        wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
    }
    if (s->suspects)
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
    source_segments_free(s);
    source_restore_free(s);
    shmring_window_free(s->window);
    batch_pool_free(s->pool);
    totals_done(&s->totals);
    ring_dir_close(&s->dir);
    free(s);
}

static size_t most_segments(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > SHMRING_GUARD_MAX + OTHER_DESCRIPTORS)
        return SHMRING_GUARD_MAX;
    return limit.rlim_cur > 2 * OTHER_DESCRIPTORS ? limit.rlim_cur - OTHER_DESCRIPTORS : limit.rlim_cur / 2;
}

static int load_totals(struct source *s)
{
    int err = totals_load(s->dir.fd, &s->totals);
    if (err != -EBADMSG)
        return err;
    log_line(s->log, LOG_WARN, "%s/%s is damaged; counting of finished segments begins at zero", s->dir.path,
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
    s->loop = loop;
    s->config = config;
    s->stats = stats;
    s->log = log;
    s->poll_ms = POLL_PACE_MIN_MS;
    s->tenants = (struct tenants){.own_uid = geteuid(), .segments_max = most_segments()};
    s->last_pass_ns = uv_hrtime();
    s->replay_window = 1;
    err = load_totals(s);
    if (!err)
        err = shmring_window_new(SOURCE_WINDOW_BYTES, &s->window);
    if (!err)
        err = batch_pool_new(&s->pool);
    if (!err)
        err = discovery_start(loop, s->dir.fd, config->ring_dir, &source_segments_callbacks, s, &s->discovery);
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
    int err = source_spool_start(s);
    if (err)
        return err;
    discovery_rescan(s->discovery);
    source_segments_tell_losses(s); /* what outages cost is counted from here */
    source_schedule(s, 0);
    return 0;
}

void source_attach_exporter(struct source *source, struct exporter *exporter)
{
    source->exporter = exporter;
}

void source_reconfigure(struct source *s, const struct config *fresh)
{
    source_read_seal(s); /* what was read before goes with the resources and limits of before */
    s->config = fresh;
    source_segments_publish(s);
    if (!fresh->enabled)
        source_replay_stop(s);
    source_schedule(s, 0);
}

bool source_sending(const struct source *s)
{
    return s->oldest || (s->open && batch_span_count(s->open) > 0);
}

void source_drain(struct source *s)
{
    s->draining = true;
    for (struct segment *segment = s->segments; segment; segment = segment->next) {
        source_segments_probe(s, segment); /* who is stopped together with the daemon has often died a moment before */
        source_read_look_ahead(s, segment);
        segment_set_drain_targets(segment);
    }
    source_replay_stop(s);
    source_schedule(s, 0);
}

void source_rest(struct source *s)
{
    s->resting = true;
    source_schedule(s, 0);
}

static bool farewell_due(const struct source *s, const struct segment *segment)
{
    return segment->owner_dead && segment_quiet(segment) && s->state_retry_ms == 0;
}

bool source_drained(const struct source *s)
{
    if (!s->draining || s->open)
        return false;
    for (const struct segment *segment = s->segments; segment; segment = segment->next)
        if (!segment_drained(segment) || farewell_due(s, segment))
            return false;
    return true;
}

void source_snapshot(const struct source *s, struct stats_snapshot *out)
{
    *out = (struct stats_snapshot){.outcome = s->totals.outcome, .now_ms = uv_now(s->loop), .stats = s->stats};
    outcome_add(&out->outcome, &s->orphaned);
    out->committed = outcome_sum(&out->outcome);
    memcpy(out->producer_dropped, s->totals.producer_dropped, sizeof(out->producer_dropped));
    for (const struct segment *segment = s->segments; segment; segment = segment->next)
        segment_snapshot(segment, out);
    source_spool_figures(s, out);
}

static void on_discovery_closed(void *user)
{
    struct source *s = user;
    void (*closed_cb)(void *) = s->closed_cb;
    void *closed_user = s->closed_user;
    free_source(s);
    if (closed_cb)
        closed_cb(closed_user);
}

static void on_spool_closed(void *user)
{
    struct source *s = user;
    s->spool = NULL;
    discovery_close(s->discovery, on_discovery_closed, s);
}

static void on_idle_closed(uv_handle_t *handle)
{
    struct source *s = handle->data;
    if (s->spool)
        spool_close(s->spool, on_spool_closed, s);
    else
        on_spool_closed(s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct source *s = handle->data;
    uv_close((uv_handle_t *)&s->again, on_idle_closed);
}

void source_close(struct source *s, void (*closed_cb)(void *user), void *user)
{
    s->closing = true;
    s->closed_cb = closed_cb;
    s->closed_user = user;
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}
