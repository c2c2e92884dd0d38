/* SPDX-License-Identifier: MIT
 *
 * Trees of spans from OTLP/JSON, and what they look like.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/render.h"
#include "cli/tree.h"
#include "support/test.h"

/* Spans as rows: id, parent, name, start and end in microseconds after the first, and more members. */
struct row {
    int id, parent;
    const char *name;
    unsigned start_us, end_us;
    const char *more;
};

static struct buf line;

static void set_up(void)
{
    ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C.UTF-8"));
    setenv("TZ", "UTC", 1);
    tzset();
}

static void tear_down(void)
{
    buf_done(&line);
}

FIXTURE(set_up, tear_down);

static void begin(const char *service)
{
    buf_printf(&line,
               "%s{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"%s\"}}]},"
               "\"scopeSpans\":[{\"spans\":[",
               line.len ? "," : "{\"resourceSpans\":[", service);
}

static void add(const struct row *row, bool first)
{
    buf_printf(&line, "%s{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"%016x\",", first ? "" : ",",
               (unsigned)row->id);
    if (row->parent)
        buf_printf(&line, "\"parentSpanId\":\"%016x\",", (unsigned)row->parent);
    buf_printf(&line, "\"name\":\"%s\",\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\"%s%s}", row->name,
               1785585600123000000ull + row->start_us * 1000ull, 1785585600123000000ull + row->end_us * 1000ull,
               row->more ? "," : "", row->more ? row->more : "");
}

static void add_group(const char *service, const struct row *rows, size_t count)
{
    begin(service);
    for (size_t i = 0; i < count; i++)
        add(&rows[i], i == 0);
    buf_printf(&line, "]}]}");
}

#define ROWS(...) (const struct row[]){__VA_ARGS__}, sizeof((const struct row[]){__VA_ARGS__}) / sizeof(struct row)

static struct tree parse(void)
{
    struct tree tree;
    buf_printf(&line, "]}");
    ck_assert_int_eq(tree_parse((const char *)line.data, line.len, &tree), 0);
    return tree;
}

static void check_render(size_t width, bool everything, const char *expected)
{
    struct tree tree = parse();
    struct buf out = {0};
    struct render_settings settings = {.width = width, .everything = everything};
    ck_assert_int_eq(render_trace(&out, &tree, &settings), 0);
    ck_assert_int_eq(buf_append(&out, "", 1), 0);
    ck_assert_str_eq((const char *)out.data, expected);
    buf_done(&out);
    tree_done(&tree);
}

/* The walk as "name name(orphan?) ..." with a dot per level. */
static void check_walk(const char *expected)
{
    char walk[1024] = "";
    struct tree tree = parse();
    size_t at = 0;
    for (ptrdiff_t i = tree_next(&tree, TREE_NONE); i != TREE_NONE; i = tree_next(&tree, i)) {
        const struct tree_span *span = &tree.spans[i];
        for (size_t depth = 0; depth < span->depth; depth++)
            walk[at++] = '.';
        at += (size_t)snprintf(walk + at, sizeof(walk) - at, "%.*s%s ", (int)span->name.bytes, span->name.data,
                               span->orphan ? "?" : "");
    }
    ck_assert_str_eq(walk, expected);
    tree_done(&tree);
}

TEST(children_stand_under_their_parent_by_start)
{
    add_group("a", ROWS({4, 2, "d", 30, 40, NULL}, {3, 1, "c", 50, 60, NULL}, {2, 1, "b", 10, 45, NULL}));
    add_group("b", ROWS({1, 0, "a", 0, 100, NULL}, {5, 2, "e", 20, 30, NULL}));
    check_walk("a .b ..e ..d .c ");
}

TEST(a_span_without_its_parent_is_a_marked_root)
{
    add_group("a", ROWS({1, 0, "a", 0, 100, NULL}, {2, 99, "lost", 10, 20, NULL}, {3, 2, "child", 12, 14, NULL}));
    check_walk("a lost? .child ");
}

TEST(spans_that_are_each_others_parent_are_all_shown)
{
    add_group("a", ROWS({1, 3, "a", 0, 1, NULL}, {2, 1, "b", 2, 3, NULL}, {3, 2, "c", 4, 5, NULL},
                        {4, 4, "self", 6, 7, NULL}, {5, 3, "under", 8, 9, NULL}));
    check_walk("b? .c ..a ..under self? ");
}

