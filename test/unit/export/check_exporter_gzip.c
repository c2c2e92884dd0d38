/* SPDX-License-Identifier: MIT
 *
 * The exporter with compression, against servers with and without it.
 */
#include <string.h>

#include "support/exporter_batch.h"
#include "support/exporter_bench.h"
#include "support/test.h"

TEST(a_batch_goes_gzipped_also_when_it_is_repeated)
{
    static const struct script_step steps[] = {{.status = 14, .times = 2}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench.config.compression = CONFIG_COMPRESSION_GZIP;
    bench_export();
    bench_submit(6);
    bench_run_until(bench_finished, 6);
    bench_check_all_exported();
    ck_assert_uint_eq(bench.gzipped, 8);
    ck_assert_ptr_nonnull(strstr(bench.last_headers, "\ngrpc-encoding: gzip\n"));
    bench_end();
}

TEST(a_server_that_does_not_know_gzip_gets_it_plain_and_is_named)
{
    static const struct script_step steps[] = {{.status = 12, .message = "unknown encoding"}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench.config.compression = CONFIG_COMPRESSION_GZIP;
    bench.config.max_in_flight = 1;
    bench_export();
    bench_submit(5);
    bench_run_until(bench_finished, 5);
    bench_check_all_exported();
    /* The first, whose second attempt had its turn before the others. */
    ck_assert_uint_eq(bench.gzipped, 1);
    ck_assert_ptr_nonnull(strstr(bench.last_headers, "\ngrpc-encoding: identity\n"));
    ck_assert_ptr_nonnull(strstr(bench_log(), "set aistraced.compression to \"none\""));
    bench_end();
}

TEST(a_service_that_is_not_there_refuses_gzipped_and_plain)
{
    static const struct script_step steps[] = {{.status = 12, .times = 2}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench.config.compression = CONFIG_COMPRESSION_GZIP;
    bench.config.max_in_flight = 1;
    bench_export();
    bench_submit(1);
    bench_run_until(bench_finished, 1);
    ck_assert(!bench.batches[0].outcome.exported);
    ck_assert_uint_eq(bench.batches[0].sent, 2);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNIMPLEMENTED], 2);
    bench_submit(1);
    bench_run_until(bench_finished, 2);
    ck_assert_uint_eq(bench.gzipped, 2);
    bench_end();
}
