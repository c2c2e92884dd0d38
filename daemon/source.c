/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discovery.h"
#include "sampler.h"
#include "segment.h"
#include "shmring.h"
#include "source_drops.h"
#include "totals.h"

enum {
    POLL_MIN_MS = 1,
    POLL_MAX_MS = 100,
    WINDOW_BYTES = 256 << 10, /* copied from one slot at a time */
    PASS_BYTES = 4 << 20,     /* read in one pass before the loop gets its turn */
    STATE_RETRY_MS = 1000,    /* a state file that cannot be written is tried again */
    OTHER_DESCRIPTORS = 64,   /* connections, state file, directories */
};

struct source {
    uv_loop_t *loop;
    const struct config *config;
    struct stats *stats;
    struct log *log;
    struct exporter *exporter;
    int dir_fd;
    int lock_fd;
    struct discovery *discovery;
    uv_timer_t timer;
    uint64_t poll_ms;
    uint64_t last_pass_ns;
    uint64_t state_retry_ms;
    bool draining;
    bool stalled; /* the last pass left data behind because the exporter had no room */
    struct segment *segments;
    struct segment **tail;
    size_t segment_count;
    size_t segments_max; /* each costs a descriptor, and others need some too */
    struct skipped *skipped;
    struct shmring_window *window;
    struct batch_pool *pool;
    struct batch *open;
    struct totals totals;
    struct source_drops drops;
    struct outcome orphaned; /* of batches in flight when their slot was quarantined */
    void (*closed_cb)(void *user);
    void *closed_user;
};

/* A name that is not to be opened again as long as it is there: it was no segment of ours. */
struct skipped {
    struct skipped *next;
    char name[];
};

static void schedule(struct source *s, uint64_t ms);

static uint64_t now_ns(void)
{
    return uv_hrtime();
}

/* ---- batches ---- */

static void release_all(struct source *s)
{
    for (struct segment *segment = s->segments; segment; segment = segment->next)
        segment_release(segment);
}

static void seal_open(struct source *s)
{
    struct batch *batch = s->open;
    if (!batch)
        return;
    if (batch_seal(batch) != 0) {
        log_cause(s->log, LOG_ERROR, "no_memory", uv_now(s->loop), "no memory to seal a batch; trying again");
        return;
    }
    s->open = NULL;
    if (batch_span_count(batch) > 0) {
        exporter_submit(s->exporter, batch);
        return;
    }
    struct batch_outcome nothing_sent = {.exported = true};
    batch_finish(batch, &nothing_sent);
    release_all(s);
}

void source_batch_finished(void *user, struct batch *batch, const struct batch_outcome *outcome)
{
    struct source *s = user;
    batch_finish(batch, outcome);
    release_all(s);
    if (s->stalled)
        schedule(s, 0);
}

/* A span waits for its batch from when it was written, which is after the slot was last looked at: the pass before. */
static struct batch *open_batch(struct source *s)
{
    if (!s->open) {
        struct batch_limits limits = {.max_spans = s->config->max_batch_spans, .max_bytes = s->config->max_batch_bytes};
        uint64_t deadline = s->last_pass_ns + s->config->flush_interval_ms * 1000000;
        if (batch_open(s->pool, &limits, deadline, &s->open) != 0)
            return NULL;
    }
    return s->open;
}

/* ---- draining ---- */

