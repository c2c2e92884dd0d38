/* SPDX-License-Identifier: MIT */
#include "render.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/otlp.h"
#include "line.h"
#include "value.h"

enum { SHORT_VALUE_COLUMNS = 48, SHORT_LINES = 3, MORE_COLUMNS = 12, DURATION_COLUMNS = 8, BAR_MIN = 8, BAR_MAX = 40 };

struct render {
    const struct tree *tree;
    const struct render_settings *settings;
    struct line line;
    size_t bar_columns;
    size_t left_columns; /* tree, service, name */
    size_t max_levels;   /* of the tree; deeper ones are not indented further */
};

/* ---- pieces ---- */

static void format_duration(char *out, size_t capacity, uint64_t ns)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}};
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        double value = (double)ns / units[i].ns;
        if (value < 0.9995)
            continue;
        snprintf(out, capacity, "%.*f%s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, units[i].unit);
        return;
    }
    snprintf(out, capacity, "%uns", (unsigned)ns);
}

static void put_time(struct line *line, uint64_t unix_ns)
{
    char text[64] = "?", milliseconds[8];
    time_t seconds = (time_t)(unix_ns / 1000000000);
    struct tm local;
    if (localtime_r(&seconds, &local))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
    snprintf(milliseconds, sizeof(milliseconds), ".%03u", (unsigned)(unix_ns / 1000000 % 1000));
    line_puts(line, LINE_PLAIN, text);
    line_puts(line, LINE_PLAIN, milliseconds);
}

static void put_count(struct line *line, enum line_style style, size_t count, const char *noun)
{
    char text[64];
    snprintf(text, sizeof(text), "  %zu %s%s", count, noun, count == 1 ? "" : "s");
    line_puts(line, style, text);
}

static void put_head(struct render *render)
{
    const struct tree *tree = render->tree;
    char duration[32];
    format_duration(duration, sizeof(duration), tree->end_ns - tree->start_ns);
    line_puts(&render->line, LINE_PLAIN, "trace ");
    line_put(&render->line, LINE_BOLD, tree->trace_id.data, tree->trace_id.bytes, 32);
    line_puts(&render->line, LINE_PLAIN, "  ");
    put_time(&render->line, tree->start_ns);
    line_puts(&render->line, LINE_PLAIN, "  ");
    line_puts(&render->line, LINE_PLAIN, duration);
    put_count(&render->line, LINE_PLAIN, tree->count, "span");
    put_count(&render->line, LINE_PLAIN, tree->services, "service");
    if (tree->errors)
        put_count(&render->line, LINE_ERROR, tree->errors, "error");
    line_end(&render->line);
}

/* ---- the tree's branches ---- */

static bool is_last(const struct render *render, ptrdiff_t index)
{
    return render->tree->spans[index].next_sibling == TREE_NONE;
}

/* The branches in front of a span's own line, or (beneath) of the lines that belong to it. */
static void put_branches(struct render *render, const struct tree_span *span, bool beneath)
{
    const struct tree_span *spans = render->tree->spans;
    ptrdiff_t path[RENDER_MAX_WIDTH];
    size_t levels = span->depth + 1 < render->max_levels ? span->depth + 1 : render->max_levels;
    ptrdiff_t at = span - spans;
    for (size_t i = levels; i-- > 0; at = spans[at].parent)
        path[i] = at;
    if (levels < span->depth + 1)
        line_puts(&render->line, LINE_DIM, "⋯ ");
    for (size_t i = 0; i < levels; i++) {
        bool last = is_last(render, path[i]), own = i + 1 == levels && !beneath;
        if (span->depth == 0 && own && last && render->tree->first_root == path[i])
            line_puts(&render->line, LINE_DIM, "╶─ ");
        else
            line_puts(&render->line, LINE_DIM, own ? (last ? "└─ " : "├─ ") : (last ? "   " : "│  "));
    }
    if (beneath)
        line_puts(&render->line, LINE_DIM, span->first_child != TREE_NONE ? "│  " : "   ");
}

/* ---- a span's line ---- */

