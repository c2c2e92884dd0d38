/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "support/test.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char text[1 << 20];
static int fd;
static struct log *sink;
static uint64_t now_ms;

static uint64_t clock_ms(void *user)
{
    (void)user;
    return now_ms;
}

static void setup(void)
{
    unsetenv("JOURNAL_STREAM");
    fd = memfd_create("log", 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(log_new(fd, &sink), 0);
    now_ms = 1;
    log_set_clock(sink, clock_ms, NULL);
}

static void teardown(void)
{
    log_free(sink);
    close(fd);
}

FIXTURE(setup, teardown);

static const char *written(void)
{
    ssize_t bytes = pread(fd, text, sizeof(text) - 1, 0);
    ck_assert_int_ge(bytes, 0);
    text[bytes] = '\0';
    return text;
}

static unsigned lines(void)
{
    unsigned count = 0;
    for (const char *p = written(); (p = strchr(p, '\n')); p++)
        count++;
    return count;
}

TEST(text_line_has_time_level_and_message)
{
    log_line(sink, LOG_WARN, "port %d", 4317);
    unsigned year;
    int end = 0;
    ck_assert_int_eq(sscanf(written(), "%4u-%*2u-%*2uT%*2u:%*2u:%*2u.%*3uZ warn port 4317%n", &year, &end), 1);
    ck_assert_uint_ge(year, 2024);
    ck_assert_str_eq(text + end, "\n");
}

TEST(level_filters)
{
    log_line(sink, LOG_DEBUG, "no");
    log_cause(sink, LOG_DEBUG, "a", "no");
    log_configure(sink, LOG_ERROR, LOG_TEXT);
    log_line(sink, LOG_WARN, "no");
    log_flush(sink, true);
    ck_assert_uint_eq(lines(), 0);
    log_configure(sink, LOG_DEBUG, LOG_TEXT);
    log_line(sink, LOG_DEBUG, "yes");
    ck_assert_uint_eq(lines(), 1);
}

TEST(a_cause_is_written_once_per_interval_with_its_count)
{
    for (now_ms = 5; now_ms < 5 + 10 * LOG_INTERVAL_MS; now_ms++)
        log_cause(sink, LOG_WARN, "ring_full", "full");
    ck_assert_uint_eq(lines(), 10);
    char count[64];
    snprintf(count, sizeof(count), "full (%d more held back)\n", LOG_INTERVAL_MS - 1);
    ck_assert_ptr_nonnull(strstr(written(), count));
}

TEST(causes_do_not_silence_each_other)
{
    log_cause(sink, LOG_WARN, "a", "A");
    log_cause(sink, LOG_WARN, "b", "B");
    now_ms = 2;
    log_cause(sink, LOG_WARN, "a", "A");
    ck_assert_uint_eq(lines(), 2);
}

TEST(flush_writes_what_is_held_back)
{
    for (now_ms = 1; now_ms <= 3; now_ms++)
        log_cause(sink, LOG_WARN, "a", "A");
    log_flush(sink, false);
    ck_assert_uint_eq(lines(), 1);
    now_ms = 1 + LOG_INTERVAL_MS;
    log_flush(sink, false);
    ck_assert_uint_eq(lines(), 2);
    ck_assert_ptr_nonnull(strstr(written(), "warn a: repeated (2 more held back)\n"));
    now_ms++;
    log_flush(sink, true);
    ck_assert_uint_eq(lines(), 2);
    now_ms++;
    log_cause(sink, LOG_WARN, "a", "A");
    log_flush(sink, true);
    ck_assert_uint_eq(lines(), 3);
}

TEST(more_causes_than_the_table_holds_stay_bounded)
{
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 500; i++) {
            char cause[16];
            snprintf(cause, sizeof(cause), "cause%d", i);
            log_cause(sink, LOG_WARN, cause, "x");
        }
    }
    ck_assert_uint_le(lines(), 64);
}

TEST(time_that_goes_backwards_writes_no_flood)
{
    for (now_ms = 1000; now_ms > 900; now_ms--)
        log_cause(sink, LOG_WARN, "a", "A");
    ck_assert_uint_eq(lines(), 1);
}

TEST(a_message_stays_one_line_without_control_characters)
{
    log_line(sink, LOG_INFO, "a\nb\x1b[31m\x7f");
    ck_assert_uint_eq(lines(), 1);
    ck_assert_ptr_nonnull(strstr(written(), "a\\x0ab\\x1b[31m\\x7f\n"));
}

