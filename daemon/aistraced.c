/* SPDX-License-Identifier: MIT
 *
 * The program aistraced: its command line, its limits, its exit codes. What runs is in daemon.c.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "config/config.h"
#include "daemon.h"
#include "process/daemon_footprint.h"
#include "process/harden.h"
#include "process/settings.h"

enum action { RUN, CHECK_CONFIG, PRINT_CONFIG, PRINT_VERSION, PRINT_HELP };

struct command_line {
    struct config_flags flags;
    enum action action;
};

/* Long options without a letter are numbered from here. */
enum { OPTION_RING_DIR = 256, OPTION_METRICS_LISTEN, OPTION_CHECK_CONFIG, OPTION_PRINT_CONFIG };

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"endpoint", required_argument, NULL, 'e'},
    {"ring-dir", required_argument, NULL, OPTION_RING_DIR},
    {"metrics-listen", required_argument, NULL, OPTION_METRICS_LISTEN},
    {"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
    {"print-config", no_argument, NULL, OPTION_PRINT_CONFIG},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "Usage: aistraced [OPTION]...\n"
    "Reads spans from shared-memory rings and sends them to an OTLP gRPC endpoint.\n"
    "\n"
    "  -c, --config FILE           JSON with a `tracing` and an `aistraced` object\n"
    "  -e, --endpoint HOST:PORT    send there over TLS, and turn tracing on; http://HOST:PORT for plaintext\n"
    "                              (localhost:PORT may speak either), unix:/PATH for a socket\n"
    "      --ring-dir DIR          where programs put their rings (/dev/shm/aistrace)\n"
    "      --metrics-listen ADDR   HOST:PORT, [V6]:PORT or :PORT of /metrics, /livez, /readyz\n"
    "                              (127.0.0.1:9464); \"\" for none\n"
    "      --check-config          check the configuration, and the files it names, and exit\n"
    "      --print-config          print every value and where it came from, and exit\n"
    "  -V, --version               print the version and exit\n"
    "  -h, --help                  print this and exit\n"
    "\n"
    "A flag wins over AIS_TRACING_* in the environment, that over OTEL_EXPORTER_OTLP_*, that over the file.\n"
    "TERM and INT drain and stop, a second one stops at once; HUP reads the configuration again,\n"
    "as does a change of its file.\n"
    "Exit status: 0 all sent, 64 usage, 69 stopped with spans left in the rings, 71 system, 78 configuration.\n";

static int parse(int argc, char **argv, struct command_line *out)
{
    int option;
    while ((option = getopt_long(argc, argv, "c:e:Vh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            out->flags.file = optarg;
            break;
        case 'e':
            out->flags.endpoint = optarg;
            break;
        case OPTION_RING_DIR:
            out->flags.ring_dir = optarg;
            break;
        case OPTION_METRICS_LISTEN:
            out->flags.metrics_listen = optarg;
            break;
        case OPTION_CHECK_CONFIG:
            out->action = CHECK_CONFIG;
            break;
        case OPTION_PRINT_CONFIG:
            out->action = PRINT_CONFIG;
            break;
        case 'V':
            out->action = PRINT_VERSION;
            return 0;
        case 'h':
            out->action = PRINT_HELP;
            return 0;
        default:
            return -EINVAL;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument \"%s\"\n", argv[0], argv[optind]);
        return -EINVAL;
    }
    return 0;
}

static enum daemon_exit print_config(const struct config *config)
{
    struct buf text = {0};
    int err = config_print(config, &text);
    if (!err)
        err = buf_printf(&text, "# ");
    if (!err)
        err = daemon_footprint(config, &text);
    if (!err)
        err = buf_printf(&text, "\n# ");
    if (!err)
        err = daemon_footprint_spool(config, &text);
    if (!err)
        err = buf_printf(&text, "\n");
    if (!err && fwrite(text.data, 1, text.len, stdout) != text.len)
        err = -EIO;
    buf_done(&text);
    return err ? DAEMON_EXIT_SYSTEM : DAEMON_EXIT_OK;
}

/* Takes config. */
static enum daemon_exit run(const struct command_line *command, struct config *config, struct log *log)
{
    log_configure(log, config->log_level, config->log_format);
    harden_process(log);
    return daemon_run(&command->flags, config, log);
}

/* Each segment costs a descriptor; nothing here uses select(). */
static void allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Tells why there is no configuration. At a start that goes to the log, so that the journal knows it as an error. */
static enum daemon_exit refuse(const struct command_line *command, const struct buf *errors, int err, struct log *log)
{
    if (command->action == RUN)
        settings_tell_errors(errors, "", log);
    else
        fwrite(errors->data, 1, errors->len, stderr);
    if (err == -ENOMEM)
        fputs("out of memory\n", stderr);
    return err == -ENOMEM ? DAEMON_EXIT_SYSTEM : DAEMON_EXIT_CONFIG;
}

static enum daemon_exit with_config(const struct command_line *command, struct log *log)
{
    struct buf errors = {0};
    struct config *config;
    int err = settings_load(&command->flags, &config, &errors);
    enum daemon_exit result = err ? refuse(command, &errors, err, log) : DAEMON_EXIT_OK;
    buf_done(&errors);
    if (err)
        return result;
    if (command->action == RUN)
        return run(command, config, log);
    if (command->action == PRINT_CONFIG)
        result = print_config(config);
    else
        printf("%s: valid\n", command->flags.file ? command->flags.file : "configuration");
    config_unref(config);
    return result;
}

static enum daemon_exit with_log(const struct command_line *command)
{
    struct log *log;
    if (log_new(STDERR_FILENO, &log) != 0) {
        fputs("out of memory\n", stderr);
        return DAEMON_EXIT_SYSTEM;
    }
    enum daemon_exit result = with_config(command, log);
    log_free(log);
    return result;
}

int main(int argc, char **argv)
{
    struct command_line command = {.action = RUN};
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    allow_descriptors();
    if (parse(argc, argv, &command) != 0) {
        fprintf(stderr, "Try '%s --help'.\n", argv[0]);
        return DAEMON_EXIT_USAGE;
    }
    switch (command.action) {
    case PRINT_HELP:
        fputs(help, stdout);
        return DAEMON_EXIT_OK;
    case PRINT_VERSION:
        puts("aistraced " AISTRACE_BUILD_VERSION);
        return DAEMON_EXIT_OK;
    default:
        return (int)with_log(&command);
    }
}
