/* SPDX-License-Identifier: MIT
 *
 * Finds segments in the ring directory and hears when their owners close them. inotify gives hints, a rescan of the
 * directory gives certainty: both lead to the same callbacks, so a name may be reported any number of times. On the
 * loop's thread.
 */
#ifndef DISCOVERY_H
#define DISCOVERY_H

#include <stdbool.h>
#include <uv.h>

struct discovery;

enum { DISCOVERY_RESCAN_MS = 1000 };

struct discovery_callbacks {
    /* A file with the name of a segment is there. */
    void (*on_found_cb)(void *user, const char *name);
    /* A scan begins (done is false), or has reported every name that is there (true). */
    void (*on_scan_cb)(void *user, bool done);
    /* Somebody closed the watched file: its owner may be gone. The lock may be freed only a moment later. */
    void (*on_closed_cb)(void *user, int watch);
    /* Once every DISCOVERY_RESCAN_MS, after the rescan. */
    void (*on_tick_cb)(void *user);
};

/* dir_fd, which is borrowed, and path are the same directory. Files that are there already are reported by the first
 * rescan. The directory is read in portions, so that a flood of files gets a bounded part of the loop's time. */
int discovery_start(uv_loop_t *loop, int dir_fd, const char *path, const struct discovery_callbacks *callbacks,
                    void *user, struct discovery **out);

/* The path leads to another directory now: watches that one, and reads it at the next rescan. Files watched before
 * stay watched. -> 0 or -errno (then only the tick tells). */
int discovery_move(struct discovery *discovery, int dir_fd);

/* -> a watch for on_closed_cb, or -errno (then only the tick tells). */
int discovery_watch(struct discovery *discovery, const char *name);
void discovery_unwatch(struct discovery *discovery, int watch); /* accepts a negative watch */

/* Begins to read the directory, unless a scan is under way or the directory looks unchanged since the last one. Every
 * tick does so by itself. */
void discovery_rescan(struct discovery *discovery);

/* The next rescan reads the directory even if it looks unchanged. */
void discovery_force_rescan(struct discovery *discovery);

void discovery_close(struct discovery *discovery, void (*closed_cb)(void *user), void *user);

#endif
