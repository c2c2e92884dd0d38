/* SPDX-License-Identifier: MIT */
#include "support/client_fixture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "support/counter.h"

struct client_fixture client;

void client_fixture_init(void)
{
    client.dir = span_set_dir_new();
}

void client_fixture_done(void)
{
    aistrace_stop();
    span_set_done(&client.set);
    span_set_dir_remove(client.dir);
}

void client_fixture_start(struct aistrace_options options)
{
    options.ring_dir = client.dir;
    ck_assert_int_eq(aistrace_start(&options), 0);
    if (!getenv("AIS_TRACING_CLOCK"))
        counter_hold();
}

void client_fixture_by_counter(void)
{
    unsetenv("AIS_TRACING_CLOCK");
    client_fixture_init();
    client_fixture_start((struct aistrace_options){.role = "test"});
}

void client_fixture_by_system(void)
{
    setenv("AIS_TRACING_CLOCK", "system", 1);
    client_fixture_init();
    client_fixture_start((struct aistrace_options){.role = "test"});
}

void client_span(void)
{
    struct aistrace_span span;
    aistrace_span_start(&span, "span", NULL);
    aistrace_span_end(&span);
}

struct aistrace_counters client_counted(void)
{
    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
    return counters;
}

void client_publish(uint64_t flags, uint64_t threshold)
{
    struct shmring_reader *reader = span_set_open(client.dir);
    shmring_reader_publish(reader, flags, threshold);
    shmring_reader_close(reader);
}

const struct span_set_span *client_fixture_end(struct aistrace_span *span)
{
    uint8_t id[8];
    memcpy(id, aistrace_span_context(span)->span_id, sizeof(id));
    aistrace_span_end(span);
    span_set_drain(&client.set, client.dir);
    const struct span_set_span *found = span_set_find(&client.set, id);
    ck_assert_ptr_nonnull(found);
    return found;
}
