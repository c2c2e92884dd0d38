/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "utf8.h"

enum {
    LOG_CAUSES = 64,
    LOG_CAUSE_BYTES = 32,
    LOG_TEXT_BYTES = 1024,
    LOG_LINE_BYTES = PIPE_BUF, /* a pipe with room takes it whole */
    LOG_TAIL_BYTES = 256,      /* of these, for what follows the message */
};

struct cause {
    char name[LOG_CAUSE_BYTES];
    enum log_level level;
    uint64_t written_ms;
    uint64_t held_back;
};

struct log {
    int fd;
    bool journal;
    enum log_level level;
    enum log_format format;
    uint64_t (*now_ms_cb)(void *user); /* NULL: none yet */
    void *user;
    uint64_t lost; /* lines not written, since the last one that was */
    unsigned cause_count;
    struct cause causes[LOG_CAUSES];
};

/* A line under construction. */
struct line {
    char text[LOG_LINE_BYTES];
    size_t bytes;
};

static const struct {
    const char *name;
    int priority; /* of syslog */
} levels[] = {
    [LOG_ERROR] = {"error", 3}, [LOG_WARN] = {"warn", 4}, [LOG_INFO] = {"info", 6}, [LOG_DEBUG] = {"debug", 7}};

/* The journal names the stream it reads by device and inode, because the variable outlives a redirection. */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    char own[64];
    if (!stream || fstat(fd, &status) != 0)
        return false;
    snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    return strcmp(stream, own) == 0;
}

int log_new(int fd, struct log **out)
{
    struct log *log = calloc(1, sizeof(*log));
    if (!log)
        return -ENOMEM;
    log->fd = fd;
    log->journal = is_journal(fd);
    log->level = LOG_INFO;
    *out = log;
    return 0;
}

void log_free(struct log *log)
{
    free(log);
}

void log_configure(struct log *log, enum log_level level, enum log_format format)
{
    log->level = level;
    log->format = format;
}

void log_set_clock(struct log *log, uint64_t (*now_ms_cb)(void *user), void *user)
{
    log->now_ms_cb = now_ms_cb;
    log->user = user;
}

static uint64_t now_ms_of(const struct log *log)
{
    return log->now_ms_cb ? log->now_ms_cb(log->user) : 0;
}

static void put(struct line *line, const char *text, size_t bytes)
{
    if (bytes > sizeof(line->text) - 1 - line->bytes)
        return;
    memcpy(line->text + line->bytes, text, bytes);
    line->bytes += bytes;
}