/* -> 0, or -ENOMEM: nothing was done with the record. */
static int take_record(struct source *s, struct segment *segment, uint32_t slot, const struct shmring_view *view)
{
    struct claim_queue *queue = &segment->slots[slot].claims;
    struct span_view span;
    const char *problem;
    bool valid = record_decode(view->payload, view->payload_bytes, view->type, view->flags, &span, &problem) == 0;
    bool send = valid && s->config->enabled && s->exporter && sampler_keep(view->flags);
    for (;;) {
        struct batch *batch = open_batch(s);
        struct claim *claim = batch ? batch_claim(batch, queue, view->begin) : NULL;
        if (!claim)
            return -ENOMEM;
        if (!send) {
            if (!valid)
                claim->outcome.dropped[DROP_INVALID]++;
            else if (!s->config->enabled || !s->exporter)
                claim->outcome.dropped[DROP_DISABLED]++;
            else
                claim->outcome.sampled_out++;
            if (!valid)
                log_cause(s->log, LOG_WARN, "invalid_record", uv_now(s->loop),
                          "segment %s slot %" PRIu32 " position %" PRIu64 ": %s; span dropped", segment->name, slot,
                          view->begin, problem);
            claim->end = view->end;
            return 0;
        }
        switch (batch_add(batch, segment, &segment->resource, &span, &s->stats->invalid_text)) {
        case BATCH_ADDED:
            claim->spans++;
            claim->end = view->end;
            return 0;
        case BATCH_OVERSIZE:
            claim->outcome.dropped[DROP_OVERSIZE]++;
            claim->end = view->end;
            log_cause(s->log, LOG_WARN, "oversize", uv_now(s->loop),
                      "segment %s: a span is larger than aistraced.max_batch_bytes (%" PRIu64 "); dropped",
                      segment->name, s->config->max_batch_bytes);
            return 0;
        case BATCH_FULL:
            seal_open(s);
            if (s->open == batch)
                return -ENOMEM;
            break;
        case BATCH_NO_MEMORY:
            return -ENOMEM;
        }
    }
}

static void note_quarantine(struct source *s, struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    if (segment->slots[slot].quarantine_seen)
        return;
    log_line(s->log, LOG_ERROR,
             "segment %s slot %" PRIu32 " position %" PRIu64 ": %s; slot quarantined, %" PRIu64 " bytes unreadable",
             segment->name, slot, status->problem_position, status->problem, status->end - status->read);
    segment_note_quarantine(segment, slot, s->stats, &s->orphaned);
}

/* Learns how far each slot has been written. */
static void look_ahead(struct source *s, struct segment *segment)
{
    uint32_t slots = shmring_reader_slots(segment->reader);
    for (uint32_t slot = 0; slot < slots; slot++)
        if (shmring_reader_look(segment->reader, slot) == -EBADMSG)
            note_quarantine(s, segment, slot);
}

/* Bounds what of one ring waits in the open batch, so that its producer keeps room to write. Only what the ring itself
 * has in the batch is held against it: a ring that waits for an acknowledgement must not cut the batches of others, nor
 * its own into crumbs, of which the exporter could hold only a few. */
static void relieve_pressure(struct source *s, struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    const struct claim *claim = segment->slots[slot].claims.tail;
    uint64_t ring_bytes = shmring_reader_header(segment->reader)->ring_bytes;
    if (s->open && claim && claim->batch == s->open && status->read - status->ledger.cpos > ring_bytes / 4 &&
        status->read - claim->begin > ring_bytes / 8)
        seal_open(s);
}

static bool has_room(const struct source *s)
{
    return !s->exporter || exporter_has_room(s->exporter);
}

/* -> bytes taken from the slot */
static uint64_t drain_slot(struct source *s, struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    if (status->health != SHMRING_SLOT_SOUND) {
        note_quarantine(s, segment, slot);
        return 0;
    }
    if (s->draining && status->read >= segment->slots[slot].drain_target)
        return 0;
    if (!has_room(s)) {
        s->stalled = true;
        return 0;
    }
    uint64_t begin = status->read;
    ssize_t filled = shmring_reader_fill(segment->reader, slot, s->window);
    struct shmring_view view;
    int next = filled == -EBADMSG ? -EBADMSG : 0;
    while (filled > 0 && has_room(s) && (next = shmring_reader_next(s->window, &view)) == 1) {
        if (take_record(s, segment, slot, &view) == 0)
            continue;
        shmring_reader_unread(segment->reader, slot, &view);
        log_cause(s->log, LOG_ERROR, "no_memory", uv_now(s->loop), "no memory for spans; they wait in their rings");
        s->stalled = true;
        break;
    }
    if (next == -EBADMSG)
        note_quarantine(s, segment, slot);
    relieve_pressure(s, segment, slot);
    return status->read - begin;
}

