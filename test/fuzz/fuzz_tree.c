/* SPDX-License-Identifier: MIT
 *
 * A line that an endpoint may send to `aistrace traces`, as a tree on a terminal. Mutated JSON is seldom JSON: an input
 * that does not begin with '{' chooses, byte by byte, what of a line of OTLP/JSON is there, and what stands there instead.
 */
#include <locale.h>

#include "base/buf.h"
#include "cli/render.h"
#include "fuzz.h"

enum { INPUT_MAX = 200, DEPTH_MAX = 12, ELEMENTS = 5, TEXT_MAX = 32 };
enum kind { TEXT, ID, DIGITS, NUMBER, BOOL, NOTHING, OBJECT, ARRAY };

struct shape;
struct member {
    const char *key;
    const struct shape *shape;
};
struct shape {
    enum kind kind;
    const struct member *members; /* of an object, up to one without a key */
    const struct shape *element;  /* of an array */
};

static const struct shape text = {TEXT}, id = {ID}, digits = {DIGITS}, number = {NUMBER}, boolean = {BOOL},
                          nothing = {NOTHING};
static const struct shape value, attribute, values = {ARRAY, .element = &value},
                                            attributes = {ARRAY, .element = &attribute};
static const struct shape list = {OBJECT, (const struct member[]){{"values", &values}, {0}}};
static const struct shape map = {OBJECT, (const struct member[]){{"values", &attributes}, {0}}};
static const struct shape value = {OBJECT, (const struct member[]){{"stringValue", &text},
                                                                   {"intValue", &digits},
                                                                   {"doubleValue", &number},
                                                                   {"boolValue", &boolean},
                                                                   {"bytesValue", &text},
                                                                   {"arrayValue", &list},
                                                                   {"kvlistValue", &map},
                                                                   {0}}};
static const struct shape attribute = {OBJECT, (const struct member[]){{"key", &text}, {"value", &value}, {0}}};
static const struct shape status = {OBJECT, (const struct member[]){{"code", &number}, {"message", &text}, {0}}};
static const struct shape event = {
    OBJECT, (const struct member[]){{"timeUnixNano", &digits}, {"name", &text}, {"attributes", &attributes}, {0}}};
static const struct shape link = {
    OBJECT, (const struct member[]){{"traceId", &id}, {"spanId", &id}, {"attributes", &attributes}, {0}}};
static const struct shape events = {ARRAY, .element = &event}, links = {ARRAY, .element = &link};
static const struct shape span = {OBJECT, (const struct member[]){{"traceId", &id},
                                                                  {"spanId", &id},
                                                                  {"parentSpanId", &id},
                                                                  {"name", &text},
                                                                  {"startTimeUnixNano", &digits},
                                                                  {"endTimeUnixNano", &digits},
                                                                  {"kind", &number},
                                                                  {"status", &status},
                                                                  {"attributes", &attributes},
                                                                  {"events", &events},
                                                                  {"links", &links},
                                                                  {"traceState", &text},
                                                                  {0}}};
static const struct shape spans = {ARRAY, .element = &span};
static const struct shape scope = {OBJECT, (const struct member[]){{"spans", &spans}, {"scope", &map}, {0}}};
static const struct shape scopes = {ARRAY, .element = &scope};
static const struct shape service = {OBJECT, (const struct member[]){{"attributes", &attributes}, {0}}};
static const struct shape group = {OBJECT,
                                   (const struct member[]){{"resource", &service}, {"scopeSpans", &scopes}, {0}}};
static const struct shape groups = {ARRAY, .element = &group};
static const struct shape line = {OBJECT, (const struct member[]){{"resourceSpans", &groups}, {0}}};

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t next(struct input *in)
{
    uint8_t byte = 0;
    fuzz_take(&in->data, &in->size, &byte, 1);
    return byte;
}

static void put(struct buf *out, const char *words)
{
    fuzz_check(buf_append(out, words, strlen(words)) == 0);
}

