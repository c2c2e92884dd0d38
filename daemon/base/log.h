/* SPDX-License-Identifier: MIT
 *
 * Lines on stderr at a bounded rate: per cause one line at once, then one per interval with the count of those held
 * back. Never waits for the reader: a line that cannot be written at once is lost, and counted in the next line
 * that can be written. One thread.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };
enum { LOG_INTERVAL_MS = 10000 };

struct log; /* passed to everybody who logs */

/* fd is borrowed. */
int log_new(int fd, struct log **out);
void log_free(struct log *log);
void log_configure(struct log *log, enum log_level level, enum log_format format);

/* The clock for the intervals of causes: monotonic, in ms; borrowed. Without a clock (NULL, or none set yet) the time
 * is always 0. A callback, because an event loop sets its time after waiting and calls nobody then. */
void log_set_clock(struct log *log, uint64_t (*now_ms_cb)(void *user), void *user);

/* A line that is always written (subject to level): starts, stops, summaries. */
void log_line(struct log *log, enum log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A line of a cause that may repeat. cause is a short constant such as "ring_full"; the first line of a cause is
 * written at once, later ones at most every LOG_INTERVAL_MS with how many were held back. */
void log_cause(struct log *log, enum log_level level, const char *cause, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Writes the counts still held back; call every interval and at the end. */
void log_flush(struct log *log, bool final);

#endif