static void rotate(struct source *s)
{
    struct segment *first = s->segments;
    if (!first->next)
        return;
    s->segments = first->next;
    first->next = NULL;
    *s->tail = first;
    s->tail = &first->next;
}

/* For fairness the list of segments rotates, and within a segment the slot after the last one read is the next one's
 * first, so that a pass that runs out of its budget, or of the exporter's room, goes on where it stopped.
 * -> bytes read; *more when data was left for the next pass. */
static uint64_t pass(struct source *s, bool *more)
{
    uint64_t total = 0;
    bool spent = false;
    s->stalled = false;
    *more = false;
    for (size_t n = s->segment_count; n > 0 && !s->stalled && !spent; n--) {
        struct segment *segment = s->segments;
        uint32_t slots = shmring_reader_slots(segment->reader);
        uint64_t before = total;
        for (uint32_t i = 0; i < slots && !s->stalled && !spent; i++) {
            uint32_t slot = segment->next_slot < slots ? segment->next_slot : 0;
            uint64_t bytes = drain_slot(s, segment, slot);
            if (!s->stalled || bytes > 0)
                segment->next_slot = slot + 1;
            total += bytes;
            *more |= bytes >= WINDOW_BYTES / 2;
            spent = total >= PASS_BYTES;
        }
        if (!s->stalled || total > before)
            rotate(s);
    }
    *more |= spent;
    return total;
}

/* ---- segments ---- */

static struct resource_settings resource_settings(const struct config *config)
{
    return (struct resource_settings){.service_prefix = config->service_prefix,
                                      .attributes = config->attributes,
                                      .attribute_count = config->attribute_count};
}

static void publish(struct source *s, struct segment *segment)
{
    uint64_t flags = SHMRING_CONTROL_PUBLISHED | (s->config->enabled ? 0 : SHMRING_CONTROL_DISABLED);
    shmring_reader_publish(segment->reader, flags, sampler_threshold(s->config->probability));
}

/* What stays is found again, and must still be known as noted. */
static void unlink_noted(struct source *s, const struct segment *segment)
{
    if (unlinkat(s->dir_fd, segment->name, 0) == 0 || errno == ENOENT)
        totals_unlinked(&s->totals, segment->instance);
    else
        log_cause(s->log, LOG_WARN, "unlink", uv_now(s->loop), "cannot remove segment %s from %s: %s", segment->name,
                  s->config->ring_dir, strerror(errno));
}

static bool is_skipped(const struct source *s, const char *name)
{
    for (const struct skipped *skipped = s->skipped; skipped; skipped = skipped->next)
        if (strcmp(skipped->name, name) == 0)
            return true;
    return false;
}

static void skip(struct source *s, const char *name, int err)
{
    size_t bytes = strlen(name) + 1;
    struct skipped *skipped = malloc(sizeof(*skipped) + bytes);
    if (skipped) {
        memcpy(skipped->name, name, bytes);
        skipped->next = s->skipped;
        s->skipped = skipped;
    }
    s->stats->segments_skipped++;
    if (err == -EPROTONOSUPPORT)
        log_cause(s->log, LOG_WARN, "segment_version", uv_now(s->loop),
                  "segment %s is of a version or mode this daemon does not know; left alone: run an aistraced that "
                  "matches the program's libaistrace",
                  name);
    else
        log_cause(s->log, LOG_WARN, "segment_unsound", uv_now(s->loop), "%s in %s is not a sound segment (%s); ignored",
                  name, s->config->ring_dir, strerror(-err));
}

