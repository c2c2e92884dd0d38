/* SPDX-License-Identifier: MIT
 *
 * aisnode: a small stand-in for an AIStore node, to trace real HTTP requests with.
 */
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "roles.h"
#include "store.h"

enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 };

static const char usage[] =
    "usage: aisnode --config FILE --id ID [--data DIR]\n"
    "\n"
    "  --config FILE   configuration with the cluster map: who the proxies and targets are, and where\n"
    "  --id ID         which of them this is\n"
    "  --data DIR      where a target keeps its objects (a target needs it)\n"
    "  --help, --version\n";

struct arguments {
    const char *config;
    const char *id;
    const char *data;
};

/* -> -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"id", required_argument, NULL, 'i'},
        {"data", required_argument, NULL, 'd'},   {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},      {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "hv", options, NULL)) >= 0) {
        switch (option) {
        case 'c':
            out->config = optarg;
            break;
        case 'i':
            out->id = optarg;
            break;
        case 'd':
            out->data = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'v':
            puts("aisnode " AISTRACE_BUILD_VERSION);
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (!out->config || !out->id || optind < argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return -1;
}

static const struct cluster_peer *find(const struct cluster_peer *peers, size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(peers[i].id, id) == 0)
            return &peers[i];
    return NULL;
}

static int configure(struct node *node, const struct arguments *arguments)
{
    const struct cluster *cluster = &node->cluster;
    char error[512];
    if (cluster_load(arguments->config, &node->cluster, error, sizeof(error)) < 0) {
        fprintf(stderr, "aisnode: %s\n", error);
        return EXIT_CONFIG;
    }
    const struct cluster_peer *self = find(cluster->proxies, cluster->proxy_count, arguments->id);
    node->operations = proxy_operations;
    if (!self) {
        self = find(cluster->targets, cluster->target_count, arguments->id);
        node->operations = target_operations;
        node->is_target = true;
    }
    if (!self || (node->is_target && !arguments->data)) {
        fprintf(stderr, "aisnode: %s %s\n", arguments->id, self ? "is a target and needs --data" : "is not in the map");
        return self ? EXIT_USAGE : EXIT_CONFIG;
    }
    node->self = *self;
    if (!node->is_target)
        return -1;
    int err = store_open(arguments->data, &node->store);
    if (err) {
        fprintf(stderr, "aisnode: %s: %s\n", arguments->data, strerror(-err));
        return EXIT_FAILURE;
    }
    return -1;
}

int main(int argc, char **argv)
{
    static struct node node; /* the cluster map is too big for the stack */
    struct arguments arguments = {0};
    int code = parse(argc, argv, &arguments);
    if (code < 0)
        code = configure(&node, &arguments);
    if (code >= 0)
        return code;

    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL); /* before there are threads: they inherit it */
    signal(SIGINT, SIG_DFL);                 /* a shell ignores it for what it starts in the background */
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    clock_gettime(CLOCK_MONOTONIC, &node.started);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    trace_start(&node);
    struct MHD_Daemon *daemon = http_start(&node);
    int signal_number;
    if (!daemon) {
        fprintf(stderr, "%s: %s:%u: %s\n", node.self.id, node.self.host, node.self.port, strerror(errno));
        code = EXIT_FAILURE;
    } else {
        printf("%s: serving at http://%s:%u\n", node.self.id, node.self.host, node.self.port);
        sigwait(&stop, &signal_number);
        code = EXIT_SUCCESS;
    }
    http_stop(daemon);
    trace_stop();
    store_close(node.store);
    curl_global_cleanup();
    return code;
}