static void put_string(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void put_escape(struct line *line, const char *format, unsigned value)
{
    char escape[12];
    snprintf(escape, sizeof(escape), format, value);
    put_string(line, escape);
}

static bool has_room(const struct line *line)
{
    return line->bytes < LOG_LINE_BYTES - LOG_TAIL_BYTES;
}

static void put_json(struct line *line, const char *text)
{
    put_string(line, "\"");
    for (size_t left = strlen(text), bytes; left > 0 && has_room(line); text += bytes, left -= bytes) {
        uint32_t character;
        bytes = utf8_next((const uint8_t *)text, left, &character);
        if (character == UTF8_BAD)
            put_string(line, "\\ufffd");
        else if (*text == '"' || *text == '\\')
            put(line, (const char[]){'\\', *text}, 2);
        else if ((unsigned char)*text < 0x20 || *text == 0x7f)
            put_escape(line, "\\u%04x", (unsigned char)*text);
        else
            put(line, text, bytes);
    }
    put_string(line, "\"");
}

/* A message may hold a peer's words: one line stays one line, and the terminal sees no control characters. */
static void put_text(struct line *line, const char *text)
{
    for (; *text && has_room(line); text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            put_escape(line, "\\x%02x", (unsigned char)*text);
        else
            put(line, text, 1);
    }
}

static void put_time(struct line *line)
{
    struct timespec now;
    struct tm utc;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t bytes = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    put(line, text, bytes);
    put_escape(line, ".%03uZ", (unsigned)(now.tv_nsec / 1000000));
}

/* Never waits: a reader that has stopped must not stop the daemon. -> false: not written */
static bool write_line(int fd, const char *text, size_t bytes)
{
    struct pollfd out = {.fd = fd, .events = POLLOUT};
    if (poll(&out, 1, 0) == 0)
        return false;
    while (bytes > 0) {
        ssize_t written = write(fd, text, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return errno != EAGAIN; /* other errors: no place is left to tell them */
        text += written;
        bytes -= (size_t)written;
    }
    return true;
}

/* -> false: not written */
static bool emit_one(const struct log *log, enum log_level level, const char *cause, uint64_t held_back,
                     const char *message)
{
    struct line line = {0};
    if (log->journal) /* the journal takes this prefix off again */
        put_escape(&line, "<%u>", (unsigned)levels[level].priority);
    if (log->format == LOG_JSON) {
        put_string(&line, "{\"time\":\"");
        put_time(&line);
        put_string(&line, "\",\"level\":\"");
        put_string(&line, levels[level].name);
        put_string(&line, "\",\"message\":");
        put_json(&line, message);
        if (cause) {
            put_string(&line, ",\"cause\":");
            put_json(&line, cause);
            char count[48];
            snprintf(count, sizeof(count), ",\"held_back\":%" PRIu64, held_back);
            put_string(&line, count);
        }
        put_string(&line, "}");
    } else {
        if (!log->journal) {
            put_time(&line);
            put_string(&line, " ");
            put_string(&line, levels[level].name);
            put_string(&line, " ");
        }
        put_text(&line, message);
        if (held_back > 0) {
            char count[64];
            snprintf(count, sizeof(count), " (%" PRIu64 " more held back)", held_back);
            put_string(&line, count);
        }
    }
    line.text[line.bytes++] = '\n';
    return write_line(log->fd, line.text, line.bytes);
}

static void emit(struct log *log, enum log_level level, const char *cause, uint64_t held_back, const char *message)
{
    char text[128];
    snprintf(text, sizeof(text), "%" PRIu64 " lines before this one are lost: the reader of this log was too slow",
             log->lost);
    if (log->lost && emit_one(log, LOG_WARN, NULL, 0, text))
        log->lost = 0;
    if (log->lost || !emit_one(log, level, cause, held_back, message))
        log->lost++;
}

__attribute__((format(printf, 5, 0))) static void emit_format(struct log *log, enum log_level level, const char *cause,
                                                              uint64_t held_back, const char *format, va_list args)
{
    char message[LOG_TEXT_BYTES];
    vsnprintf(message, sizeof(message), format, args);
    emit(log, level, cause, held_back, message);
}

void log_line(struct log *log, enum log_level level, const char *format, ...)
{
    if (level > log->level)
        return;
    va_list args;
    va_start(args, format);
    emit_format(log, level, NULL, 0, format, args);
    va_end(args);
}

/* Causes beyond the table share its last row, so that the rate stays bounded whatever comes. */
static struct cause *find_cause(struct log *log, const char *name, bool *fresh)
{
    *fresh = false;
    for (unsigned i = 0; i < log->cause_count; i++) {
        if (strncmp(log->causes[i].name, name, LOG_CAUSE_BYTES - 1) == 0)
            return &log->causes[i];
    }
    if (log->cause_count == LOG_CAUSES)
        return &log->causes[LOG_CAUSES - 1];
    struct cause *cause = &log->causes[log->cause_count++];
    *fresh = true;
    snprintf(cause->name, sizeof(cause->name), "%s", log->cause_count == LOG_CAUSES ? "other" : name);
    return cause;
}

static bool interval_passed(const struct cause *cause, uint64_t now_ms)
{
    return now_ms >= cause->written_ms && now_ms - cause->written_ms >= LOG_INTERVAL_MS;
}

void log_cause(struct log *log, enum log_level level, const char *name, const char *format, ...)
{
    if (level > log->level)
        return;
    bool fresh;
    uint64_t now_ms = now_ms_of(log);
    struct cause *cause = find_cause(log, name, &fresh);
    cause->level = level;
    if (!fresh && !interval_passed(cause, now_ms)) {
        cause->held_back++;
        return;
    }
    va_list args;
    va_start(args, format);
    emit_format(log, level, name, cause->held_back, format, args);
    va_end(args);
    cause->held_back = 0;
    cause->written_ms = now_ms;
}

void log_flush(struct log *log, bool final)
{
    uint64_t now_ms = now_ms_of(log);
    for (unsigned i = 0; i < log->cause_count; i++) {
        struct cause *cause = &log->causes[i];
        if (cause->held_back == 0 || (!final && !interval_passed(cause, now_ms)))
            continue;
        char message[LOG_TEXT_BYTES];
        snprintf(message, sizeof(message), "%s: repeated", cause->name);
        emit(log, cause->level, cause->name, cause->held_back, message);
        cause->held_back = 0;
        cause->written_ms = now_ms;
    }
}
