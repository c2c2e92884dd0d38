/* SPDX-License-Identifier: MIT
 *
 * aistrace traces: fetches an endpoint's traces and shows them as trees.
 */
#include <curl/curl.h>
#include <errno.h>
#include <locale.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "await.h"
#include "cli.h"
#include "options.h"
#include "render.h"

enum { DEFAULT_WIDTH = 100, CONNECT_TIMEOUT_S = 5, STALL_TIMEOUT_S = 30, MAX_LINE_BYTES = 512 << 20 };

struct traces {
    const char *endpoint, *service, *name, *trace, *min_duration;
    uint64_t limit;
    uint64_t wait_ns;
    bool json;
    struct render_settings render;
    CURL *http;
    struct buf line; /* the received part of a line */
    struct buf rendered;
    size_t shown;
    size_t unreadable;
    struct buf problem; /* body of an answer that is not 200 */
};

/* ---- receiving ---- */

static int show_line(struct traces *traces, const char *line, size_t bytes)
{
    struct tree tree;
    int err = tree_parse(line, bytes, &tree);
    if (err == -EBADMSG) {
        traces->unreadable++;
        return 0;
    }
    if (err)
        return err;
    traces->rendered.len = 0;
    err = render_trace(&traces->rendered, &tree, &traces->render);
    tree_done(&tree);
    if (!err)
        fwrite(traces->rendered.data, 1, traces->rendered.len, stdout);
    traces->shown++;
    return err;
}

static int take_lines(struct traces *traces, const char *data, size_t bytes)
{
    int err = 0;
    while (bytes > 0 && !err) {
        const char *newline = memchr(data, '\n', bytes);
        size_t part = newline ? (size_t)(newline - data) : bytes;
        if (traces->line.len + part > MAX_LINE_BYTES)
            return -E2BIG;
        err = buf_append(&traces->line, data, part);
        if (!err && newline) {
            err = show_line(traces, (const char *)traces->line.data, traces->line.len);
            traces->line.len = 0;
        }
        part += newline != NULL;
        data += part;
        bytes -= part;
    }
    return err;
}

static size_t on_data(char *data, size_t size, size_t count, void *user)
{
    struct traces *traces = user;
    size_t bytes = size * count;
    long status = 0;
    curl_easy_getinfo(traces->http, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        bool room = traces->problem.len + bytes < 4096;
        return !room || !buf_append(&traces->problem, data, bytes) ? bytes : 0;
    }
    if (traces->json) {
        traces->shown += bytes > 0;
        return fwrite(data, 1, bytes, stdout);
    }
    return take_lines(traces, data, bytes) ? 0 : bytes;
}

/* ---- asking ---- */

static int append_parameter(struct traces *traces, struct buf *url, const char *key, const char *value)
{
    char *escaped = value ? curl_easy_escape(traces->http, value, 0) : NULL;
    if (!value)
        return 0;
    int err = escaped ? buf_printf(url, "&%s=%s", key, escaped) : -ENOMEM;
    curl_free(escaped);
    return err;
}

static int make_url(struct traces *traces, struct buf *url)
{
    size_t bytes = strlen(traces->endpoint);
    while (bytes > 0 && traces->endpoint[bytes - 1] == '/')
        bytes--;
    int err =
        buf_printf(url, "%.*s/v1/traces?limit=%llu", (int)bytes, traces->endpoint, (unsigned long long)traces->limit);
    if (!err)
        err = append_parameter(traces, url, "service", traces->service);
    if (!err)
        err = append_parameter(traces, url, "name", traces->name);
    if (!err)
        err = append_parameter(traces, url, "trace", traces->trace);
    if (!err)
        err = append_parameter(traces, url, "min_duration", traces->min_duration);
    return err ? err : buf_append(url, "", 1);
}

/* Prints the message of the endpoint's JSON error. */
static void print_refusal(const struct traces *traces, long status)
{
    json_t *answer = json_loadb((const char *)traces->problem.data, traces->problem.len, 0, NULL);
    const char *message = json_string_value(json_object_get(answer, "message"));
    fprintf(stderr, "aistrace traces: %s answered %ld: ", traces->endpoint, status);
    for (; message && *message; message++)
        fputc((unsigned char)*message >= 0x20 && *message != 0x7f ? *message : '?', stderr);
    fputs(message ? "\n" : "is this an aistrace endpoint?\n", stderr);
    json_decref(answer);
}

static bool is_filtered(const struct traces *traces)
{
    return traces->service || traces->name || traces->trace || traces->min_duration;
}

