/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source/source_state.h"
#include "span/sampler.h"

enum {
    STATE_RETRY_MS = 1000, /* a state file that cannot be written is tried again */
    PROBE_TICKS = 5,       /* until every segment has been looked at without a reason */
};

/* A name that is not to be opened again as long as it is there: it was no segment of ours. */
struct skipped {
    struct skipped *next;
    struct tenant *tenant;
    char name[];
};

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
    if (unlinkat(s->dir.fd, segment->name, 0) == 0 || errno == ENOENT)
        totals_unlinked(&s->totals, segment->instance);
    else
        log_cause(s->log, LOG_WARN, "unlink", uv_now(s->loop), "cannot remove segment %s from %s: %s", segment->name,
                  s->dir.path, strerror(errno));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

bool source_segments_known(const struct source *s, const char *name)
{
    return tfind(name, &s->names, by_name);
}

static void remember_skipped(struct source *s, struct tenant *tenant, const char *name)
{
    size_t bytes = strlen(name) + 1;
    struct skipped *skipped = malloc(sizeof(*skipped) + bytes);
    if (!skipped)
        return;
    memcpy(skipped->name, name, bytes);
    if (!tsearch(skipped->name, &s->names, by_name)) {
        free(skipped);
        return;
    }
    skipped->next = s->skipped;
    s->skipped = skipped;
    skipped->tenant = tenant;
    tenant->skipped_count++;
}

static void skip(struct source *s, struct tenant *tenant, const char *name, int err)
{
    remember_skipped(s, tenant, name);
    s->stats->segments_skipped++;
    if (err == -EPROTONOSUPPORT)
        log_cause(s->log, LOG_WARN, "segment_version", uv_now(s->loop),
                  "segment %s is of a version or mode this daemon does not know; left alone: run an aistraced that "
                  "matches the program's libaistrace",
                  name);
    else
        log_cause(s->log, LOG_WARN, "segment_unsound", uv_now(s->loop), "%s in %s is not a sound segment (%s); ignored",
                  name, s->dir.path, strerror(-err));
}

static void forget_skipped(struct source *s, struct skipped *skipped)
{
    tdelete(skipped->name, &s->names, by_name);
    skipped->tenant->skipped_count--;
    tenant_tidy(&s->tenants, skipped->tenant);
    free(skipped);
}

