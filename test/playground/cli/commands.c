/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "uri.h"

int command_fail(struct ais *ais, const char *what, const char *why)
{
    fprintf(stderr, "ais: %s: %s\n", what, why);
    trace_command_fail(&ais->trace, why);
    return EXIT_FAILURE;
}

enum scope { SCOPE_ANY, SCOPE_BUCKET, SCOPE_OBJECT };

static bool parse(struct ais *ais, const char *text, enum scope scope, struct uri *out)
{
    char error[1280];
    if (uri_parse(text, out, error, sizeof(error)) < 0) {
        fprintf(stderr, "ais: %s\n", error);
        trace_command_fail(&ais->trace, error);
        return false;
    }
    if ((scope != SCOPE_ANY && !out->bucket[0]) || (scope == SCOPE_OBJECT && !out->object[0]) ||
        (scope == SCOPE_BUCKET && out->object[0])) {
        fprintf(stderr, "ais: \"%s\": %s is needed\n", text,
                scope == SCOPE_OBJECT ? "ais://BUCKET/OBJECT" : "ais://BUCKET");
        trace_command_fail(&ais->trace, "the wrong kind of name");
        return false;
    }
    trace_command_names(&ais->trace, out->bucket, out->object);
    return true;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const char *size_text(uint64_t bytes, char out[24])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;

    for (; size >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        size /= 1024;
    snprintf(out, 24, unit ? "%.2f%s" : "%.0f%s", size, units[unit]);
    return out;
}

int command_bucket_create(struct ais *ais, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        char path[URI_PATH_BYTES];
        struct api_answer answer;
        struct uri uri;
        if (!parse(ais, argv[i], SCOPE_BUCKET, &uri))
            return EXIT_FAILURE;
        uri_bucket_path(&uri, path);
        int err = api_do(
            &ais->api,
            &(struct api_call){
                .method = "POST", .path = path, .route = URI_BUCKET_ROUTE, .text = "{\"action\":\"create-bck\"}"},
            &answer);
        free(answer.text);
        if (err)
            return command_fail(ais, argv[i], answer.error);
        printf("\"ais://%s\" created\n", uri.bucket);
    }
    return EXIT_SUCCESS;
}

static void print_buckets(json_t *list)
{
    json_t *item;
    size_t i;
    json_array_foreach(list, i, item) printf("ais://%s\n", json_string_value(json_object_get(item, "name")));
    if (i == 0)
        fprintf(stderr, "no buckets\n");
}

static void print_objects(json_t *list, const char *prefix)
{
    size_t i, count = 0;
    json_t *item;
    char size[24];
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (!name || strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        if (count++ == 0)
            printf("%-40s %s\n", "NAME", "SIZE");
        printf("%-40s %s\n", name, size_text((uint64_t)json_integer_value(json_object_get(item, "size")), size));
    }
    if (count == 0)
        fprintf(stderr, "no objects\n");
}

int command_list(struct ais *ais, int argc, char **argv)
{
    const char *what = argc > 0 ? argv[0] : "ais://";
    struct uri uri;
    if (!parse(ais, what, SCOPE_ANY, &uri))
        return EXIT_FAILURE;
    char path[URI_PATH_BYTES];
    uri_bucket_path(&uri, path);
    struct api_answer answer;
    int err = api_do(&ais->api,
                     &(struct api_call){
                         .method = "GET", .path = path, .route = uri.bucket[0] ? URI_BUCKET_ROUTE : URI_BUCKETS_ROUTE},
                     &answer);
    json_t *json = err ? NULL : json_loadb(answer.text ? answer.text : "", answer.text_bytes, 0, NULL);
    free(answer.text);
    if (!json)
        return command_fail(ais, what, err ? answer.error : "the answer is not JSON");
    if (uri.bucket[0])
        print_objects(json_object_get(json, "entries"), uri.object);
    else
        print_buckets(json);
    json_decref(json);
    return EXIT_SUCCESS;
}

/* ---- the cluster ---- */

static const char *uptime_text(json_int_t seconds, char out[24])
{
    if (seconds < 60)
        snprintf(out, 24, "%ds", (int)seconds);
    else if (seconds < 3600)
        snprintf(out, 24, "%dm%02ds", (int)(seconds / 60), (int)(seconds % 60));
    else
        snprintf(out, 24, "%dh%02dm", (int)(seconds / 3600), (int)(seconds / 60 % 60));
    return out;
}

