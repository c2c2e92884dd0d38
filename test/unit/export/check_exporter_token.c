/* SPDX-License-Identifier: MIT
 *
 * The token of the exporter: how it is read and sent, and what is done when it is denied.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "export/token.h"
#include "support/exporter_batch.h"
#include "support/exporter_bench.h"
#include "support/loop.h"
#include "support/test.h"

/* A server with that script, and the token in a file of its own. */
static void begin_with_token(const struct script_step *steps, size_t count, const char *token)
{
    bench_begin(steps, count);
    bench_serve(NULL);
    bench.config.token_header = "x-auth";
    bench.config.token_file = bench_write_token(token, strlen(token));
}

TEST(the_token_goes_with_each_request_unindexed)
{
    begin_with_token(NULL, 0, "\n Bearer abc \n");
    bench_export();
    bench_submit(1);
    bench_run_until(bench_finished, 1);
    unlink(bench.config.token_file);
    ck_assert_ptr_nonnull(strstr(bench.last_headers, "\nx-auth: Bearer abc (never indexed)\n"));
    bench_end();
}

TEST(without_its_token_nothing_is_sent)
{
    bench_begin(NULL, 0);
    bench_serve(NULL);
    bench.config.token_header = "x-auth";
    bench.config.token_file = "/nonexistent/token";
    bench_export();
    bench_submit(1);
    bench_run_until(bench_in_trouble, 0);
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "/nonexistent/token: No such file"));
    ck_assert_uint_eq(script_server_accepted(bench.server), 0);
    bench_end();
}

static void replace_token(void)
{
    int fd = open(bench.config.token_file, O_WRONLY | O_TRUNC);
    ck_assert_int_eq(write(fd, "new", 3), 3);
    close(fd);
}

TEST(a_denied_token_that_was_replaced_meanwhile_loses_nothing)
{
    static const struct script_step steps[] = {{.status = 16}, {.status = 7}, {.status = 16}};
    begin_with_token(steps, 3, "old");
    bench.config.max_in_flight = 3;
    bench_export();
    bench_run_until(bench_connected, 1);
    replace_token();
    bench_submit(5);
    bench_run_until(bench_finished, 5);
    unlink(bench.config.token_file);
    bench_check_all_exported();
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAUTHENTICATED], 2);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_PERMISSION_DENIED], 1);
    ck_assert_ptr_nonnull(strstr(bench.last_headers, "\nx-auth: new "));
    ck_assert_uint_eq(script_server_accepted(bench.server), 2);
    bench_end();
}

TEST(a_new_token_that_is_denied_too_is_tried_once)
{
    static const struct script_step steps[] = {{.status = 16, .times = 2}};
    begin_with_token(steps, 1, "old");
    bench_export();
    bench_run_until(bench_connected, 1);
    replace_token();
    bench_submit(1);
    bench_run_until(bench_finished, 1);
    unlink(bench.config.token_file);
    ck_assert_int_eq(bench.batches[0].outcome.reason, DROP_REFUSED);
    ck_assert_uint_eq(bench.batches[0].sent, 2);
    bench_end();
}

/* The server repeats the token whole, or so late that the end of the kept text cuts it. */
TEST(a_server_that_repeats_the_token_is_not_quoted)
{
    char long_words[400];
    memset(long_words, 'x', sizeof(long_words));
    memcpy(long_words + 250, "s3cret-token", sizeof("s3cret-token")); /* 255 are kept */
    const struct script_step steps[] = {{.message = "Bearer s3cret-token is not known, s3cret-token", .status = 16},
                                        {.message = long_words, .status = 16},
                                        {.rejected = 1, .rejected_message = "for s3cret-token"}};
    begin_with_token(steps, 3, "Bearer s3cret-token");
    bench.config.retry_initial_ms = bench.config.retry_max_ms = 1;
    bench_export();
    for (unsigned i = 1; i <= 3; i++) {
        bench_submit(1);
        bench_run_until(bench_finished, i);
        const char *trouble = exporter_trouble(bench.exporter);
        ck_assert_msg(!trouble || !strstr(trouble, "s3cr"), "%s", trouble);
    }
    unlink(bench.config.token_file);
    ck_assert_ptr_nonnull(strstr(bench_log(), "Bearer ************ is not known, ************"));
    ck_assert_ptr_nonnull(strstr(bench_log(), "for ************"));
    ck_assert_ptr_null(strstr(bench_log(), "s3cr"));
    bench_end();
}

TEST(a_new_token_ends_the_wait_of_a_denied_one)
{
    static const struct script_step steps[] = {{.status = 16}};
    begin_with_token(steps, 1, "old");
    bench.config.retry_initial_ms = bench.config.retry_max_ms = 600000;
    bench_export();
    bench_submit(1);
    bench_run_until(bench_finished, 1);
    ck_assert_int_eq(bench.batches[0].outcome.reason, DROP_REFUSED);
    bench_submit(1);
    replace_token();
    bench_run_until(bench_finished, 2);
    unlink(bench.config.token_file);
    ck_assert(bench.batches[1].outcome.exported);
    bench_end();
}

TEST(a_denied_token_makes_no_storm_and_costs_few_batches)
{
    enum { WAIT_MS = 100, OBSERVED_MS = 600 };
    static const struct script_step steps[] = {{.status = 16, .times = SCRIPT_FOR_EVER}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench.config.retry_initial_ms = bench.config.retry_max_ms = WAIT_MS;
    bench_export();
    bench_submit(40);
    bench_run_until(bench_finished, (unsigned)bench.config.max_in_flight);
    uint64_t from_ms = uv_now(&bench.loop);
    loop_run_for(&bench.loop, OBSERVED_MS);
    unsigned denied = bench.finished - (unsigned)bench.config.max_in_flight;
    ck_assert_uint_ge(denied, 1);
    ck_assert_uint_le(denied, (uv_now(&bench.loop) - from_ms) / (WAIT_MS * 8 / 10) + 1);
    bench_end();
}

LOOP_TEST(a_token_that_no_header_can_carry_is_an_error, 8)
{
    static char large[TOKEN_MAX_BYTES + 1];
    memset(large, 'x', sizeof(large));
    static const struct {
        const char *text;
        size_t bytes;
        int err;
    } table[] = {
        {"", 0, -ENODATA},    {" \n", 2, -ENODATA},           {"a\nb", 3, -EILSEQ},          {"a\0b", 3, -EILSEQ},
        {"\xff", 1, -EILSEQ}, {large, sizeof(large), -EFBIG}, {large, sizeof(large) - 1, 0}, {"a b", 3, 0}};
    char *token = NULL;
    char *path = bench_write_token(table[_i].text, table[_i].bytes);
    ck_assert_int_eq(token_read(path, &token), table[_i].err);
    unlink(path);
    ck_assert_int_eq(token != NULL, !table[_i].err);
    secret_free(token);
    ck_assert_int_eq(token_read("/tmp", &token), -EINVAL);
}