static void put_bar(struct render *render, const struct tree_span *span)
{
    const struct tree *tree = render->tree;
    double whole = (double)(tree->end_ns - tree->start_ns), columns = (double)render->bar_columns;
    double from = whole > 0 ? (double)(span->start_ns - tree->start_ns) / whole * columns : 0;
    double to = whole > 0 ? (double)(span->end_ns - tree->start_ns) / whole * columns : columns;
    size_t first = (size_t)from, end = (size_t)ceil(to - 1e-9);
    if (first >= render->bar_columns)
        first = render->bar_columns - 1;
    if (end <= first)
        end = first + 1;
    size_t start_column = render->line.column;
    line_puts(&render->line, LINE_DIM, "▕");
    line_pad(&render->line, start_column + 1 + first);
    for (size_t i = first; i < end; i++)
        line_puts(&render->line, span->status == OTLP_STATUS_ERROR ? LINE_ERROR : LINE_BAR, "█");
    line_pad(&render->line, start_column + 1 + render->bar_columns);
    line_puts(&render->line, LINE_DIM, "▏");
}

static void put_span(struct render *render, const struct tree_span *span)
{
    struct line *line = &render->line;
    char duration[32];
    put_branches(render, span, false);
    if (span->orphan)
        line_puts(line, LINE_WARNING, "? ");
    size_t room = render->left_columns > line->column + 2 ? render->left_columns - line->column - 2 : 1;
    struct tree_text service = span->service.bytes ? span->service : (struct tree_text){"(no service)", 12};
    line_put(line, LINE_SERVICE, service.data, service.bytes, room > 16 ? room - room / 3 : room);
    line_puts(line, LINE_PLAIN, " ");
    room = render->left_columns > line->column + 1 ? render->left_columns - line->column - 1 : 0;
    line_put(line, LINE_PLAIN, span->name.data, span->name.bytes, room);
    line_pad(line, render->left_columns);
    put_bar(render, span);
    format_duration(duration, sizeof(duration), span->end_ns - span->start_ns);
    line_pad(line, line->column + 1 + DURATION_COLUMNS - line_columns(duration, strlen(duration)));
    line_puts(line, LINE_PLAIN, duration);
    if (span->status == OTLP_STATUS_ERROR)
        line_puts(line, LINE_ERROR, " ✗");
    else if (span->status == OTLP_STATUS_OK)
        line_puts(line, LINE_PLAIN, " ✓");
    line_end(line);
}

/* ---- what stands beneath it ---- */

struct beneath {
    struct render *render;
    const struct tree_span *span;
    size_t lines; /* begun */
    size_t max_lines;
    size_t left_out;
};

static void begin_line(struct beneath *beneath)
{
    put_branches(beneath->render, beneath->span, true);
    beneath->lines++;
}

/* Puts a piece on the line, or on a new line where it does not fit; only a piece wider than a line is cut. */
static void put_piece(struct beneath *beneath, enum line_style style, const char *text, size_t bytes)
{
    struct render *render = beneath->render;
    size_t width = render->settings->width, columns = line_columns(text, bytes);
    bool open = beneath->lines > 0 && render->line.column > 0;
    bool last = beneath->lines >= beneath->max_lines;
    bool fits = render->line.column + 2 + columns + (last ? MORE_COLUMNS : 0) <= width;
    if (beneath->left_out || (open && last && !fits)) {
        beneath->left_out++;
        return;
    }
    if (open && fits) {
        line_puts(&render->line, LINE_PLAIN, "  ");
    } else {
        if (open)
            line_end(&render->line);
        begin_line(beneath);
    }
    size_t room = width > render->line.column ? width - render->line.column : 1;
    line_put(&render->line, style, text, bytes, render->settings->everything ? SIZE_MAX : room);
}

static void end_pieces(struct beneath *beneath)
{
    char text[48];
    if (beneath->left_out) {
        snprintf(text, sizeof(text), "  … %zu more", beneath->left_out);
        line_puts(&beneath->render->line, LINE_DIM, text);
    }
    if (beneath->render->line.column > 0)
        line_end(&beneath->render->line);
    beneath->lines = beneath->left_out = 0;
}

static void put_attributes(struct beneath *beneath, const json_t *attributes)
{
    const json_t *attribute;
    size_t i, max = beneath->render->settings->everything ? SIZE_MAX : SHORT_VALUE_COLUMNS;
    json_array_foreach(attributes, i, attribute)
    {
        struct buf text = {0};
        if (!value_append_attribute(&text, attribute, max))
            put_piece(beneath, LINE_DIM, (const char *)text.data, text.len);
        buf_done(&text);
    }
}

