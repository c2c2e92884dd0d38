/* SPDX-License-Identifier: MIT
 *
 * The configuration found good as a whole, at the start and at each reload: its keys, and what is in the files of
 * certificates, key and token that they name. Asks nothing of the network. A configuration on disk that is not put in
 * force is remembered for those who ask.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "base/log.h"
#include "config/config.h"
#include "export/uplink_route.h"

struct buf;

/* As config_load. */
int settings_load(const struct config_flags *flags, struct config **out, struct buf *errors);

/* The errors of settings_load, a line each in the log, behind the prefix. */
void settings_tell_errors(const struct buf *errors, const char *prefix, struct log *log);

/* Why the configuration on disk is not the one in force. Zero-initialised: it is. */
struct settings_refusal {
    bool refused;
    char since[32];                  /* UTC, ISO 8601 */
    char words[768];                 /* the first error */
    struct config *config;           /* what was refused, if a file that it names is at fault; else NULL */
    struct uplink_route_watch watch; /* the files of config */
};

/* Loads the configuration again, at HUP or when its file has changed, and names in the log each key that differs from
 * live. Where rings and spool are, and how large the spool may be, only a start can change: these keep their live
 * values. When the configuration is not valid, each error is logged, and the first one is kept in refusal.
 * -> 0 and *out (config_unref), or -errno. When *out is in force, settings_accept follows. */
int settings_reload(const struct config_flags *flags, const struct config *live, struct log *log,
                    struct settings_refusal *refusal, struct config **out);

/* Notes, and logs, that a valid configuration could not be put in force. */
void settings_refuse(struct settings_refusal *refusal, const char *words, struct log *log);

/* Asked every FILE_WATCH_MS. -> true, once for each change: a file of a configuration that was refused because of its
 * files has changed, so that another reload is worth it */
bool settings_due(struct settings_refusal *refusal);

/* The configuration on disk is in force, or nobody asks any more. */
void settings_accept(struct settings_refusal *refusal);

/* Appends "; the configuration on disk is not in force since ...: ...", if that is so. */
void settings_describe_refusal(const struct settings_refusal *refusal, struct buf *out);

#endif
