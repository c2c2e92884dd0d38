/* SPDX-License-Identifier: MIT */
#include "daemon_explain.h"

#include <errno.h>
#include <string.h>

struct problem {
    int err; /* 0: any other */
    const char *text;
};

static const struct problem ring_dir_problems[] = {
    {-EWOULDBLOCK, "another aistraced reads it; stop that one, or give this one a directory of its own"},
    {-EPERM, "it belongs to another user; run as its owner, or name another directory"},
    {-EACCES, "no permission; run as its owner, or name another directory"},
    {-ENOTDIR, "it is not a directory; name another"},
    {-ELOOP, "it is a symbolic link, which is not followed; name the directory itself"},
    {-ENOENT, "the directory above it does not exist; create that, or name another"},
    {-ENOSPC, "its file system is full; free some, or mount a larger tmpfs"},
    {-EROFS, "its file system is read-only; name a directory on a tmpfs"},
    {0, "it cannot be used"},
};

static const struct problem spool_dir_problems[] = {
    {-EWOULDBLOCK, "another aistraced has it; give each one a directory of its own"},
    {-EPERM, "it belongs to another user; run as its owner, or name another directory"},
    {-EACCES, "no permission; run as its owner, or name another directory"},
    {-ENOTDIR, "it is not a directory; name another"},
    {-ELOOP, "it is a symbolic link, which is not followed; name the directory itself"},
    {-ENOENT, "the directory above it does not exist; create that, or name another"},
    {-ENOSPC, "its file system is full; free some, or name another"},
    {-EROFS, "its file system is read-only; name another"},
    {0, "it cannot be used"},
};

static const struct problem metrics_problems[] = {
    {-EADDRINUSE, "the address is in use; stop who has it, choose another, or \"\" for none"},
    {-EADDRNOTAVAIL, "this machine has no such address; choose another, or \"\" for none"},
    {-EACCES, "no permission for this port; choose one from 1024 up"},
    {0, "it cannot be listened on"},
};

static const struct {
    const char *key, *flag;
    const struct problem *problems;
} settings[] = {
    [DAEMON_RING_DIR] = {"aistraced.ring_dir", "--ring-dir", ring_dir_problems},
    [DAEMON_SPOOL_DIR] = {"aistraced.spool.dir", NULL, spool_dir_problems},
    [DAEMON_METRICS_LISTEN] = {"aistraced.metrics_listen", "--metrics-listen", metrics_problems},
};

bool daemon_explain(struct log *log, const struct config *config, enum daemon_setting setting, int err)
{
    char place[CONFIG_PLACE_BYTES];
    const char *key = settings[setting].key, *flag = settings[setting].flag;
    const char *const values[] = {[DAEMON_RING_DIR] = config->ring_dir,
                                  [DAEMON_SPOOL_DIR] = config->spool_dir,
                                  [DAEMON_METRICS_LISTEN] = config->metrics_listen};
    const char *value = values[setting];
    if (err == -ENOMEM || err == -EMFILE || err == -ENFILE) {
        log_line(log, LOG_ERROR, "%s \"%s\": %s", key, value, strerror(-err));
        return false;
    }
    const struct problem *problem = settings[setting].problems;
    while (problem->err != 0 && problem->err != err)
        problem++;
    const char *from = config_place(config, key, place);
    bool flagged = !flag || strcmp(from, flag) == 0;
    log_line(log, LOG_ERROR, "%s \"%s\" (%s%s%s): %s (%s)", key, value, from, flagged ? "" : "; the flag is ",
             flagged ? "" : flag, problem->text, strerror(-err));
    return true;
}
