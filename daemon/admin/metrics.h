/* SPDX-License-Identifier: MIT
 *
 * The daemon's figures as Prometheus text (version 0.0.4). A table in metrics.c names every metric once. Pure.
 */
#ifndef METRICS_H
#define METRICS_H

struct buf;
struct stats_snapshot;

/* Appends all metrics. No memory: appends nothing. */
void metrics_render(struct buf *out, const struct stats_snapshot *snapshot);

#endif