TEST(a_parent_of_zeros_is_none)
{
    add_group("a", ROWS({1, 0, "a", 0, 1, "\"parentSpanId\":\"0000000000000000\""}));
    check_walk("a ");
}

TEST(what_is_no_trace_is_refused)
{
    static const char *const bad[] = {"",
                                      "nonsense",
                                      "[]",
                                      "3",
                                      "{}",
                                      "{\"resourceSpans\":[]}",
                                      "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[]}]}]}",
                                      "{\"resourceSpans\":{\"a\":1}}"};
    struct tree tree;
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_int_eq(tree_parse(bad[i], strlen(bad[i]), &tree), -EBADMSG);
    /* odd, but spans: every member may be of any type */
    static const char odd[] = "{\"resourceSpans\":[7,{\"resource\":[],\"scopeSpans\":[{\"spans\":[1,{\"spanId\":2,"
                              "\"attributes\":[null,{\"key\":3}],\"events\":{},\"status\":\"x\"}]}]}]}";
    struct buf out = {0};
    ck_assert_int_eq(tree_parse(odd, strlen(odd), &tree), 0);
    ck_assert_uint_eq(tree.count, 2);
    ck_assert_int_eq(render_trace(&out, &tree, &(struct render_settings){.width = 80, .everything = true}), 0);
    buf_done(&out);
    tree_done(&tree);
}

TEST(a_request_through_two_services)
{
    add_group(
        "aistore-proxy",
        ROWS({1, 0, "PUT /v1/objects", 0, 1200,
              "\"kind\":2,\"attributes\":[{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"307\"}},"
              "{\"key\":\"url.path\",\"value\":{\"stringValue\":\"/v1/objects/nnn/a b\"}}]"}));
    add_group("aistore-target",
              ROWS({2, 1, "PUT /v1/objects", 1900, 12410, "\"kind\":2"},
                   {3, 2, "checksum", 9000, 12000, "\"status\":{\"code\":2,\"message\":\"no match\"}"},
                   {4, 9, "late", 5000, 6000, "\"status\":{\"code\":1}"}));
    check_render(
        80, false,
        "trace 0102030405060708090a0b0c0d0e0f10  2026-08-01 12:00:00.123  12.4ms  4 spans  2 services  1 error\n"
        "├─ aistore-proxy PUT /v1/objects               ▕██                  ▏   1.20ms\n"
        "│  │  server  http.response.status_code=307  url.path=\"/v1/objects/nnn/a b\"\n"
        "│  └─ aistore-target PUT /v1/objects           ▕   █████████████████▏   10.5ms\n"
        "│     │  server\n"
        "│     └─ aistore-target checksum               ▕              ██████▏   3.00ms ✗\n"
        "│           error: no match\n"
        "└─ ? aistore-target late                       ▕        ██          ▏   1.00ms ✓\n"
        "      its parent is not here: 0000000000000009\n"
        "\n");
}

TEST(everything_means_everything)
{
    add_group(
        "shop",
        ROWS({1, 0, "buy", 0, 1000,
              "\"traceState\":\"x=y\",\"attributes\":["
              "{\"key\":\"list\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"a\"},{\"intValue\":\"7\"},"
              "{\"boolValue\":false}]}}},"
              "{\"key\":\"map\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":"
              "{\"doubleValue\":0.5}}]}}},"
              "{\"key\":\"inf\",\"value\":{\"doubleValue\":\"Infinity\"}},"
              "{\"key\":\"raw\",\"value\":{\"bytesValue\":\"/w==\"}},{\"key\":\"none\",\"value\":{}}],"
              "\"events\":[{\"timeUnixNano\":\"1785585600123250000\",\"name\":\"paid\","
              "\"attributes\":[{\"key\":\"sum\",\"value\":{\"intValue\":\"3\"}}]}],"
              "\"links\":[{\"traceId\":\"aa\",\"spanId\":\"bb\"}]"}));
    check_render(80, true,
                 "trace 0102030405060708090a0b0c0d0e0f10  2026-08-01 12:00:00.123  1.00ms  1 span  1 service\n"
                 "╶─ shop buy                                    ▕████████████████████▏   1.00ms\n"
                 "      list=[a, 7, false]  map={k=0.5}  inf=Infinity  raw=/w==  none=-\n"
                 "      event +250µs paid  sum=3\n"
                 "      link to trace aa  span bb\n"
                 "      span 0000000000000001  tracestate x=y\n"
                 "      resource:  service.name=shop\n"
                 "\n");
}

