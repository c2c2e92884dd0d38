/* SPDX-License-Identifier: MIT */
#include "admin/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/stats.h"
#include "support/test.h"

static struct stats stats;
static struct stats_snapshot snapshot;
static struct buf out;

/* Every number gets a value of its own, so that a mixed-up field shows. */
static void setup(void)
{
    snapshot = (struct stats_snapshot){
        .outcome = {.exported = 11, .sampled_out = 12, .rejected = 13, .spooled = 14, .dropped = {21, 22, 23, 24, 25}},
        .spool = {.exported = 71, .rejected = 72, .dropped = {73, 74, 75, 76, 77}},
        .spool_written = 61,
        .spool_file_bytes = 62,
        .spool_limit_bytes = 63,
        .spool_damaged = 64,
        .committed = 31,
        .in_flight = 32,
        .unread = 33,
        .spooled_now = 34,
        .spool_bytes = 35,
        .segments = 36,
        .producer_dropped = {41, 42, 43, 44, 45, 46, 47, 0, 49},
        .now_ms = 10500,
        .stats = &stats,
    };
    stats = (struct stats){
        .invalid_text = 51,
        .segments_skipped = 52,
        .segments_quarantined = 53,
        .segments_waiting = 60,
        .unreadable_bytes = 54,
        .config_reloads_ok = 55,
        .config_reloads_failed = 56,
        .last_success_ms = 9000,
    };
    for (unsigned i = 0; i < STATS_GRPC_CODES; i++)
        stats.export_requests[i] = 100 + i;
}

FIXTURE(setup, NULL);

static const char *rendered(void)
{
    buf_done(&out);
    metrics_render(&out, &snapshot);
    ck_assert_int_eq(buf_append(&out, "", 1), 0);
    return (const char *)out.data;
}

static unsigned lines_starting(const char *text, const char *start)
{
    unsigned count = 0;
    for (const char *p = text; *p; p = strchr(p, '\n') + 1)
        count += strncmp(p, start, strlen(start)) == 0;
    return count;
}

static const char *const expected[] = {
    "aistrace_spans_committed_total 31",
    "aistrace_spans_sampled_out_total 12",
    "aistrace_spans_exported_total 11",
    "aistrace_spans_rejected_total 13",
    "aistrace_spans_dropped_total{reason=\"invalid\"} 21",
    "aistrace_spans_dropped_total{reason=\"refused\"} 22",
    "aistrace_spans_dropped_total{reason=\"oversize\"} 23",
    "aistrace_spans_dropped_total{reason=\"disabled\"} 24",
    "aistrace_spans_dropped_total{reason=\"spool_corrupt\"} 25",
    "aistrace_spans_producer_dropped_total{reason=\"ring_full\"} 41",
    "aistrace_spans_producer_dropped_total{reason=\"oversize\"} 42",
    "aistrace_spans_producer_dropped_total{reason=\"nested\"} 43",
    "aistrace_spans_producer_dropped_total{reason=\"disabled\"} 44",
    "aistrace_spans_producer_dropped_total{reason=\"no_slot\"} 45",
    "aistrace_spans_producer_dropped_total{reason=\"no_memory\"} 46",
    "aistrace_spans_producer_dropped_total{reason=\"no_file\"} 47",
    "aistrace_spans_producer_dropped_total{reason=\"interrupted\"} 49",
    "aistrace_spans_in_flight 32",
    "aistrace_spans_unread 33",
    "aistrace_spans_spooled 34",
    "aistrace_spool_bytes 35",
    "aistrace_spool_file_bytes 62",
    "aistrace_spool_limit_bytes 63",
    "aistrace_spool_spans_written_total 61",
    "aistrace_spool_spans_exported_total 71",
    "aistrace_spool_spans_rejected_total 72",
    "aistrace_spool_spans_dropped_total{reason=\"refused\"} 74",
    "aistrace_spool_spans_dropped_total{reason=\"spool_corrupt\"} 77",
    "aistrace_spool_damaged_total 64",
    "aistrace_segments 36",
    "aistrace_segments_waiting 60",
    "aistrace_segments_skipped_total 52",
    "aistrace_segments_quarantined_total 53",
    "aistrace_unreadable_bytes_total 54",
    "aistrace_invalid_text_total 51",
    "aistrace_export_requests_total{code=\"OK\"} 100",
    "aistrace_export_requests_total{code=\"UNAVAILABLE\"} 114",
    "aistrace_export_requests_total{code=\"UNAUTHENTICATED\"} 116",
    "aistrace_config_reloads_total{result=\"ok\"} 55",
    "aistrace_config_reloads_total{result=\"failed\"} 56",
    "aistrace_last_success_age_seconds 1.500",
    "aistrace_build_info{version=\"" AISTRACE_BUILD_VERSION "\"} 1",
};

