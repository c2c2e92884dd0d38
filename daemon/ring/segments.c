/* SPDX-License-Identifier: MIT */
#include "segments.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STATE_RETRY_MS = 1000,  /* a state file that cannot be written is tried again */
    PROBE_TICKS = 5,        /* until every segment has been looked at without a reason */
    OTHER_DESCRIPTORS = 64, /* connections, state file, directories */
};

/* A file that was not a sound segment of a known version. It is not opened again as long as it is there. */
struct skipped {
    struct skipped *next;
    struct tenant *tenant;
    char name[];
};

static void publish(const struct segments *segments, struct segment *segment)
{
    uint64_t flags = SHMRING_CONTROL_PUBLISHED | (segments->settings.enabled ? 0 : SHMRING_CONTROL_DISABLED);
    shmring_reader_publish(segment->reader, flags, segments->settings.sampling_threshold);
}

static int encode_resource(struct segments *segments, struct segment *segment)
{
    return segment_encode_resource(segment, &segments->settings.resource, &segments->stats->invalid_text);
}

/* A file that stays is found again, and must then still be known as noted. */
static void unlink_noted(struct segments *segments, const struct segment *segment)
{
    if (unlinkat(segments->dir->fd, segment->name, 0) == 0 || errno == ENOENT)
        totals_unlinked(segments->totals, segment->instance);
    else
        log_cause(segments->log, LOG_WARN, "unlink", "cannot remove segment %s from %s: %s", segment->name,
                  segments->dir->path, strerror(errno));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_known(const struct segments *segments, const char *name)
{
    return tfind(name, &segments->names, by_name);
}

static void remember_skipped(struct segments *segments, struct tenant *tenant, const char *name)
{
    size_t bytes = strlen(name) + 1;
    struct skipped *skipped = malloc(sizeof(*skipped) + bytes);
    if (!skipped)
        return;
    memcpy(skipped->name, name, bytes);
    if (!tsearch(skipped->name, &segments->names, by_name)) {
        free(skipped);
        return;
    }
    skipped->next = segments->skipped;
    segments->skipped = skipped;
    skipped->tenant = tenant;
    tenant->skipped_count++;
}

static void skip(struct segments *segments, struct tenant *tenant, const char *name, int err, const char *problem)
{
    remember_skipped(segments, tenant, name);
    segments->stats->segments_skipped++;
    if (err == -EPROTONOSUPPORT)
        log_cause(segments->log, LOG_WARN, "segment_version",
                  "segment %s is of a version or mode this daemon does not know; left alone: run an aistraced that "
                  "matches the program's libaistrace",
                  name);
    else
        log_cause(segments->log, LOG_WARN, "segment_unsound", "%s in %s is not a sound segment (%s); ignored", name,
                  segments->dir->path, problem ? problem : strerror(-err));
}

static void forget_skipped(struct segments *segments, struct skipped *skipped)
{
    tdelete(skipped->name, &segments->names, by_name);
    skipped->tenant->skipped_count--;
    tenant_tidy(&segments->tenants, skipped->tenant);
    free(skipped);
}

static void forget_removed(struct segments *segments)
{
    for (struct skipped **at = &segments->skipped, *skipped; (skipped = *at);) {
        if (faccessat(segments->dir->fd, skipped->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT) {
            at = &skipped->next;
            continue;
        }
        *at = skipped->next;
        forget_skipped(segments, skipped);
    }
}

/* The next scan finds the segment again. */
static void wait_for_place(struct segments *segments, const char *name, int err)
{
    segments->waiting++;
    discovery_force_rescan(segments->discovery);
    if (err != -EAGAIN) /* still being created */
        log_cause(segments->log, LOG_WARN, "segment_waits",
                  "segment %s has to wait, %zu are attached: %s; spans stay in its rings meanwhile", name,
                  segments->tenants.segment_count, strerror(-err));
}

static void wait_for_share(struct segments *segments, const struct tenant *tenant)
{
    segments->waiting++;
    discovery_force_rescan(segments->discovery);
    log_cause(segments->log, LOG_WARN, "user_limit",
              "uid %u has %zu segments with %" PRIu64 " slots and %" PRIu64
              " bytes, and %zu files that are no segments, in %s: "
              "no more of this user are attached until some are gone; spans stay in their rings",
              (unsigned)tenant->uid, tenant->segment_count, tenant->slots, tenant->bytes, tenant->skipped_count,
              segments->dir->path);
}

/* A segment whose final figures are noted is not read again. */
static bool was_noted(struct segments *segments, struct segment *segment)
{
    if (!totals_noted(segments->totals, segment->instance))
        return false;
    if (!shmring_reader_owner_alive(segment->reader))
        unlink_noted(segments, segment);
    return true;
}

/* -> 0: attached, or noted as finished and left alone; -EDQUOT: the user's share is used up; or as segment_open, with its
 * *problem */
static int attach(struct segments *segments, struct tenant *tenant, const char *name, const char **problem)
{
    struct segment *segment;
    int err = segments->tenants.segment_count < segments->tenants.segments_max
                  ? segment_open(segments->dir->fd, name, &segment, problem)
                  : -EMFILE;
    if (err)
        return err;
    if (was_noted(segments, segment)) {
        segment_close(segment);
        return 0;
    }
    if (shmring_reader_uid(segment->reader) != tenant->uid) /* another file by now */
        err = -EAGAIN;
    else if (encode_resource(segments, segment) != 0 || !tsearch(segment->name, &segments->names, by_name))
        err = -ENOMEM;
    else if (!tenant_add(&segments->tenants, tenant, segment)) {
        tdelete(segment->name, &segments->names, by_name);
        err = -EDQUOT;
    } else if (segments->callbacks->attach_cb(segments->user, segment) != 0) {
        tenant_remove(&segments->tenants, tenant, segment);
        tdelete(segment->name, &segments->names, by_name);
        err = -ENOMEM;
    }
    if (err) {
        segment_close(segment);
        return err;
    }
    publish(segments, segment);
    segment->watch = discovery_watch(segments->discovery, name);
    segment->next = segments->first;
    segments->first = segment;
    log_line(segments->log, LOG_DEBUG, "attached segment %s (uid %u)", name,
             (unsigned)shmring_reader_uid(segment->reader));
    segments->callbacks->wake_cb(segments->user, 0);
    return 0;
}

/* An error of the machine may pass; an error in the file does not. */
static bool may_pass(int err)
{
    static const int passing[] = {-EAGAIN, -ENOMEM, -EMFILE, -ENFILE, -EIO, -ENOLCK, -EINTR};
    for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++)
        if (err == passing[i])
            return true;
    return false;
}

static void on_found(void *user, const char *name)
{
    struct segments *segments = user;
    struct stat st;
    if (is_known(segments, name) || fstatat(segments->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    struct tenant *tenant = tenant_of(&segments->tenants, st.st_uid);
    if (!tenant) {
        wait_for_place(segments, name, segments->tenants.count < TENANTS_MAX ? -ENOMEM : -EUSERS);
        return;
    }
    const char *problem = NULL;
    int err = tenant_has_place(&segments->tenants, tenant) ? attach(segments, tenant, name, &problem) : -EDQUOT;
    if (err == -EDQUOT)
        wait_for_share(segments, tenant);
    else if (may_pass(err))
        wait_for_place(segments, name, err);
    else if (err && err != -ENOENT)
        skip(segments, tenant, name, err, problem);
    tenant_tidy(&segments->tenants, tenant);
}

static void on_scan(void *user, bool done)
{
    struct segments *segments = user;
    if (done)
        segments->stats->segments_waiting = segments->waiting;
    else
        segments->waiting = 0;
    segments->events_lost = true; /* lost events may be why the directory is read */
}

void segments_note_quarantine(struct segments *segments, struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    if (!segment_note_quarantine(segment, slot, segments->stats, &segments->orphaned))
        return;
    log_cause(segments->log, LOG_ERROR, "quarantine",
              "segment %s (uid %u) slot %" PRIu32 " position %" PRIu64 ": %s; slot quarantined, %" PRIu64
              " bytes unreadable",
              segment->name, (unsigned)shmring_reader_uid(segment->reader), slot, status->problem_position,
              status->problem, status->end - status->read);
    segments->callbacks->slot_lost_cb(segments->user, &segment->slots[slot]);
}

/* Learns how far each slot is written, without reading it. */
static void look_ahead(struct segments *segments, struct segment *segment)
{
    uint32_t slots = shmring_reader_slots(segment->reader);
    for (uint32_t slot = 0; slot < slots; slot++)
        if (shmring_reader_look(segment->reader, slot) == -EBADMSG)
            segments_note_quarantine(segments, segment, slot);
}

/* Asks whether the segment's owner lives. */
static void probe(struct segments *segments, struct segment *segment)
{
    if (segment->owner_dead || shmring_reader_owner_alive(segment->reader))
        return;
    segment->owner_dead = segments->owners_died = true;
    segment->probes_left = 0;
    look_ahead(segments, segment); /* perhaps no pass has seen what the owner wrote last */
    segments->callbacks->wake_cb(segments->user, 0);
}

static void on_segment_closed(void *user, int watch)
{
    struct segments *segments = user;
    for (struct segment *segment = segments->first; segment; segment = segment->next) {
        if (segment->watch != watch)
            continue;
        probe(segments, segment);
        if (!segment->owner_dead) { /* the event precedes the unlocking: again after 1, 10 and 100 ms */
            segment->probes_left = 3;
            segments->suspects = true;
            segment->probe_at_ms = uv_now(segments->loop) + 1;
            segments->callbacks->wake_cb(segments->user, 1);
        }
        return;
    }
}

void segments_probe_suspects(struct segments *segments)
{
    static const uint64_t again_ms[] = {0, 100, 10};
    if (!segments->suspects)
        return;
    segments->suspects = false;
    for (struct segment *segment = segments->first; segment; segment = segment->next) {
        if (segment->probes_left > 0 && uv_now(segments->loop) >= segment->probe_at_ms) {
            segment->probes_left--;
            segment->probe_at_ms = uv_now(segments->loop) + again_ms[segment->probes_left];
            probe(segments, segment);
        }
        segments->suspects |= segment->probes_left > 0;
    }
}

static void audit(struct segments *segments, struct segment *segment)
{
    const char *problem = segment_audit(segment, segments->stats);
    if (problem)
        log_cause(segments->log, LOG_ERROR, "quarantine", "segment %s (uid %u): %s; quarantined", segment->name,
                  (unsigned)shmring_reader_uid(segment->reader), problem);
}

/* A close tells of a death at once. But events can be lost, and the kernel may refuse a watch: a share of the segments
 * is asked at each tick, and those without a watch at every one. */
static void probe_and_audit(struct segments *segments)
{
    unsigned turn = segments->ticks++;
    for (struct segment *segment = segments->first; segment; segment = segment->next, turn++) {
        if (segment->watch >= 0 && !segments->events_lost && turn % PROBE_TICKS != 0)
            continue;
        probe(segments, segment);
        audit(segments, segment);
    }
    segments->events_lost = false;
}

static void on_tick(void *user)
{
    struct segments *segments = user;
    if (ring_dir_follow(segments->dir)) {
        discovery_move(segments->discovery, segments->dir->fd);
        discovery_rescan(segments->discovery);
    }
    forget_removed(segments);
    probe_and_audit(segments);
    segments->callbacks->tick_cb(segments->user);
}

/* -> true: it is noted and unlinked */
static bool dismiss(struct segments *segments, struct segment *segment)
{
    if (!segment->owner_dead || !segment_quiet(segment) || uv_now(segments->loop) < segments->state_retry_ms)
        return false;
    audit(segments, segment); /* before its figures become final */
    if (!segment_quiet(segment))
        return false;
    struct totals before = *segments->totals;
    segment_add_to_totals(segment, segments->totals);
    int err = totals_note(segments->totals, segments->dir->fd, segment->instance);
    if (err) {
        before.noted = segments->totals->noted;
        before.noted_count = segments->totals->noted_count;
        *segments->totals = before;
        segments->state_retry_ms = uv_now(segments->loop) + STATE_RETRY_MS;
        log_cause(segments->log, LOG_WARN, "state_file", "cannot write %s/%s: %s; finished segments stay",
                  segments->dir->path, TOTALS_FILE, strerror(-err));
        return false;
    }
    discovery_unwatch(segments->discovery, segment->watch);
    unlink_noted(segments, segment);
    log_line(segments->log, LOG_DEBUG, "segment %s finished", segment->name);
    return true;
}

static void let_go(struct segments *segments, struct segment *segment)
{
    struct tenant *tenant = segment->tenant;
    uint32_t slots = shmring_reader_header(segment->reader)->slot_count;
    for (uint32_t i = 0; i < slots; i++) {
        claim_abandon(&segment->slots[i].claims, &segments->orphaned);
        segments->callbacks->slot_lost_cb(segments->user, &segment->slots[i]);
    }
    tdelete(segment->name, &segments->names, by_name);
    tenant_remove(&segments->tenants, tenant, segment);
    tenant_tidy(&segments->tenants, tenant);
    segment_close(segment);
}

void segments_dismiss(struct segments *segments)
{
    if (!segments->owners_died)
        return;
    segments->owners_died = false;
    for (struct segment **at = &segments->first; *at;) {
        struct segment *segment = *at;
        if (!dismiss(segments, segment)) {
            segments->owners_died |= segment->owner_dead;
            at = &segment->next;
            continue;
        }
        *at = segment->next;
        let_go(segments, segment);
    }
}

void segments_publish(struct segments *segments, const struct segments_settings *settings)
{
    segments->settings = *settings;
    for (struct segment *segment = segments->first; segment; segment = segment->next) {
        publish(segments, segment);
        if (encode_resource(segments, segment) != 0)
            log_cause(segments->log, LOG_ERROR, "no_memory", "no memory for a resource block");
    }
}

bool segments_awaited(const struct segments *segments, const uint8_t instance[SHMRING_INSTANCE_BYTES])
{
    char name[SHMRING_NAME_BYTES];
    shmring_instance_name(instance, name);
    if (is_known(segments, name) || faccessat(segments->dir->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    name[SHMRING_INSTANCE_HEX] = '\0';
    return !totals_noted(segments->totals, name);
}

void segments_release(struct batch_pool *pool)
{
    struct claim_queue *queue;
    while ((queue = batch_pool_ready(pool)))
        segment_release(queue);
}

void segments_set_drain_targets(struct segments *segments)
{
    for (struct segment *segment = segments->first; segment; segment = segment->next) {
        probe(segments, segment); /* a program stopped together with the daemon has often died a moment before */
        look_ahead(segments, segment);
        segment_set_drain_targets(segment);
    }
}

static bool dismissal_due(const struct segments *segments, const struct segment *segment)
{
    return segment->owner_dead && segment_quiet(segment) && segments->state_retry_ms == 0;
}

bool segments_drained(const struct segments *segments)
{
    for (const struct segment *segment = segments->first; segment; segment = segment->next)
        if (!segment_drained(segment) || dismissal_due(segments, segment))
            return false;
    return true;
}

void segments_snapshot(const struct segments *segments, struct stats_snapshot *out)
{
    const struct totals *totals = segments->totals;
    outcome_add(&out->outcome, &totals->outcome);
    outcome_add(&out->outcome, &segments->orphaned);
    out->committed += outcome_sum(&out->outcome);
    for (unsigned i = 0; i < PRODUCER_REASONS; i++)
        out->producer_dropped[i] += totals->producer_dropped[i];
    for (const struct segment *segment = segments->first; segment; segment = segment->next)
        segment_snapshot(segment, out);
}

/* ---- start and end ---- */

static size_t most_segments(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > SHMRING_GUARD_MAX + OTHER_DESCRIPTORS)
        return SHMRING_GUARD_MAX;
    return limit.rlim_cur > 2 * OTHER_DESCRIPTORS ? limit.rlim_cur - OTHER_DESCRIPTORS : limit.rlim_cur / 2;
}

int segments_start(struct segments *segments)
{
    static const struct discovery_callbacks callbacks = {on_found, on_scan, on_segment_closed, on_tick};
    segments->tenants = (struct tenants){.own_uid = geteuid(), .segments_max = most_segments()};
    return discovery_start(segments->loop, segments->dir->fd, segments->dir->path, &callbacks, segments,
                           &segments->discovery);
}

void segments_scan(struct segments *segments)
{
    discovery_rescan(segments->discovery);
}

void segments_close(struct segments *segments, void (*closed_cb)(void *user), void *user)
{
    discovery_close(segments->discovery, closed_cb, user);
}

void segments_done(struct segments *segments)
{
    for (struct segment *segment; (segment = segments->first);) {
        segments->first = segment->next;
        let_go(segments, segment);
    }
    for (struct skipped *skipped; (skipped = segments->skipped);) {
        segments->skipped = skipped->next;
        forget_skipped(segments, skipped);
    }
}