TEST(hostile_text_does_not_reach_the_terminal)
{
    add_group("s\\u001b[31m",
              ROWS({1, 0, "a\\u0000\\n\\u009bb\\u202e", 0, 1000,
                    "\"attributes\":[{\"key\":\"k\\u0007\",\"value\":{\"stringValue\":\"\\u001b]0;x\"}}]"}));
    check_render(
        100, false,
        "trace 0102030405060708090a0b0c0d0e0f10  2026-08-01 12:00:00.123  1.00ms  1 span  1 service\n"
        "╶─ s\\u001b[31m a\\u0000\\n\\u009bb\\u202e                         ▕█████████████████████████▏   1.00ms\n"
        "      k\\u0007=\\u001b]0;x\n"
        "\n");
}

TEST(wide_and_long_text_keeps_the_columns)
{
    add_group("世界世界世界世界世界世界世界世界世界世界世界",
              ROWS({1, 0, "名前がとても長いスパンの名前です", 0, 1000, NULL}));
    check_render(60, false,
                 "trace 0102030405060708090a0b0c0d0e0f10  2026-08-01 12:00:00.123  1.00ms  1 span  1 service\n"
                 "╶─ 世界世界世界世界… 名前がと…  ▕███████████████▏   1.00ms\n"
                 "\n");
}

TEST(attributes_wrap_and_the_rest_is_counted)
{
    struct buf more = {0};
    buf_printf(&more, "\"attributes\":[");
    for (int i = 0; i < 20; i++)
        buf_printf(&more, "%s{\"key\":\"attribute.%d\",\"value\":{\"stringValue\":\"value%d\"}}", i ? "," : "", i, i);
    buf_printf(&more, "]%c", 0);
    add_group("shop", ROWS({1, 0, "buy", 0, 1000, (const char *)more.data}));
    check_render(70, false,
                 "trace 0102030405060708090a0b0c0d0e0f10  2026-08-01 12:00:00.123  1.00ms  1 span  1 service\n"
                 "╶─ shop buy                             ▕█████████████████▏   1.00ms\n"
                 "      attribute.0=value0  attribute.1=value1  attribute.2=value2\n"
                 "      attribute.3=value3  attribute.4=value4  attribute.5=value5\n"
                 "      attribute.6=value6  attribute.7=value7  … 12 more\n"
                 "\n");
    buf_done(&more);
}

TEST(a_chain_of_many_thousand_spans_stays_readable)
{
    enum { SPANS = 20000, WIDTH = 100 };
    begin("deep");
    for (int i = 1; i <= SPANS; i++)
        add(&(struct row){i, i - 1, "n", (unsigned)i, SPANS + 1, NULL}, i == 1);
    buf_printf(&line, "]}]}");
    struct tree tree = parse();
    struct buf out = {0};
    ck_assert_int_eq(render_trace(&out, &tree, &(struct render_settings){.width = WIDTH}), 0);
    size_t lines = 0;
    for (size_t i = 0; i < out.len; i++)
        lines += out.data[i] == '\n';
    ck_assert_uint_eq(lines, SPANS + 2);
    ck_assert_uint_lt(out.len, (size_t)SPANS * WIDTH * 4);
    buf_done(&out);
    tree_done(&tree);
}

TEST(colours_only_when_wanted_and_always_ended)
{
    add_group("shop", ROWS({1, 0, "buy", 0, 1000, "\"status\":{\"code\":2,\"message\":\"m\"}"}));
    struct tree tree = parse();
    struct buf out = {0};
    size_t starts = 0, ends = 0;
    ck_assert_int_eq(render_trace(&out, &tree, &(struct render_settings){.width = 80, .colour = true}), 0);
    for (size_t i = 0; i + 3 < out.len; i++) {
        starts += memcmp(out.data + i, "\033[", 2) == 0;
        ends += memcmp(out.data + i, "\033[0m", 4) == 0;
    }
    ck_assert_uint_gt(ends, 0);
    ck_assert_uint_eq(starts, 2 * ends);
    buf_done(&out);
    tree_done(&tree);
}