static void put_pair(struct beneath *beneath, enum line_style style, const char *key, struct tree_text value)
{
    struct buf text = {0};
    if (value.bytes > 0 && !buf_printf(&text, "%s", key) && !buf_append(&text, value.data, value.bytes))
        put_piece(beneath, style, (const char *)text.data, text.len);
    buf_done(&text);
}

static void put_events(struct beneath *beneath)
{
    const json_t *event;
    size_t i;
    json_array_foreach(json_object_get(beneath->span->json, "events"), i, event)
    {
        uint64_t at = tree_get_number(event, "timeUnixNano");
        bool before = at < beneath->span->start_ns;
        char offset[32], label[64];
        format_duration(offset, sizeof(offset), before ? beneath->span->start_ns - at : at - beneath->span->start_ns);
        snprintf(label, sizeof(label), "event %c%s ", before ? '-' : '+', offset);
        struct tree_text name = tree_get_text(event, "name");
        put_pair(beneath, LINE_PLAIN, label, name.bytes ? name : (struct tree_text){"(no name)", 9});
        put_attributes(beneath, json_object_get(event, "attributes"));
        end_pieces(beneath);
    }
}

static void put_links(struct beneath *beneath)
{
    const json_t *link;
    size_t i;
    json_array_foreach(json_object_get(beneath->span->json, "links"), i, link)
    {
        put_pair(beneath, LINE_PLAIN, "link to trace ", tree_get_text(link, "traceId"));
        put_pair(beneath, LINE_PLAIN, "span ", tree_get_text(link, "spanId"));
        put_attributes(beneath, json_object_get(link, "attributes"));
        end_pieces(beneath);
    }
}

static void put_beneath(struct render *render, const struct tree_span *span)
{
    static const char *const kinds[] = {"", "", "server", "client", "producer", "consumer"};
    bool everything = render->settings->everything;
    struct beneath beneath = {.render = render, .span = span, .max_lines = everything ? SIZE_MAX : SHORT_LINES};
    const json_t *status = json_object_get(span->json, "status");
    if (span->orphan) {
        put_pair(&beneath, LINE_WARNING, "its parent is not here: ", span->parent_id);
        end_pieces(&beneath);
    }
    if (span->status == OTLP_STATUS_ERROR) {
        put_pair(&beneath, LINE_ERROR, "error: ", tree_get_text(status, "message"));
        end_pieces(&beneath);
    }
    if (span->kind > 1 && (size_t)span->kind < sizeof(kinds) / sizeof(*kinds))
        put_piece(&beneath, LINE_DIM, kinds[span->kind], strlen(kinds[span->kind]));
    put_attributes(&beneath, json_object_get(span->json, "attributes"));
    end_pieces(&beneath);
    if (!everything)
        return;
    put_events(&beneath);
    put_links(&beneath);
    put_pair(&beneath, LINE_DIM, "span ", span->id);
    put_pair(&beneath, LINE_DIM, "parent ", span->parent_id);
    put_pair(&beneath, LINE_DIM, "tracestate ", tree_get_text(span->json, "traceState"));
    end_pieces(&beneath);
    put_piece(&beneath, LINE_DIM, "resource:", strlen("resource:"));
    put_attributes(&beneath, json_object_get(span->resource, "attributes"));
    end_pieces(&beneath);
}

int render_trace(struct buf *out, const struct tree *tree, const struct render_settings *settings)
{
    struct render render = {
        .tree = tree,
        .settings = settings,
        .line = {.out = out, .colour = settings->colour},
        .bar_columns = settings->width / 4,
    };
    if (render.bar_columns < BAR_MIN)
        render.bar_columns = BAR_MIN;
    if (render.bar_columns > BAR_MAX)
        render.bar_columns = BAR_MAX;
    render.left_columns = settings->width - render.bar_columns - 2 - 1 - DURATION_COLUMNS - 2;
    render.max_levels = render.left_columns / 6;
    put_head(&render);
    for (ptrdiff_t at = tree_next(tree, TREE_NONE); at != TREE_NONE; at = tree_next(tree, at)) {
        put_span(&render, &tree->spans[at]);
        put_beneath(&render, &tree->spans[at]);
    }
    line_end(&render.line);
    return render.line.err;
}
