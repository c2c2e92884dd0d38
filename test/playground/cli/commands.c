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

#include "api.h"
#include "uri.h"

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "ais: %s: %s\n", what, why);
    return EXIT_FAILURE;
}

enum scope { SCOPE_ANY, SCOPE_BUCKET, SCOPE_OBJECT };

static bool parse(const char *text, enum scope scope, struct uri *out)
{
    char error[1280];

    if (uri_parse(text, out, error, sizeof(error)) < 0) {
        fprintf(stderr, "ais: %s\n", error);
        return false;
    }
    if ((scope != SCOPE_ANY && !out->bucket[0]) || (scope == SCOPE_OBJECT && !out->object[0]) ||
        (scope == SCOPE_BUCKET && out->object[0])) {
        fprintf(stderr, "ais: \"%s\": %s is needed\n", text,
                scope == SCOPE_OBJECT ? "ais://BUCKET/OBJECT" : "ais://BUCKET");
        return false;
    }
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

int command_bucket_create(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        char path[URI_PATH_BYTES];
        struct api_answer answer;
        struct uri uri;
        if (!parse(argv[i], SCOPE_BUCKET, &uri))
            return EXIT_FAILURE;
        uri_bucket_path(&uri, path);
        int err =
            api_do(&(struct api_call){.method = "POST", .path = path, .text = "{\"action\":\"create-bck\"}"}, &answer);
        free(answer.text);
        if (err < 0)
            return fail(argv[i], answer.error);
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
    json_t *item;
    size_t i, count = 0;
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

int command_list(int argc, char **argv)
{
    const char *what = argc > 0 ? argv[0] : "ais://";
    char path[URI_PATH_BYTES];
    struct api_answer answer;
    struct uri uri;
    json_t *json;
    int err;

    if (!parse(what, SCOPE_ANY, &uri))
        return EXIT_FAILURE;
    uri_bucket_path(&uri, path);
    err = api_do(&(struct api_call){.method = "GET", .path = path}, &answer);
    json = err == 0 ? json_loadb(answer.text ? answer.text : "", answer.text_bytes, 0, NULL) : NULL;
    free(answer.text);
    if (!json)
        return fail(what, err < 0 ? answer.error : "the answer is not JSON");
    if (uri.bucket[0])
        print_objects(json_object_get(json, "entries"), uri.object);
    else
        print_buckets(json);
    json_decref(json);
    return EXIT_SUCCESS;
}

/* ---- objects ---- */

int command_put(int argc, char **argv)
{
    bool from_stdin = strcmp(argv[0], "-") == 0;
    char path[URI_PATH_BYTES];
    struct api_answer answer;
    struct stat st;
    struct uri uri;
    FILE *file;
    int err;

    (void)argc;
    if (!parse(argv[1], from_stdin ? SCOPE_OBJECT : SCOPE_ANY, &uri))
        return EXIT_FAILURE;
    if (!uri.bucket[0])
        return fail(argv[1], "ais://BUCKET or ais://BUCKET/OBJECT is needed");
    file = from_stdin ? stdin : fopen(argv[0], "rb");
    if (!file || fstat(fileno(file), &st) < 0)
        return fail(argv[0], strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        fclose(file);
        return fail(argv[0], "is a directory");
    }
    /* "ais://bucket/dir/" keeps the file's own name below dir/, as a bucket alone does. */
    if (!from_stdin && (!uri.object[0] || uri.object[strlen(uri.object) - 1] == '/')) {
        size_t used = strlen(uri.object);
        snprintf(uri.object + used, sizeof(uri.object) - used, "%s", base_name(argv[0]));
    }
    uri_object_path(&uri, path);
    err = api_do(&(struct api_call){.method = "PUT",
                                    .path = path,
                                    .send = file,
                                    .send_bytes = S_ISREG(st.st_mode) && !from_stdin ? st.st_size : -1},
                 &answer);
    free(answer.text);
    if (!from_stdin)
        fclose(file);
    if (err < 0)
        return fail(argv[0], answer.error);
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
    struct stat st;

    snprintf(out->path, sizeof(out->path), "%s", name ? name : base_name(object));
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

    if (err == 0 && keep && out->temporary[0])
        err = rename(out->temporary, out->path);
    if ((err != 0 || !keep) && out->temporary[0])
        unlink(out->temporary);
    return err == 0 ? 0 : -errno;
}

int command_get(int argc, char **argv)
{
    char path[URI_PATH_BYTES];
    char size[24];
    struct api_answer answer;
    struct output out;
    struct uri uri;
    bool discard;
    int err;

    if (!parse(argv[0], SCOPE_OBJECT, &uri))
        return EXIT_FAILURE;
    uri_bucket_path(&uri, path);
    err = api_do(&(struct api_call){.method = "HEAD", .path = path}, &answer);
    free(answer.text);
    if (err < 0)
        return fail(argv[0], answer.error);
    err = output_open(&out, argc > 1 ? argv[1] : NULL, uri.object);
    if (err < 0)
        return fail(out.path, strerror(-err));
    uri_object_path(&uri, path);
    err = api_do(&(struct api_call){.method = "GET", .path = path, .receive = out.file}, &answer);
    free(answer.text);
    if (err < 0) {
        output_close(&out, false);
        return fail(argv[0], answer.error);
    }
    err = output_close(&out, true);
    if (err < 0)
        return fail(out.path, strerror(-err));
    size_text(answer.body_bytes, size);
    discard = strcmp(out.path, "/dev/null") == 0;
    if (out.file != stdout)
        printf("GET%s \"%s\" from ais://%s%s%s (%s)\n", discard ? " (and discard)" : "", uri.object, uri.bucket,
               discard ? "" : " as ", discard ? "" : out.path, size);
    return EXIT_SUCCESS;
}

int command_show(int argc, char **argv)
{
    char path[URI_PATH_BYTES];
    struct api_answer answer;
    struct uri uri;
    int err;

    (void)argc;
    if (!parse(argv[0], SCOPE_OBJECT, &uri))
        return EXIT_FAILURE;
    uri_object_path(&uri, path);
    err = api_do(&(struct api_call){.method = "HEAD", .path = path}, &answer);
    free(answer.text);
    if (err < 0)
        return fail(argv[0], answer.error);
    printf("name      ais://%s/%s\nsize      %" PRIu64 "\nchecksum  %s[%s]\n", uri.bucket, uri.object,
           answer.length_bytes, answer.checksum_type, answer.checksum_value);
    return EXIT_SUCCESS;
}

int command_remove(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        char path[URI_PATH_BYTES];
        struct api_answer answer;
        struct uri uri;
        if (!parse(argv[i], SCOPE_OBJECT, &uri))
            return EXIT_FAILURE;
        uri_object_path(&uri, path);
        int err = api_do(&(struct api_call){.method = "DELETE", .path = path}, &answer);
        free(answer.text);
        if (err < 0)
            return fail(argv[i], answer.error);
        printf("deleted \"%s\" from ais://%s\n", uri.object, uri.bucket);
    }
    return EXIT_SUCCESS;
}