static void forget_removed(struct source *s)
{
    for (struct skipped **at = &s->skipped, *skipped; (skipped = *at);) {
        if (faccessat(s->dir.fd, skipped->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT) {
            at = &skipped->next;
            continue;
        }
        *at = skipped->next;
        forget_skipped(s, skipped);
    }
}

/* It is looked at again by the next scan. */
static void wait_for_place(struct source *s, const char *name, int err)
{
    s->waiting++;
    discovery_force_rescan(s->discovery);
    if (err != -EAGAIN) /* still being created */
        log_cause(s->log, LOG_WARN, "segment_waits", uv_now(s->loop),
                  "segment %s has to wait, %zu are attached: %s; spans stay in its rings meanwhile", name,
                  s->tenants.segment_count, strerror(-err));
}

static void wait_for_share(struct source *s, const struct tenant *tenant)
{
    s->waiting++;
    discovery_force_rescan(s->discovery);
    log_cause(
        s->log, LOG_WARN, "user_limit", uv_now(s->loop),
        "uid %u has %zu segments with %" PRIu64 " slots and %" PRIu64 " bytes, and %zu files that are none, in %s: "
        "no more of this user are attached until some are gone; spans stay in their rings",
        (unsigned)tenant->uid, tenant->segment_count, tenant->slots, tenant->bytes, tenant->skipped_count, s->dir.path);
}

/* What has been attached already, and its final figures noted, is not read again. */
static bool was_noted(struct source *s, struct segment *segment)
{
    if (!totals_noted(&s->totals, segment->instance))
        return false;
    if (!shmring_reader_owner_alive(segment->reader))
        unlink_noted(s, segment);
    return true;
}

/* -> 0, 1: nothing to do with it, -EDQUOT: the user's share is used up, or as segment_open. */
static int attach(struct source *s, struct tenant *tenant, const char *name)
{
    struct segment *segment;
    struct resource_settings settings = resource_settings(s->config);
    int err = s->tenants.segment_count < s->tenants.segments_max ? segment_open(s->dir.fd, name, &segment) : -EMFILE;
    if (err)
        return err;
    if (was_noted(s, segment))
        err = 1;
    else if (shmring_reader_uid(segment->reader) != tenant->uid) /* another file by now */
        err = -EAGAIN;
    else if (segment_encode_resource(segment, &settings, &s->stats->invalid_text) != 0 ||
             !tsearch(segment->name, &s->names, by_name))
        err = -ENOMEM;
    else if (!tenant_add(&s->tenants, tenant, segment)) {
        tdelete(segment->name, &s->names, by_name);
        err = -EDQUOT;
    } else if (source_restore_attach(s, segment) != 0) {
        tenant_remove(&s->tenants, tenant, segment);
        tdelete(segment->name, &s->names, by_name);
        err = -ENOMEM;
    }
    if (err) {
        segment_close(segment);
        return err;
    }
    publish(s, segment);
    segment->watch = discovery_watch(s->discovery, name);
    segment->next = s->segments;
    s->segments = segment;
    log_line(s->log, LOG_DEBUG, "attached segment %s (uid %u)", name, (unsigned)shmring_reader_uid(segment->reader));
    s->poll_ms = POLL_PACE_MIN_MS; /* its producer is about to write */
    source_schedule(s, 0);
    return 0;
}

/* What is wrong with the machine may pass; what is wrong with the file does not. */
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
    struct source *s = user;
    struct stat st;
    if (source_segments_known(s, name) || fstatat(s->dir.fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    struct tenant *tenant = tenant_of(&s->tenants, st.st_uid);
    if (!tenant) {
        wait_for_place(s, name, s->tenants.count < TENANTS_MAX ? -ENOMEM : -EUSERS);
        return;
    }
    int err = tenant_has_place(&s->tenants, tenant) ? attach(s, tenant, name) : -EDQUOT;
    if (err == -EDQUOT)
        wait_for_share(s, tenant);
    else if (may_pass(err))
        wait_for_place(s, name, err);
    else if (err < 0 && err != -ENOENT)
        skip(s, tenant, name, err);
    tenant_tidy(&s->tenants, tenant);
}

static void on_scan(void *user, bool done)
{
    struct source *s = user;
    if (done)
        s->stats->segments_waiting = s->waiting;
    else
        s->waiting = 0;
    s->events_lost = true; /* that may be why the directory is read */
}

void source_segments_probe(struct source *s, struct segment *segment)
{
    if (segment->owner_dead || shmring_reader_owner_alive(segment->reader))
        return;
    segment->owner_dead = s->bereft = true;
    segment->probes_left = 0;
    source_read_look_ahead(s, segment); /* at its last words, which no pass may have seen */
    source_schedule(s, 0);
}

static void on_segment_closed(void *user, int watch)
{
    struct source *s = user;
    for (struct segment *segment = s->segments; segment; segment = segment->next) {
        if (segment->watch != watch)
            continue;
        source_segments_probe(s, segment);
        if (!segment->owner_dead) { /* the event precedes the unlocking: again after 1, 10 and 100 ms */
            segment->probes_left = 3;
            s->suspects = true;
            segment->probe_at_ms = uv_now(s->loop) + 1;
            source_schedule(s, 1);
        }
        return;
    }
}

void source_segments_probe_suspects(struct source *s)
{
    static const uint64_t again_ms[] = {0, 100, 10};
    if (!s->suspects)
        return;
    s->suspects = false;
    for (struct segment *segment = s->segments; segment; segment = segment->next) {
        if (segment->probes_left > 0 && uv_now(s->loop) >= segment->probe_at_ms) {
            segment->probes_left--;
            segment->probe_at_ms = uv_now(s->loop) + again_ms[segment->probes_left];
            source_segments_probe(s, segment);
        }
        s->suspects |= segment->probes_left > 0;
    }
}

void source_segments_tell_losses(struct source *s)
{
    struct stats_snapshot now;
    source_snapshot(s, &now);
    losses_tell_drops(&s->losses, &now, s->log);
    losses_tell_outage(&s->losses, &now, s->config->endpoint, s->stats, s->log);
}

static void audit(struct source *s, struct segment *segment)
{
    const char *problem = segment_audit(segment, s->stats);
    if (problem)
        log_cause(s->log, LOG_ERROR, "quarantine", uv_now(s->loop), "segment %s (uid %u): %s; quarantined",
                  segment->name, (unsigned)shmring_reader_uid(segment->reader), problem);
}

/* A close tells of a death at once. Events can be lost, though, and a watch may not be to be had: a share of the others
 * is asked at each tick. */
static void probe_and_audit(struct source *s)
{
    unsigned turn = s->ticks++;
    for (struct segment *segment = s->segments; segment; segment = segment->next, turn++) {
        if (segment->watch >= 0 && !s->events_lost && turn % PROBE_TICKS != 0)
            continue;
        source_segments_probe(s, segment);
        audit(s, segment);
    }
    s->events_lost = false;
}

static void on_tick(void *user)
{
    struct source *s = user;
    if (ring_dir_follow(&s->dir, uv_now(s->loop))) {
        discovery_move(s->discovery, s->dir.fd);
        discovery_rescan(s->discovery);
    }
    forget_removed(s);
    probe_and_audit(s);
    source_restore_forget_gone(s);
    source_segments_tell_losses(s);
    log_flush(s->log, uv_now(s->loop), false);
}

/* Notes, unlinks and forgets a segment whose owner is dead and whose every span is settled. -> true when gone. */
static bool bid_farewell(struct source *s, struct segment *segment)
{
    if (!segment->owner_dead || !segment_quiet(segment) || uv_now(s->loop) < s->state_retry_ms)
        return false;
    audit(s, segment); /* before its figures become final */
    if (!segment_quiet(segment))
        return false;
    struct totals before = s->totals;
    segment_farewell(segment, &s->totals);
    int err = totals_note(&s->totals, s->dir.fd, segment->instance);
    if (err) {
        before.noted = s->totals.noted;
        before.noted_count = s->totals.noted_count;
        s->totals = before;
        s->state_retry_ms = uv_now(s->loop) + STATE_RETRY_MS;
        log_cause(s->log, LOG_WARN, "state_file", uv_now(s->loop), "cannot write %s/%s: %s; finished segments stay",
                  s->dir.path, TOTALS_FILE, strerror(-err));
        return false;
    }
    discovery_unwatch(s->discovery, segment->watch);
    unlink_noted(s, segment);
    log_line(s->log, LOG_DEBUG, "segment %s finished", segment->name);
    return true;
}

static void let_go(struct source *s, struct segment *segment)
{
    struct tenant *tenant = segment->tenant;
    uint32_t slots = shmring_reader_header(segment->reader)->slot_count;
    for (uint32_t i = 0; i < slots; i++) {
        claim_abandon(&segment->slots[i].claims, &s->orphaned);
        source_restore_drop(s, &segment->slots[i]);
    }
    tdelete(segment->name, &s->names, by_name);
    tenant_remove(&s->tenants, tenant, segment);
    tenant_tidy(&s->tenants, tenant);
    segment_close(segment);
}

/* A batch still open may borrow the resource of a segment that goes. */
void source_segments_dismiss(struct source *s)
{
    if (!s->bereft)
        return;
    s->bereft = false;
    for (struct segment **at = &s->segments; *at;) {
        struct segment *segment = *at;
        if (!bid_farewell(s, segment)) {
            s->bereft |= segment->owner_dead;
            at = &segment->next;
            continue;
        }
        *at = segment->next;
        let_go(s, segment);
    }
}

const struct discovery_callbacks source_segments_callbacks = {on_found, on_scan, on_segment_closed, on_tick};

void source_segments_publish(struct source *s)
{
    struct resource_settings settings = resource_settings(s->config);
    for (struct segment *segment = s->segments; segment; segment = segment->next) {
        publish(s, segment);
        if (segment_encode_resource(segment, &settings, &s->stats->invalid_text) != 0)
            log_cause(s->log, LOG_ERROR, "no_memory", uv_now(s->loop), "no memory for a resource block");
    }
}

void source_segments_free(struct source *s)
{
    for (struct segment *segment; (segment = s->segments);) {
        s->segments = segment->next;
        let_go(s, segment);
    }
    for (struct skipped *skipped; (skipped = s->skipped);) {
        s->skipped = skipped->next;
        forget_skipped(s, skipped);
    }
}
