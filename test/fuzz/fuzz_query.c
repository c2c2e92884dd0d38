/* SPDX-License-Identifier: MIT
 *
 * What a browser may ask of the embedded endpoint, about spans that a program may send. The input is a line of a path
 * and parameters ("/api/traces?service=svc&limit=3") and an export request behind it.
 */
#include <jansson.h>

#include "endpoint/ingest.h"
#include "endpoint/jaeger/jaeger_api.h"
#include "endpoint/traces/trace_lines.h"
#include "fuzz.h"

enum { PARAMETERS = 8, PIECE_BYTES = 100 };

/* Cuts off the bytes in front of `end`, or all. */
static struct wire_bytes cut(struct wire_bytes *rest, char end)
{
    const uint8_t *found = rest->len ? memchr(rest->data, end, rest->len) : NULL;
    struct wire_bytes part = {rest->data, found ? (size_t)(found - rest->data) : rest->len};
    size_t taken = part.len + (found != NULL);
    if (taken)
        *rest = (struct wire_bytes){rest->data + taken, rest->len - taken};
    return part;
}

static char *text_of(struct wire_bytes bytes)
{
    return bytes.len ? strndup((const char *)bytes.data, bytes.len) : strdup("");
}

/* Each line must be JSON; jansson takes no NUL in a key. */
static void check_json(const struct buf *answer)
{
    struct wire_bytes rest = {answer->data, answer->len};
    while (rest.len > 0) {
        struct wire_bytes line = cut(&rest, '\n');
        json_t *json = json_loadb((const char *)line.data, line.len, JSON_ALLOW_NUL, NULL);
        fuzz_check(json || memmem(line.data, line.len, "\\u0000", 6));
        json_decref(json);
    }
}

static void ask_api(struct store *store, struct wire_bytes path, const struct trace_query_parameter *parameters,
                    size_t count)
{
    struct jaeger_answer *answer;
    struct buf out = {0};
    char *text = text_of(path);
    int more;
    fuzz_check(jaeger_api_get(store, text, parameters, count, 1000, &answer) == 0);
    while ((more = jaeger_answer_next(answer, &out, PIECE_BYTES)) > 0)
        ;
    fuzz_check(more == 0);
    for (size_t i = 0; i < out.len; i++) { /* an answer is one value; summaries come on several lines */
        if (out.data[i] == '\n')
            out.data[i] = ' ';
    }
    check_json(&out);
    jaeger_answer_free(answer);
    buf_done(&out);
    free(text);
}

static void ask_lines(struct store *store, const struct trace_query_parameter *parameters, size_t count)
{
    struct trace_filter filter = {0};
    struct trace_lines *lines;
    struct buf out = {0};
    char *texts[2 * PARAMETERS];
    int more;
    for (size_t i = 0; i < count; i++) {
        texts[2 * i] = text_of(parameters[i].key);
        texts[2 * i + 1] = text_of(parameters[i].value);
        trace_filter_set(&filter, texts[2 * i], texts[2 * i + 1]);
    }
    fuzz_check(trace_lines_new(store, &filter, &lines) == 0);
    while ((more = trace_lines_next(lines, &out, PIECE_BYTES)) > 0)
        ;
    fuzz_check(more == 0);
    check_json(&out);
    trace_lines_free(lines);
    buf_done(&out);
    for (size_t i = 0; i < 2 * count; i++)
        free(texts[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store *store;
    struct ingest_result result;
    struct trace_query_parameter parameters[PARAMETERS];
    struct wire_bytes rest = {data, size}, line = cut(&rest, '\n'), path = cut(&line, '?');
    size_t count = 0;
    for (; count < PARAMETERS && line.len > 0; count++) {
        struct wire_bytes value = cut(&line, '&');
        parameters[count].key = cut(&value, '=');
        parameters[count].value = value;
    }
    fuzz_check(store_new(STORE_MIN_BYTES, 1, &store) == 0);
    ingest(store, rest, 1, &result);
    ask_api(store, path, parameters, count);
    ask_lines(store, parameters, count);
    store_free(store);
    return 0;
}