LOOP_TEST(every_metric_is_there_once_with_its_value, COUNT(expected))
{
    char line[256];
    snprintf(line, sizeof(line), "%s\n", expected[_i]);
    ck_assert_msg(lines_starting(rendered(), line) == 1, "%s", line);
}

TEST(each_name_has_help_and_type_before_its_values)
{
    char *save_line;
    char name[128] = "", type[16] = "", seen[64][128];
    unsigned names = 0, values = 0;
    for (char *line = strtok_r((char *)(uintptr_t)rendered(), "\n", &save_line); line;
         line = strtok_r(NULL, "\n", &save_line)) {
        char this_name[128], rest[128];
        if (sscanf(line, "# HELP %127s %127s", this_name, rest) == 2) {
            snprintf(name, sizeof(name), "%s", this_name);
            for (unsigned i = 0; i < names; i++)
                ck_assert_str_ne(seen[i], name);
            snprintf(seen[names++], sizeof(seen[0]), "%s", name);
            type[0] = '\0';
        } else if (sscanf(line, "# TYPE %127s %15s", this_name, type) == 2) {
            ck_assert_str_eq(this_name, name);
            ck_assert(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0);
            ck_assert_msg((strcmp(type, "counter") == 0) ==
                              (strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0),
                          "%s is a %s", name, type);
        } else {
            size_t length = strcspn(line, "{ ");
            ck_assert_msg(strlen(name) == length && strncmp(line, name, length) == 0, "%s", line);
            ck_assert_str_ne(type, "");
            char *value = strrchr(line, ' '), *end;
            ck_assert_ptr_nonnull(value);
            ck_assert_double_ge(strtod(value + 1, &end), 0);
            ck_assert_int_eq(*end, '\0');
            values++;
        }
    }
    ck_assert_uint_eq(names, 27);
    ck_assert_uint_eq(values, 45 + STATS_GRPC_CODES - 3);
}

TEST(age_is_absent_before_the_first_success)
{
    stats.last_success_ms = 0;
    ck_assert_ptr_null(strstr(rendered(), "age_seconds"));
}

TEST(age_is_never_negative)
{
    stats.last_success_ms = snapshot.now_ms + 5;
    ck_assert_uint_eq(lines_starting(rendered(), "aistrace_last_success_age_seconds 0.000\n"), 1);
}

TEST(reserved_reasons_show_only_when_counted)
{
    ck_assert_ptr_null(strstr(rendered(), "reserved"));
    snapshot.producer_dropped[7] = 3;
    ck_assert_uint_eq(lines_starting(rendered(), "aistrace_spans_producer_dropped_total{reason=\"reserved_7\"} 3\n"),
                      1);
}

TEST(largest_values_are_exact)
{
    snapshot.committed = UINT64_MAX;
    ck_assert_uint_eq(lines_starting(rendered(), "aistrace_spans_committed_total 18446744073709551615\n"), 1);
}

TEST(outcomes_add_up)
{
    struct shmring_counts sum = snapshot.outcome;
    ck_assert_uint_eq(outcome_sum(&sum), 11 + 12 + 13 + 14 + 21 + 22 + 23 + 24 + 25);
    outcome_add(&sum, &snapshot.outcome);
    ck_assert_uint_eq(outcome_sum(&sum), 2 * outcome_sum(&snapshot.outcome));
    ck_assert_uint_eq(sum.dropped[DROP_DISABLED], 48);
}

TEST(names_outside_the_enums_are_harmless)
{
    ck_assert_str_eq(drop_reason_name(DROP_REASONS), "unknown");
    ck_assert_str_eq(producer_drop_name(PRODUCER_REASONS), "unknown");
    for (unsigned i = 0; i < PRODUCER_REASONS; i++)
        ck_assert_ptr_nonnull(producer_drop_name(i));
}