static void put_text(struct buf *out, struct input *in)
{
    static const char *const known[] = {"service.name", "", "\\u0000", "\\ud83d\\ude00", "exception", "\\u202e"};
    uint8_t length = next(in);
    put(out, "\"");
    if (length >= 0xf0)
        put(out, known[length % (sizeof(known) / sizeof(*known))]);
    else
        for (unsigned i = 0; i < length % TEXT_MAX; i++)
            fuzz_check(buf_printf(out, "\\u00%02x", next(in)) == 0);
    put(out, "\"");
}

static void put_number(struct buf *out, struct input *in)
{
    int8_t small = (int8_t)next(in);
    int64_t large;
    if (small != INT8_MIN) {
        fuzz_check(buf_printf(out, "%d", small) == 0);
        return;
    }
    large = 0;
    fuzz_take(&in->data, &in->size, &large, sizeof(large));
    fuzz_check(buf_printf(out, "%lld", (long long)large) == 0);
}

static void put_shape(struct buf *out, struct input *in, const struct shape *shape, unsigned depth);

static void put_object(struct buf *out, struct input *in, const struct shape *shape, unsigned depth)
{
    static const struct shape *const others[] = {&text,    &digits, &number, &boolean,
                                                 &nothing, &spans,  &value,  &attributes};
    const char *comma = "";
    put(out, "{");
    for (const struct member *member = shape->members; member->key; member++) {
        uint8_t how = next(in) % 16;
        if (how == 15) /* absent */
            continue;
        fuzz_check(buf_printf(out, "%s\"%s\":", comma, member->key) == 0);
        put_shape(out, in, how == 14 ? others[next(in) % (sizeof(others) / sizeof(*others))] : member->shape,
                  depth + 1);
        comma = ",";
    }
    put(out, "}");
}

static void put_array(struct buf *out, struct input *in, const struct shape *shape, unsigned depth)
{
    put(out, "[");
    for (unsigned i = 0, count = in->size ? 1 + next(in) % ELEMENTS : 0; i < count; i++) {
        put(out, i ? "," : "");
        put_shape(out, in, shape->element, depth + 1);
    }
    put(out, "]");
}

static void put_shape(struct buf *out, struct input *in, const struct shape *shape, unsigned depth)
{
    switch (depth < DEPTH_MAX ? shape->kind : NOTHING) {
    case TEXT:
        put_text(out, in);
        break;
    case ID: /* few, so that spans find their parents */
        fuzz_check(buf_printf(out, "\"0%u\"", next(in) % 8) == 0);
        break;
    case DIGITS:
        put(out, "\"");
        put_number(out, in);
        put(out, "\"");
        break;
    case NUMBER:
        put_number(out, in);
        break;
    case BOOL:
        put(out, next(in) % 2 ? "true" : "false");
        break;
    case NOTHING:
        put(out, "null");
        break;
    case OBJECT:
        put_object(out, in, shape, depth);
        break;
    case ARRAY:
        put_array(out, in, shape, depth);
        break;
    }
}

static void render_both(const struct tree *tree)
{
    struct render_settings settings = {.width = RENDER_MIN_WIDTH};
    for (int everything = 0; everything < 2; everything++) {
        struct buf out = {0};
        settings.everything = settings.colour = everything;
        fuzz_check(render_trace(&out, tree, &settings) == 0);
        for (size_t i = 0; i < out.len; i++) /* the only control characters are ours */
            fuzz_check(out.data[i] >= 0x20 || out.data[i] == '\n' || (everything && out.data[i] == '\033'));
        buf_done(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *locale;
    struct buf made = {0};
    struct tree tree;
    size = size < INPUT_MAX ? size : INPUT_MAX;
    bool raw = size == 0 || data[0] == '{';
    if (!locale)
        locale = setlocale(LC_CTYPE, "C.UTF-8");
    fuzz_check(locale != NULL);
    if (!raw)
        put_shape(&made, &(struct input){data, size}, &line, 0);
    int err = raw ? tree_parse((const char *)data, size, &tree) : tree_parse((const char *)made.data, made.len, &tree);
    if (!err) {
        render_both(&tree);
        tree_done(&tree);
    }
    buf_done(&made);
    return 0;
}