static void forget_removed(struct source *s)
{
    for (struct skipped **at = &s->skipped, *skipped; (skipped = *at);) {
        if (faccessat(s->dir_fd, skipped->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT) {
            at = &skipped->next;
            continue;
        }
        *at = skipped->next;
        free(skipped);
    }
}

static void on_found(void *user, const char *name)
{
    struct source *s = user;
    for (struct segment *segment = s->segments; segment; segment = segment->next)
        if (strcmp(segment->name, name) == 0)
            return;
    if (is_skipped(s, name))
        return;
    struct segment *segment;
    int err = s->segment_count < s->segments_max ? segment_open(s->dir_fd, name, &segment) : -EMFILE;
    if (err == -ENOENT)
        return;
    if (err == -EAGAIN || err == -ENOMEM || err == -EMFILE || err == -ENFILE) {
        if (err != -EAGAIN)
            log_cause(s->log, LOG_WARN, "segment_waits", uv_now(s->loop),
                      "segment %s has to wait, %zu are attached: %s; spans stay in its rings meanwhile", name,
                      s->segment_count, strerror(-err));
        discovery_force_rescan(s->discovery);
        return;
    }
    if (err) {
        skip(s, name, err);
        return;
    }
    if (totals_noted(&s->totals, segment->instance)) {
        if (!shmring_reader_owner_alive(segment->reader))
            unlink_noted(s, segment);
        segment_close(segment);
        return;
    }
    struct resource_settings settings = resource_settings(s->config);
    if (segment_encode_resource(segment, &settings, &s->stats->invalid_text) != 0) {
        segment_close(segment);
        discovery_force_rescan(s->discovery);
        return;
    }
    publish(s, segment);
    segment->watch = discovery_watch(s->discovery, name);
    *s->tail = segment;
    s->tail = &segment->next;
    s->segment_count++;
    log_line(s->log, LOG_DEBUG, "attached segment %s (uid %u)", name, (unsigned)shmring_reader_uid(segment->reader));
    s->poll_ms = POLL_MIN_MS; /* its producer is about to write */
    schedule(s, 0);
}

static void probe_owner(struct source *s, struct segment *segment)
{
    if (segment->owner_dead || shmring_reader_owner_alive(segment->reader))
        return;
    segment->owner_dead = true;
    segment->probes_left = 0;
    look_ahead(s, segment); /* at its last words, which no pass may have seen */
    schedule(s, 0);
}

static void on_segment_closed(void *user, int watch)
{
    struct source *s = user;
    for (struct segment *segment = s->segments; segment; segment = segment->next) {
        if (segment->watch != watch)
            continue;
        probe_owner(s, segment);
        if (!segment->owner_dead) { /* the event precedes the unlocking: again after 1, 10 and 100 ms */
            segment->probes_left = 3;
            segment->probe_at_ms = uv_now(s->loop) + 1;
            schedule(s, 1);
        }
        return;
    }
}

static void probe_suspects(struct source *s)
{
    static const uint64_t again_ms[] = {0, 100, 10};
    for (struct segment *segment = s->segments; segment; segment = segment->next) {
        if (segment->probes_left == 0 || uv_now(s->loop) < segment->probe_at_ms)
            continue;
        segment->probes_left--;
        segment->probe_at_ms = uv_now(s->loop) + again_ms[segment->probes_left];
        probe_owner(s, segment);
    }
}

/* Somebody removed the ring directory: producers make it anew, and so must whoever reads them. What is attached stays
 * so until its owners are gone. */
static void follow_directory(struct source *s)
{
    struct stat mine, there;
    if (fstat(s->dir_fd, &mine) != 0 ||
        (lstat(s->config->ring_dir, &there) == 0 && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino))
        return;
    int dir_fd = shmring_dir_open(s->config->ring_dir, (uid_t)-1);
    int lock_fd = dir_fd < 0 ? dir_fd : shmring_dir_lock(dir_fd);
    if (lock_fd < 0) {
        if (dir_fd >= 0)
            close(dir_fd);
        log_cause(s->log, LOG_ERROR, "ring_dir", uv_now(s->loop), "%s was removed, and cannot be read anew: %s",
                  s->config->ring_dir, strerror(-lock_fd));
        return;
    }
    close(s->lock_fd);
    close(s->dir_fd);
    s->dir_fd = dir_fd;
    s->lock_fd = lock_fd;
    discovery_move(s->discovery, dir_fd);
    discovery_rescan(s->discovery);
    log_cause(s->log, LOG_WARN, "ring_dir", uv_now(s->loop), "%s was removed; reading the new one",
              s->config->ring_dir);
}

static void tell_drops(struct source *s)
{
    struct stats_snapshot now;
    source_snapshot(s, &now);
    source_drops_tell(&s->drops, now.producer_dropped, now.now_ms, s->log);
}

/* A lock file that somebody removed keeps nobody out: another takes its place, before another daemon does. */
static void keep_lock(struct source *s)
{
    struct stat st;
    if (fstat(s->lock_fd, &st) != 0 || st.st_nlink > 0)
        return;
    int lock_fd = shmring_dir_lock(s->dir_fd);
    if (lock_fd < 0) {
        log_cause(s->log, LOG_ERROR, "lock", uv_now(s->loop), "the lock file of %s was removed, and not to be had: %s",
                  s->config->ring_dir, strerror(-lock_fd));
        return;
    }
    close(s->lock_fd);
    s->lock_fd = lock_fd;
}

static void on_tick(void *user)
{
    struct source *s = user;
    follow_directory(s);
    keep_lock(s);
    forget_removed(s);
    for (struct segment *segment = s->segments; segment; segment = segment->next)
        probe_owner(s, segment);
    tell_drops(s);
    log_flush(s->log, uv_now(s->loop), false);
}

/* Notes, unlinks and forgets a segment whose owner is dead and whose every span is settled. -> true when gone. */
static bool bid_farewell(struct source *s, struct segment *segment)
{
    if (!segment->owner_dead || !segment_quiet(segment) || uv_now(s->loop) < s->state_retry_ms)
        return false;
    struct totals before = s->totals;
    segment_farewell(segment, &s->totals);
    int err = totals_note(&s->totals, s->dir_fd, segment->instance);
    if (err) {
        before.noted = s->totals.noted;
        before.noted_count = s->totals.noted_count;
        s->totals = before;
        s->state_retry_ms = uv_now(s->loop) + STATE_RETRY_MS;
        log_cause(s->log, LOG_WARN, "state_file", uv_now(s->loop), "cannot write %s/%s: %s; finished segments stay",
                  s->config->ring_dir, TOTALS_FILE, strerror(-err));
        return false;
    }
    discovery_unwatch(s->discovery, segment->watch);
    unlink_noted(s, segment);
    log_line(s->log, LOG_DEBUG, "segment %s finished", segment->name);
    return true;
}

/* A batch still open may borrow the resource of a segment that goes. */
static void dismiss_finished(struct source *s)
{
    for (struct segment **at = &s->segments; *at;) {
        struct segment *segment = *at;
        if (!bid_farewell(s, segment)) {
            at = &segment->next;
            continue;
        }
        *at = segment->next;
        if (!segment->next)
            s->tail = at;
        s->segment_count--;
        segment_close(segment);
    }
}

/* ---- the clockwork ---- */

static void on_timer(uv_timer_t *timer)
{
    struct source *s = timer->data;
    uint64_t began = now_ns();
    bool more;
    uint64_t bytes = pass(s, &more);
    s->last_pass_ns = began;
    probe_suspects(s);
    if (s->open && (now_ns() >= batch_deadline_ns(s->open) || (s->draining && !more)))
        seal_open(s);
    release_all(s);
    dismiss_finished(s);

    s->poll_ms = bytes > 0 ? POLL_MIN_MS : s->poll_ms * 2;
    if (s->poll_ms > POLL_MAX_MS)
        s->poll_ms = POLL_MAX_MS;
    uint64_t wait_ms = more && !s->stalled ? 0 : s->poll_ms;
    if (s->open) {
        uint64_t now = now_ns(), deadline = batch_deadline_ns(s->open);
        uint64_t left_ms = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
        wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
    }
    for (struct segment *segment = s->segments; segment; segment = segment->next)
        if (segment->probes_left > 0 && wait_ms > POLL_MIN_MS)
            wait_ms = POLL_MIN_MS;
    uv_timer_start(&s->timer, on_timer, wait_ms, 0);
}

static void schedule(struct source *s, uint64_t ms)
{
    if (uv_is_closing((uv_handle_t *)&s->timer))
        return;
    if (!uv_is_active((uv_handle_t *)&s->timer) || uv_timer_get_due_in(&s->timer) > ms)
        uv_timer_start(&s->timer, on_timer, ms, 0);
}

static void free_source(struct source *s)
{
    for (struct segment *segment; (segment = s->segments);) {
        uint32_t slots = shmring_reader_header(segment->reader)->slot_count;
        for (uint32_t i = 0; i < slots; i++)
            claim_abandon(&segment->slots[i].claims, &s->orphaned);
        s->segments = segment->next;
        segment_close(segment);
    }
    for (struct skipped *skipped; (skipped = s->skipped);) {
        s->skipped = skipped->next;
        free(skipped);
    }
    shmring_window_free(s->window);
    batch_pool_free(s->pool);
    totals_done(&s->totals);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    free(s);
}

static size_t most_segments(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return limit.rlim_cur > 2 * OTHER_DESCRIPTORS ? limit.rlim_cur - OTHER_DESCRIPTORS : limit.rlim_cur / 2;
}

int source_start(uv_loop_t *loop, const struct config *config, struct stats *stats, struct log *log,
                 struct source **out)
{
    struct source *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->loop = loop;
    s->config = config;
    s->stats = stats;
    s->log = log;
    s->tail = &s->segments;
    s->poll_ms = POLL_MIN_MS;
    s->segments_max = most_segments();
    s->last_pass_ns = now_ns();
    s->dir_fd = s->lock_fd = -1;
    int err = s->dir_fd = shmring_dir_open(config->ring_dir, (uid_t)-1);
    if (err < 0)
        goto fail;
    err = s->lock_fd = shmring_dir_lock(s->dir_fd);
    if (err < 0)
        goto fail;
    err = totals_load(s->dir_fd, &s->totals);
    if (err == -EBADMSG)
        log_line(log, LOG_WARN, "%s/%s is damaged; counting of finished segments begins at zero", config->ring_dir,
                 TOTALS_FILE);
    else if (err)
        goto fail;
    err = shmring_window_new(WINDOW_BYTES, &s->window);
    if (!err)
        err = batch_pool_new(&s->pool);
    if (err)
        goto fail;
    struct discovery_callbacks callbacks = {on_found, on_segment_closed, on_tick};
    err = discovery_start(loop, s->dir_fd, config->ring_dir, &callbacks, s, &s->discovery);
    if (err)
        goto fail;
    source_drops_init(&s->drops, s->totals.producer_dropped);
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    discovery_rescan(s->discovery);
    schedule(s, 0);
    *out = s;
    return 0;
fail:
    free_source(s);
    return err;
}

void source_attach_exporter(struct source *source, struct exporter *exporter)
{
    source->exporter = exporter;
}

void source_publish(struct source *s)
{
    seal_open(s); /* what was read before goes with the resources of before */
    struct resource_settings settings = resource_settings(s->config);
    for (struct segment *segment = s->segments; segment; segment = segment->next) {
        publish(s, segment);
        if (segment_encode_resource(segment, &settings, &s->stats->invalid_text) != 0)
            log_cause(s->log, LOG_ERROR, "no_memory", uv_now(s->loop), "no memory for a resource block");
    }
}

void source_drain(struct source *s)
{
    s->draining = true;
    for (struct segment *segment = s->segments; segment; segment = segment->next) {
        probe_owner(s, segment); /* who is stopped together with the daemon has often died a moment before */
        look_ahead(s, segment);
        segment_set_drain_targets(segment);
    }
    schedule(s, 0);
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

static void on_timer_closed(uv_handle_t *handle)
{
    struct source *s = handle->data;
    discovery_close(s->discovery, on_discovery_closed, s);
}

void source_close(struct source *s, void (*closed_cb)(void *user), void *user)
{
    s->closed_cb = closed_cb;
    s->closed_user = user;
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}