static int finish(struct traces *traces, CURLcode code, const char *why)
{
    long status = 0;
    curl_easy_getinfo(traces->http, CURLINFO_RESPONSE_CODE, &status);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "aistrace traces: cannot write: %s\n", strerror(errno));
        return EXIT_INTERNAL;
    }
    if (code != CURLE_OK) {
        fprintf(stderr,
                "aistrace traces: %s: %s\nstart an endpoint with `aistrace endpoint`, or name one that runs with "
                "--endpoint URL\n",
                traces->endpoint, *why ? why : curl_easy_strerror(code));
        return EXIT_UNREACHABLE;
    }
    if (status != 200) {
        print_refusal(traces, status);
        return status == 400 ? EXIT_USAGE : EXIT_UNREACHABLE;
    }
    if (traces->unreadable) {
        fprintf(stderr, "aistrace traces: %s: %zu lines are not OTLP/JSON\n", traces->endpoint, traces->unreadable);
        return EXIT_UNREACHABLE;
    }
    if (traces->shown == 0 && !traces->json)
        printf(is_filtered(traces)
                   ? "no trace at %s matches\n"
                   : "no traces at %s yet; make one with `ais put FILE ais://BUCKET` in the playground, or "
                     "`aistrace gen --count 4` and a sidecar\n",
               traces->endpoint);
    return 0;
}

static int fetch(struct traces *traces)
{
    char why[CURL_ERROR_SIZE] = "";
    struct buf url = {0};
    traces->http = curl_easy_init();
    if (!traces->http || make_url(traces, &url)) {
        fprintf(stderr, "aistrace traces: out of memory\n");
        buf_done(&url);
        return EXIT_INTERNAL;
    }
    curl_easy_setopt(traces->http, CURLOPT_URL, (const char *)url.data);
    curl_easy_setopt(traces->http, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(traces->http, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(traces->http, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(traces->http, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(traces->http, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(traces->http, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(traces->http, CURLOPT_LOW_SPEED_TIME, (long)STALL_TIMEOUT_S);
    curl_easy_setopt(traces->http, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(traces->http, CURLOPT_WRITEDATA, traces);
    int exit_code = finish(traces, curl_easy_perform(traces->http), why);
    curl_easy_cleanup(traces->http);
    buf_done(&url);
    return exit_code;
}

/* ---- the terminal ---- */

static size_t terminal_width(void)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    unsigned long width = columns ? strtoul(columns, NULL, 10) : 0;
    if (width == 0 && isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    if (width == 0)
        width = DEFAULT_WIDTH;
    return width < RENDER_MIN_WIDTH ? RENDER_MIN_WIDTH : width > RENDER_MAX_WIDTH ? RENDER_MAX_WIDTH : width;
}

static bool wants_colour(void)
{
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && !(terminal && strcmp(terminal, "dumb") == 0);
}

static const struct option_row rows[] = {
    {.name = "endpoint",
     .letter = 'e',
     .type = OPTION_TEXT,
     .member = offsetof(struct traces, endpoint),
     .argument = "URL",
     .help = "query API of an `aistrace endpoint` (http://localhost:16686)"},
    {.name = "service",
     .letter = 's',
     .type = OPTION_TEXT,
     .member = offsetof(struct traces, service),
     .argument = "NAME",
     .help = "traces with a span of this service"},
    {.name = "name",
     .letter = 'n',
     .type = OPTION_TEXT,
     .member = offsetof(struct traces, name),
     .argument = "NAME",
     .help = "traces with a span of this name"},
    {.name = "trace",
     .letter = 't',
     .type = OPTION_TEXT,
     .member = offsetof(struct traces, trace),
     .argument = "ID",
     .help = "this trace: 32 hexadecimal digits"},
    {.name = "min-duration",
     .type = OPTION_TEXT,
     .member = offsetof(struct traces, min_duration),
     .argument = "TIME",
     .help = "traces at least this long, such as 10ms"},
    {.name = "limit",
     .letter = 'l',
     .type = OPTION_COUNT,
     .member = offsetof(struct traces, limit),
     .argument = "N",
     .help = "at most N traces, the newest (20); 0: all"},
    {.name = "wait",
     .letter = 'w',
     .type = OPTION_DURATION,
     .member = offsetof(struct traces, wait_ns),
     .argument = "TIME",
     .help = "how long to wait for the endpoint's first spans (2s)"},
    {.name = "all",
     .letter = 'a',
     .type = OPTION_SWITCH,
     .member = offsetof(struct traces, render.everything),
     .help = "all attributes in full, events, links, ids, resource"},
    {.name = "json",
     .type = OPTION_SWITCH,
     .member = offsetof(struct traces, json),
     .help = "OTLP/JSON, a line per trace"},
};

static const struct option_table table = {
    .command = "aistrace traces",
    .summary = "Shows an endpoint's traces as trees, the newest last.",
    .epilogue = "Marks: ✗ error, ✓ explicitly ok, ? the span's parent is not (yet) in the trace.\n"
                "The bar says when in its trace a span ran. COLUMNS and NO_COLOR are honoured.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
};

int cli_traces(int argc, char **argv)
{
    struct traces traces = {.endpoint = "http://localhost:16686", .limit = 20, .wait_ns = 2000000000};
    int exit_code;
    if (!options_parse(&table, argc, argv, &traces, &exit_code))
        return exit_code;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        setlocale(LC_CTYPE, "");
    traces.render.width = terminal_width();
    traces.render.colour = wants_colour();
    if (!traces.json && !is_filtered(&traces))
        await_first_spans(traces.endpoint, traces.wait_ns);
    exit_code = fetch(&traces);
    buf_done(&traces.line);
    buf_done(&traces.rendered);
    buf_done(&traces.problem);
    return exit_code;
}
