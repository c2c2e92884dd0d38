/* SPDX-License-Identifier: MIT */
#include "line.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/utf8.h"
#include "endpoint/otlp/text.h"

enum { CHARACTER_MAX = 16 };

static const char *const styles[] = {
    [LINE_PLAIN] = "",       [LINE_BOLD] = "\033[1m",     [LINE_DIM] = "\033[2m",      [LINE_SERVICE] = "\033[1;36m",
    [LINE_BAR] = "\033[34m", [LINE_ERROR] = "\033[1;31m", [LINE_WARNING] = "\033[33m",
};

static void append(struct line *line, const void *data, size_t bytes)
{
    if (!line->err)
        line->err = buf_append(line->out, data, bytes);
}

/* The next character as it is shown, and its width in columns. -> bytes of text taken */
static size_t show(const char *text, size_t bytes, char shown[CHARACTER_MAX], size_t *columns)
{
    static const char shorts[] = {['\t'] = 't', ['\n'] = 'n', ['\r'] = 'r'};
    uint32_t character;
    size_t taken = utf8_next((const uint8_t *)text, bytes, &character);
    if (character == UTF8_BAD)
        character = UTF8_REPLACEMENT;
    int width = text_is_control(character) ? -1 : wcwidth((wchar_t)character);
    if (character < sizeof(shorts) && shorts[character])
        snprintf(shown, CHARACTER_MAX, "\\%c", shorts[character]);
    else if (character == UTF8_REPLACEMENT)
        snprintf(shown, CHARACTER_MAX, "\xef\xbf\xbd");
    else if (width < 0)
        snprintf(shown, CHARACTER_MAX, character > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)character);
    else
        snprintf(shown, CHARACTER_MAX, "%.*s", (int)taken, text);
    *columns = width >= 0 ? (size_t)width : character == UTF8_REPLACEMENT ? 1 : strlen(shown);
    return taken;
}

size_t line_columns(const char *text, size_t bytes)
{
    size_t total = 0, columns;
    char shown[CHARACTER_MAX];
    while (bytes > 0) {
        size_t taken = show(text, bytes, shown, &columns);
        total += columns;
        text += taken;
        bytes -= taken;
    }
    return total;
}

void line_put(struct line *line, enum line_style style, const char *text, size_t bytes, size_t max)
{
    bool coloured = line->colour && style != LINE_PLAIN, cut = line_columns(text, bytes) > max;
    size_t room = cut && max > 0 ? max - 1 : max, columns;
    char shown[CHARACTER_MAX];
    if (bytes == 0 || max == 0)
        return;
    if (coloured)
        append(line, styles[style], strlen(styles[style]));
    while (bytes > 0) {
        size_t taken = show(text, bytes, shown, &columns);
        if (columns > room)
            break;
        append(line, shown, strlen(shown));
        line->column += columns;
        room -= columns;
        text += taken;
        bytes -= taken;
    }
    if (cut) {
        append(line, "…", strlen("…"));
        line->column++;
    }
    if (coloured)
        append(line, "\033[0m", 4);
}

void line_puts(struct line *line, enum line_style style, const char *text)
{
    line_put(line, style, text, strlen(text), SIZE_MAX);
}

void line_pad(struct line *line, size_t column)
{
    for (; line->column < column; line->column++)
        append(line, " ", 1);
}

/* Removes trailing blanks, which would be copied from the terminal with the text. */
void line_end(struct line *line)
{
    while (!line->err && line->out->len > 0 && line->out->data[line->out->len - 1] == ' ')
        line->out->len--;
    append(line, "\n", 1);
    line->column = 0;
}
