/* SPDX-License-Identifier: MIT */
#include "daemon_explain.h"

#include <errno.h>
#include <string.h>

#include "base/file.h"

static const char *explain_address(int err)
{
    switch (err) {
    case -EADDRINUSE:
        return "the address is in use; stop the program that has it, choose another address, or \"\" for none";
    case -EADDRNOTAVAIL:
        return "this machine has no such address; choose another one, or \"\" for none";
    case -EACCES:
        return "no permission for this port; choose one from 1024 up";
    default:
        return NULL;
    }
}

static const struct {
    const char *key, *flag;
    const char *(*explain)(int err);
} settings[] = {
    [DAEMON_RING_DIR] = {"aistraced.ring_dir", "--ring-dir", file_explain_directory},
    [DAEMON_SPOOL_DIR] = {"aistraced.spool.dir", NULL, file_explain_directory},
    [DAEMON_METRICS_LISTEN] = {"aistraced.metrics_listen", "--metrics-listen", explain_address},
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
    const char *problem = settings[setting].explain(err);
    const char *from = config_place(config, key, place);
    bool flagged = !flag || strcmp(from, flag) == 0;
    log_line(log, LOG_ERROR, "%s \"%s\" (%s%s%s): %s (%s)", key, value, from, flagged ? "" : "; the flag is ",
             flagged ? "" : flag, problem ? problem : "it cannot be used", strerror(-err));
    return true;
}