static const char *count_text(json_t *value, char out[24])
{
    if (json_is_integer(value))
        snprintf(out, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return json_is_integer(value) ? out : "-";
}

static void print_node(json_t *node)
{
    const char *id = json_string_value(json_object_get(node, "id"));
    const char *role = json_string_value(json_object_get(node, "role"));
    const char *host = json_string_value(json_object_get(node, "host"));
    const char *error = json_string_value(json_object_get(node, "error"));
    char address[160];
    snprintf(address, sizeof(address), "%s:%d", host ? host : "?",
             (int)json_integer_value(json_object_get(node, "port")));
    char pid[24], objects[24], uptime[24];
    printf("%-8s %-8s %-22s %-8s %-9s %s\n", id ? id : "?", role ? role : "?", address,
           count_text(json_object_get(node, "pid"), pid), count_text(json_object_get(node, "objects"), objects),
           error ? error : uptime_text(json_integer_value(json_object_get(node, "uptime_seconds")), uptime));
}

int command_cluster(struct ais *ais, int argc, char **argv)
{
    bool whole = true;
    (void)argc, (void)argv;
    struct api_answer answer;
    int err =
        api_do(&ais->api, &(struct api_call){.method = "GET", .path = "/v1/cluster", .route = "/v1/cluster"}, &answer);
    json_t *json = err ? NULL : json_loadb(answer.text ? answer.text : "", answer.text_bytes, 0, NULL);
    free(answer.text);
    json_t *nodes = json_object_get(json, "nodes");
    if (!json_is_array(nodes)) {
        json_decref(json);
        return command_fail(ais, "cluster", err ? answer.error : "the answer has no nodes");
    }
    printf("%-8s %-8s %-22s %-8s %-9s %s\n", "NODE", "ROLE", "ADDRESS", "PID", "OBJECTS", "UPTIME");
    json_t *item;
    size_t i;
    json_array_foreach(nodes, i, item)
    {
        print_node(item);
        whole = whole && !json_object_get(item, "error");
    }
    json_decref(json);
    return whole ? EXIT_SUCCESS : command_fail(ais, "cluster", "not all nodes answer");
}

/* ---- objects ---- */

int command_put(struct ais *ais, int argc, char **argv)
{
    bool from_stdin = strcmp(argv[0], "-") == 0;
    (void)argc;
    struct uri uri;
    if (!parse(ais, argv[1], from_stdin ? SCOPE_OBJECT : SCOPE_ANY, &uri))
        return EXIT_FAILURE;
    if (!uri.bucket[0])
        return command_fail(ais, argv[1], "ais://BUCKET or ais://BUCKET/OBJECT is needed");
    FILE *file = from_stdin ? stdin : fopen(argv[0], "rb");
    struct stat st;
    if (!file || fstat(fileno(file), &st) < 0)
        return command_fail(ais, argv[0], strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        fclose(file);
        return command_fail(ais, argv[0], "is a directory");
    }
    /* "ais://bucket/dir/" keeps the file's own name below dir/, as a bucket alone does. */
    if (!from_stdin && (!uri.object[0] || uri.object[strlen(uri.object) - 1] == '/')) {
        size_t used = strlen(uri.object);
        snprintf(uri.object + used, sizeof(uri.object) - used, "%s", base_name(argv[0]));
    }
    trace_command_names(&ais->trace, uri.bucket, uri.object);
    char path[URI_PATH_BYTES];
    uri_object_path(&uri, path);
    struct api_answer answer;
    int err = api_do(&ais->api,
                     &(struct api_call){.method = "PUT",
                                        .path = path,
                                        .route = URI_OBJECT_ROUTE,
                                        .send = file,
                                        .send_bytes = S_ISREG(st.st_mode) && !from_stdin ? st.st_size : -1},
                     &answer);
    free(answer.text);
    if (!from_stdin)
        fclose(file);
    if (err)
        return command_fail(ais, argv[0], answer.error);
    printf("PUT \"%s\" => ais://%s%s%s\n", from_stdin ? uri.object : argv[0], uri.bucket,
           strcmp(uri.object, base_name(argv[0])) == 0 ? "" : "/",
           strcmp(uri.object, base_name(argv[0])) == 0 ? "" : uri.object);
    return EXIT_SUCCESS;
}

struct output {
    FILE *file;
    char path[4096];
    char temporary[4096 + 16]; /* "": written in place, because it is no regular file */
};

static int output_open(struct output *out, const char *name, const char *object)
{
    snprintf(out->path, sizeof(out->path), "%s", name ? name : base_name(object));
    struct stat st;
    if (stat(out->path, &st) == 0 && S_ISDIR(st.st_mode))
        snprintf(out->path, sizeof(out->path), "%s/%s", name ? name : ".", base_name(object));
    out->temporary[0] = '\0';
    if (strcmp(out->path, "-") == 0) {
        out->file = stdout;
    } else if (stat(out->path, &st) == 0 && !S_ISREG(st.st_mode)) {
        out->file = fopen(out->path, "wb");
    } else {
        snprintf(out->temporary, sizeof(out->temporary), "%s.%d.part", out->path, getpid());
        out->file = fopen(out->temporary, "wbx");
    }
    return out->file ? 0 : -errno;
}

static int output_close(struct output *out, bool keep)
{
    int err = out->file == stdout ? fflush(stdout) : fclose(out->file);
    if (!err && keep && out->temporary[0])
        err = rename(out->temporary, out->path);
    if ((err || !keep) && out->temporary[0])
        unlink(out->temporary);
    return err ? -errno : 0;
}

int command_get(struct ais *ais, int argc, char **argv)
{
    struct uri uri;
    if (!parse(ais, argv[0], SCOPE_OBJECT, &uri))
        return EXIT_FAILURE;
    char path[URI_PATH_BYTES];
    uri_bucket_path(&uri, path);
    struct api_answer answer;
    int err = api_do(&ais->api, &(struct api_call){.method = "HEAD", .path = path, .route = URI_BUCKET_ROUTE}, &answer);
    free(answer.text);
    if (err)
        return command_fail(ais, argv[0], answer.error);
    struct output out;
    err = output_open(&out, argc > 1 ? argv[1] : NULL, uri.object);
    if (err)
        return command_fail(ais, out.path, strerror(-err));
    uri_object_path(&uri, path);
    err = api_do(&ais->api,
                 &(struct api_call){.method = "GET", .path = path, .route = URI_OBJECT_ROUTE, .receive = out.file},
                 &answer);
    free(answer.text);
    if (err) {
        output_close(&out, false);
        return command_fail(ais, argv[0], answer.error);
    }
    err = output_close(&out, true);
    if (err)
        return command_fail(ais, out.path, strerror(-err));
    char size[24];
    size_text(answer.body_bytes, size);
    bool discard = strcmp(out.path, "/dev/null") == 0;
    if (out.file != stdout)
        printf("GET%s \"%s\" from ais://%s%s%s (%s)\n", discard ? " (and discard)" : "", uri.object, uri.bucket,
               discard ? "" : " as ", discard ? "" : out.path, size);
    return EXIT_SUCCESS;
}

int command_show(struct ais *ais, int argc, char **argv)
{
    (void)argc;
    struct uri uri;
    if (!parse(ais, argv[0], SCOPE_OBJECT, &uri))
        return EXIT_FAILURE;
    char path[URI_PATH_BYTES];
    uri_object_path(&uri, path);
    struct api_answer answer;
    int err = api_do(&ais->api, &(struct api_call){.method = "HEAD", .path = path, .route = URI_OBJECT_ROUTE}, &answer);
    free(answer.text);
    if (err)
        return command_fail(ais, argv[0], answer.error);
    printf("name      ais://%s/%s\nsize      %" PRIu64 "\nchecksum  %s[%s]\n", uri.bucket, uri.object,
           answer.length_bytes, answer.checksum_type, answer.checksum_value);
    return EXIT_SUCCESS;
}

int command_remove(struct ais *ais, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        char path[URI_PATH_BYTES];
        struct api_answer answer;
        struct uri uri;
        if (!parse(ais, argv[i], SCOPE_OBJECT, &uri))
            return EXIT_FAILURE;
        uri_object_path(&uri, path);
        int err =
            api_do(&ais->api, &(struct api_call){.method = "DELETE", .path = path, .route = URI_OBJECT_ROUTE}, &answer);
        free(answer.text);
        if (err)
            return command_fail(ais, argv[i], answer.error);
        printf("deleted \"%s\" from ais://%s\n", uri.object, uri.bucket);
    }
    return EXIT_SUCCESS;
}
