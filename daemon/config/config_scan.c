/* SPDX-License-Identifier: MIT */
#include "config_scan.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    const char *p;
    const char *end;
    unsigned line;
    const char *const *sections;
    char path[CONFIG_PATH_BYTES];
    size_t path_bytes;
    struct config_places places;
    size_t capacity;
    int err;
};

static void skip_string(struct scan *s)
{
    for (s->p++; s->p < s->end && *s->p != '"'; s->p++) {
        if (*s->p == '\\')
            s->p++;
    }
    s->p++;
}

unsigned config_scan_too_deep(const char *text, size_t bytes)
{
    struct scan s = {.p = text, .end = text + bytes, .line = 1};
    unsigned depth = 0;
    while (s.p < s.end) {
        switch (*s.p) {
        case '"':
            skip_string(&s); /* no line ends within a string */
            continue;
        case '{':
        case '[':
            if (++depth > CONFIG_DEPTH_MAX)
                return s.line;
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            break;
        case '\n':
            s.line++;
            break;
        }
        s.p++;
    }
    return 0;
}

static void skip_blanks(struct scan *s)
{
    for (; s->p < s->end && strchr(" \t\r\n", *s->p) && *s->p; s->p++)
        s->line += *s->p == '\n';
}

/* The string literal at p, decoded. NULL: no memory. */
static char *take_key(struct scan *s)
{
    const char *begin = s->p;
    skip_string(s);
    json_t *string = json_loadb(begin, (size_t)(s->p - begin), JSON_DECODE_ANY, NULL);
    char *key = json_is_string(string) ? strdup(json_string_value(string)) : NULL;
    json_decref(string);
    return key;
}

static int record(struct scan *s)
{
    if (s->places.count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 32;
        struct config_key_place *items = realloc(s->places.items, capacity * sizeof(*items));
        if (!items)
            return -ENOMEM;
        s->places.items = items;
        s->capacity = capacity;
    }
    char *path = strdup(s->path);
    if (!path)
        return -ENOMEM;
    s->places.items[s->places.count++] = (struct config_key_place){.path = path, .line = s->line};
    return 0;
}

static bool is_section(const struct scan *s, const char *key)
{
    for (const char *const *section = s->sections; *section; section++) {
        if (strcmp(*section, key) == 0)
            return true;
    }
    return false;
}

static void scan_value(struct scan *s, bool wanted, unsigned depth);

/* One `"key": value`. */
static void scan_member(struct scan *s, bool wanted, unsigned depth)
{
    char *key = take_key(s);
    if (!key) {
        s->err = -ENOMEM;
        return;
    }
    size_t before = s->path_bytes, bytes = strlen(key), dot = before > 0;
    bool here = depth == 1 ? is_section(s, key) : wanted;
    here = here && before + dot + bytes < sizeof(s->path);
    if (here) {
        if (dot)
            s->path[before] = '.';
        memcpy(s->path + before + dot, key, bytes + 1);
        s->path_bytes = before + dot + bytes;
        s->err = record(s);
    }
    free(key);
    skip_blanks(s);
    s->p++; /* the colon */
    if (!s->err)
        scan_value(s, here, depth);
    s->path_bytes = before;
    s->path[before] = '\0';
}

static void scan_container(struct scan *s, bool wanted, unsigned depth)
{
    bool object = *s->p++ == '{';
    for (skip_blanks(s); s->p < s->end && !s->err; skip_blanks(s)) {
        if (*s->p == '}' || *s->p == ']') {
            s->p++;
            return;
        }
        if (*s->p == ',')
            s->p++;
        else if (object)
            scan_member(s, wanted, depth + 1);
        else
            scan_value(s, false, depth + 1);
    }
}

static void scan_value(struct scan *s, bool wanted, unsigned depth)
{
    skip_blanks(s);
    if (s->p >= s->end || depth > CONFIG_DEPTH_MAX)
        s->p = s->end;
    else if (*s->p == '{' || *s->p == '[')
        scan_container(s, wanted, depth);
    else if (*s->p == '"')
        skip_string(s);
    else
        while (s->p < s->end && !strchr(",]} \t\r\n", *s->p))
            s->p++;
}

static int compare(const void *a, const void *b)
{
    const struct config_key_place *left = a, *right = b;
    int order = strcmp(left->path, right->path);
    return order ? order : (left->line > right->line) - (left->line < right->line);
}

int config_scan(const char *text, size_t bytes, const char *const *sections, struct config_places *out)
{
    struct scan s = {.p = text, .end = text + bytes, .line = 1, .sections = sections};
    scan_value(&s, false, 0);
    if (s.err) {
        config_places_done(&s.places);
        return s.err;
    }
    if (s.places.count > 0)
        qsort(s.places.items, s.places.count, sizeof(s.places.items[0]), compare);
    *out = s.places;
    return 0;
}

void config_places_done(struct config_places *places)
{
    for (size_t i = 0; i < places->count; i++)
        free(places->items[i].path);
    free(places->items);
    *places = (struct config_places){0};
}

unsigned config_places_line(const struct config_places *places, const char *path)
{
    size_t low = 0, high = places->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(places->items[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < places->count && strcmp(places->items[low].path, path) == 0 ? places->items[low].line : 0;
}