TEST(json_is_one_object_per_line_whatever_the_message)
{
    static const char *const messages[] = {
        "plain",
        "quote \" backslash \\ tab \t newline \n nul-ish \x01 del \x7f",
        "ok \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
        "bad \xff \xc3 \xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82",
        "",
    };
    log_configure(sink, LOG_INFO, LOG_JSON);
    for (size_t i = 0; i < COUNT(messages); i++)
        log_line(sink, LOG_INFO, "%s", messages[i]);
    log_cause(sink, LOG_ERROR, "endpoint", "x");
    log_cause(sink, LOG_ERROR, "endpoint", "x");
    log_flush(sink, true);
    written();
    unsigned count = 0;
    for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), count++) {
        json_error_t error;
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        ck_assert_msg(object, "%s: %s", error.text, line);
        ck_assert_uint_eq(strlen(json_string_value(json_object_get(object, "time"))), 24);
        if (count < 3)
            ck_assert_str_eq(json_string_value(json_object_get(object, "message")), messages[count]);
        if (count == 6) {
            ck_assert_str_eq(json_string_value(json_object_get(object, "cause")), "endpoint");
            ck_assert_str_eq(json_string_value(json_object_get(object, "level")), "error");
            ck_assert_int_eq(json_integer_value(json_object_get(object, "held_back")), 1);
        }
        json_decref(object);
    }
    ck_assert_uint_eq(count, 7);
}

TEST(a_message_too_long_is_cut_and_json_stays_whole)
{
    char *message = malloc(100000);
    memset(message, '\x01', 99999);
    message[99999] = '\0';
    log_line(sink, LOG_INFO, "%s", message);
    ck_assert_uint_eq(lines(), 1);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    lseek(fd, 0, SEEK_SET);
    log_configure(sink, LOG_INFO, LOG_JSON);
    log_line(sink, LOG_INFO, "%s", message);
    json_t *object = json_loads(written(), 0, NULL);
    ck_assert_ptr_nonnull(object);
    json_decref(object);
    free(message);
}

TEST(the_journal_gets_a_priority_and_no_time)
{
    struct stat status;
    char stream[64];
    ck_assert_int_eq(fstat(fd, &status), 0);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    struct log *journal;
    ck_assert_int_eq(log_new(fd, &journal), 0);
    log_line(journal, LOG_ERROR, "bad");
    log_line(journal, LOG_INFO, "good");
    ck_assert_str_eq(written(), "<3>bad\n<6>good\n");
    log_configure(journal, LOG_INFO, LOG_JSON);
    log_line(journal, LOG_WARN, "odd");
    log_free(journal);
    ck_assert_ptr_nonnull(strstr(written(), "<4>{\"time\":\""));
}

TEST(a_variable_of_another_stream_is_not_the_journal)
{
    setenv("JOURNAL_STREAM", "1:1", 1);
    struct log *journal;
    ck_assert_int_eq(log_new(fd, &journal), 0);
    log_line(journal, LOG_ERROR, "bad");
    log_free(journal);
    ck_assert_int_eq(written()[0], '2');
}

TEST(a_reader_that_has_stopped_holds_nothing_up_and_hears_what_it_missed)
{
    enum { LINES = 100000 }; /* more than a pipe holds */
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(dup2(ends[1], fd), fd);
    for (unsigned i = 0; i < LINES; i++)
        log_line(sink, LOG_INFO, "line");
    ssize_t bytes = read(ends[0], text, sizeof(text) - 1);
    text[bytes] = '\0';
    unsigned taken = 0;
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        taken++;
    ck_assert_int_eq(text[bytes - 1], '\n');
    log_line(sink, LOG_INFO, "again");
    bytes = read(ends[0], text, sizeof(text) - 1);
    text[bytes] = '\0';
    char missed[64];
    snprintf(missed, sizeof(missed), " warn %u lines before this one are lost", LINES - taken);
    ck_assert_msg(strstr(text, missed) && strstr(text, " info again\n"), "%s", text);
    close(ends[0]);
    close(ends[1]);
}

TEST(a_closed_descriptor_is_survived)
{
    struct log *closed;
    ck_assert_int_eq(log_new(-1, &closed), 0);
    log_line(closed, LOG_ERROR, "nowhere");
    log_free(closed);
    log_free(NULL);
}
