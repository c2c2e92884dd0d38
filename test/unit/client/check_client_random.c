/* SPDX-License-Identifier: MIT
 *
 * Spans made of calls in random order, in buffers of random size and place: whatever is called, the daemon takes the
 * record, and nothing is written beside the buffer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aistrace.h"
#include "span/record_decode.h"
#include "support/span_model.h"
#include "support/span_set.h"
#include "support/test.h"

enum { SPANS = 2000, SPANS_AT_A_TIME = 20, LONG = 60000, GUARD_BYTES = 64, GUARD = 0x55 };

static char *dir;
static char text[LONG + 1];
static struct model_random randoms = {71};

static void start(void)
{
    dir = span_set_dir_new();
    memset(text, 'x', LONG);
    ck_assert_int_eq(
        aistrace_start(&(struct aistrace_options){.role = "target", .ring_dir = dir, .ring_bytes = 4 << 20}), 0);
}

static void stop(void)
{
    aistrace_stop();
    span_set_dir_remove(dir);
}

FIXTURE(start, stop);

static size_t below(size_t bound)
{
    return model_below(&randoms, bound);
}

/* With an end of its own; mostly short. */
static const char *some_text(size_t longest)
{
    return text + LONG - below(below(4) ? 40 : longest);
}

static const char *some_key(size_t keys)
{
    static char key[24];

    sprintf(key, "%zx", below(keys));
    return key;
}

static void call(struct aistrace_span *span, size_t keys)
{
    const char *const strings[] = {"a", NULL, some_text(200)};
    const struct aistrace_attribute attributes[] = {aistrace_attr_int("i", 1), aistrace_attr_bool("b", true)};

    switch (below(20)) {
    case 0:
        aistrace_span_set_name(span, some_text(1500));
        break;
    case 1:
        aistrace_span_put_name(span, below(2) ? text : NULL, below(5000));
        break;
    case 2:
        aistrace_span_set_status(span, AISTRACE_STATUS_ERROR, some_text(300));
        break;
    case 3:
        aistrace_span_add_event(span, some_text(300), attributes, below(3));
        break;
    case 4:
        aistrace_span_add_link(span, aistrace_span_context(span), attributes, below(3));
        break;
    case 5:
        aistrace_span_set_bytes(span, some_key(keys), text, below(LONG));
        break;
    case 6:
        aistrace_span_set_strings(span, some_key(keys), strings, below(4));
        break;
    case 7:
        aistrace_span_set_string(span, NULL, NULL);
        break;
    case 8:
        aistrace_span_set_bool(span, "constant", true);
        break;
    case 9:
    case 10:
    case 11:
        aistrace_span_set_int(span, some_key(keys), 1);
        break;
    default:
        aistrace_span_set_text(span, some_key(keys), text, below(below(10) ? 8 : 3000));
    }
}

static void make_span(void)
{
    static const size_t keys[] = {5, 200, 100000}, sizes[] = {900, 3000, 40000};
    size_t bytes = below(sizes[below(3)]), skew = below(17), few = keys[below(3)];
    size_t calls = below(below(2) ? 30 : 400);
    uint8_t *memory = malloc(GUARD_BYTES + bytes + GUARD_BYTES), *buffer = memory + skew;
    struct aistrace_span span;

    ck_assert_ptr_nonnull(memory);
    memset(memory, GUARD, GUARD_BYTES + bytes + GUARD_BYTES);
    aistrace_span_start(&span, some_text(2000),
                        &(struct aistrace_span_options){.buffer = buffer, .buffer_bytes = bytes});
    for (size_t i = 0; i < calls; i++)
        call(&span, few);
    aistrace_span_end(&span);
    call(&span, few);
    for (uint8_t *at = memory; at < buffer; at++)
        ck_assert_uint_eq(*at, GUARD);
    for (uint8_t *at = buffer + bytes; at < memory + GUARD_BYTES + bytes + GUARD_BYTES; at++)
        ck_assert_uint_eq(*at, GUARD);
    free(memory);
}

static void check_record(const struct span_set_span *span)
{
    size_t bytes = sizeof(span->fixed) + span->items_bytes;
    uint8_t *record = malloc(bytes);
    struct span_view view;
    const char *problem = "";

    ck_assert_ptr_nonnull(record);
    memcpy(record, &span->fixed, sizeof(span->fixed));
    if (span->items_bytes)
        memcpy(record + sizeof(span->fixed), span->items, span->items_bytes);
    if (record_decode(record, bytes, AISTRACE_RECORD_SPAN, span->flags, &view, &problem) != 0)
        ck_abort_msg("the daemon refuses it: %s", problem);
    ck_assert_uint_le(span_set_items(span, AISTRACE_ITEM_ATTRIBUTE), AISTRACE_MAX_ATTRIBUTES);
    free(record);
}

TEST(the_daemon_takes_every_span_whatever_was_called)
{
    size_t seen = 0;

    while (seen < SPANS) {
        struct span_set set = {0};
        for (int i = 0; i < SPANS_AT_A_TIME; i++)
            make_span();
        span_set_drain(&set, dir);
        ck_assert_uint_eq(set.count, SPANS_AT_A_TIME);
        for (size_t i = 0; i < set.count; i++)
            check_record(&set.spans[i]);
        seen += set.count;
        span_set_done(&set);
    }
}
