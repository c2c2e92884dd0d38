/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "span/otlp_encode.h"
#include "span/otlp_resource.h"
#include "support/span_model.h"
#include "support/test.h"

static const char *problem;

/* In memory of exactly its size, so that a sanitizer sees the first byte read past it. */
static int decode(const struct buf *record, struct span_view *view, uint8_t **exact)
{
    problem = "untouched";
    *exact = malloc(record->len ? record->len : 1);
    ck_assert_ptr_nonnull(*exact);
    if (record->len)
        memcpy(*exact, record->data, record->len);
    return record_decode(*exact, record->len, AISTRACE_RECORD_SPAN, 5, view, &problem);
}

static int verdict(const struct buf *record)
{
    struct span_view view, before;
    uint8_t *exact;
    memset(&view, 0xa5, sizeof(view));
    memcpy(&before, &view, sizeof(view));
    int err = decode(record, &view, &exact);
    if (err) {
        ck_assert_int_eq(err, -EBADMSG);
        ck_assert_str_ne(problem, "untouched");
        ck_assert_mem_eq(&view, &before, sizeof(view));
    } else {
        ck_assert_str_eq(problem, "untouched");
        ck_assert_uint_eq(view.flags, 5);
        ck_assert_ptr_eq(view.items, exact + 64);
        ck_assert_uint_eq(view.items_bytes, record->len - 64);
        ck_assert_mem_eq(&view.fixed, exact, 64);
    }
    free(exact);
    return err;
}

static struct buf usual(void)
{
    struct model_span span;
    struct buf record = {0};
    model_span_usual(&span, 1);
    model_span_record(&span, &record);
    model_span_done(&span);
    return record;
}

static void refuses(struct buf *record, const char *why)
{
    ck_assert_int_eq(verdict(record), -EBADMSG);
    ck_assert_msg(strstr(problem, why), "\"%s\" does not speak of %s", problem, why);
    buf_done(record);
}

static void accepts(struct buf *record)
{
    ck_assert_msg(verdict(record) == 0, "%s", problem);
    buf_done(record);
}

TIMEOUT(300);

TEST(what_a_client_writes_is_accepted)
{
    struct model_random random = {.state = 1};
    for (int size = 0; size < 3; size++) {
        for (unsigned i = 0; i < 300; i++) {
            struct model_span span;
            struct buf record = {0};
            model_span_random(&span, &random, size);
            model_span_record(&span, &record);
            accepts(&record);
            model_span_done(&span);
        }
    }
}

TEST(the_fixed_part_is_checked)
{
    static const struct {
        size_t offset, bytes;
        uint8_t value;
        const char *why;
    } cases[] = {
        {0, 16, 0, "trace id"}, {16, 8, 0, "span id"}, {48, 1, 0, "kind"},
        {48, 1, 6, "kind"},     {48, 1, 255, "kind"},  {49, 1, 3, "status"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf record = usual();
        memset(record.data + cases[i].offset, cases[i].value, cases[i].bytes);
        refuses(&record, cases[i].why);
    }
    for (size_t bytes = 0; bytes < 64; bytes++) {
        struct buf record = usual();
        record.len = bytes;
        refuses(&record, "size");
    }
    for (uint8_t kind = 1; kind <= 5; kind++) {
        struct buf record = usual();
        record.data[48] = kind;
        record.data[49] = kind % 3;
        record.data[51] = 0xff; /* reserved: ignored */
        memset(record.data + 24, 0, 8);
        accepts(&record);
    }
    struct buf record = usual();
    struct span_view view;
    ck_assert_int_eq(record_decode(record.data, record.len, 2, 0, &view, &problem), -EBADMSG);
    buf_done(&record);
}

/* Cut anywhere but between two items. */
TEST(a_record_cut_within_an_item_is_refused)
{
    struct buf record = usual();
    for (size_t bytes = 64; bytes < record.len; bytes++) {
        struct buf cut = {0};
        size_t at = 64;
        while (at < bytes) {
            struct aistrace_item item;
            memcpy(&item, record.data + at, sizeof(item));
            at += sizeof(item) + item.key_bytes + item.value_bytes;
        }
        ck_assert_int_eq(buf_append(&cut, record.data, bytes), 0);
        if (at == bytes)
            accepts(&cut);
        else
            refuses(&cut, "end");
    }
    buf_done(&record);
}

static const uint8_t zeros[64];

TEST(items_are_checked)
{
    static const struct {
        uint8_t tag, type;
        const char *key;
        size_t value_bytes;
        uint8_t fill;
        const char *why; /* NULL: fine */
    } cases[] = {
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, "k", 0, 0, NULL},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_BYTES, "", 3, 0xff, NULL},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_INT, "k", 8, 1, NULL},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_INT, "k", 7, 1, "number"},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_INT, "k", 9, 1, "number"},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_DOUBLE, "k", 8, 1, NULL},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_DOUBLE, "k", 4, 1, "number"},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_BOOL, "k", 1, 1, NULL},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_BOOL, "k", 1, 2, "bool"},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_BOOL, "k", 0, 0, "bool"},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_BOOL, "k", 2, 0, "bool"},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING_ARRAY, "k", 0, 0, NULL},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING_ARRAY, "k", 8, 0, NULL},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING_ARRAY, "k", 7, 0, "array"},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING_ARRAY, "k", 8, 1, "array"},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING_ARRAY, "k", 4, 0xff, "array"},
        {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_NONE, "k", 0, 0, "type"},
        {AISTRACE_ITEM_ATTRIBUTE, 7, "k", 8, 0, "type"},
        {AISTRACE_ITEM_NAME, AISTRACE_VALUE_NONE, "", 5, 'x', NULL},
        {AISTRACE_ITEM_NAME, AISTRACE_VALUE_STRING, "", 5, 'x', "type"},
        {AISTRACE_ITEM_NAME, AISTRACE_VALUE_NONE, "k", 5, 'x', "key"},
        {AISTRACE_ITEM_STATUS_MESSAGE, AISTRACE_VALUE_NONE, "k", 5, 'x', "key"},
        {AISTRACE_ITEM_TRACE_STATE, AISTRACE_VALUE_NONE, "k", 5, 'x', "key"},
        {AISTRACE_ITEM_EVENT, AISTRACE_VALUE_NONE, "name", 16, 0, NULL},
        {AISTRACE_ITEM_EVENT, AISTRACE_VALUE_NONE, "name", 15, 0, "fixed part"},
        {AISTRACE_ITEM_EVENT, AISTRACE_VALUE_NONE, "name", 17, 0, "end"},
        {AISTRACE_ITEM_EVENT, AISTRACE_VALUE_NONE, "name", 24, 0, "belong"},
        {AISTRACE_ITEM_EVENT, AISTRACE_VALUE_INT, "name", 16, 0, "type"},
        {AISTRACE_ITEM_LINK, AISTRACE_VALUE_NONE, "", 32, 1, NULL},
        {AISTRACE_ITEM_LINK, AISTRACE_VALUE_NONE, "", 31, 1, "fixed part"},
        {AISTRACE_ITEM_LINK, AISTRACE_VALUE_NONE, "", 32, 0, "id is zero"},
        {AISTRACE_ITEM_LINK, AISTRACE_VALUE_NONE, "", 32, 2, "remote"},
        {AISTRACE_ITEM_ROLE, AISTRACE_VALUE_NONE, "", 5, 'x', "belong"},
        {AISTRACE_ITEM_SERVICE, AISTRACE_VALUE_NONE, "", 5, 'x', "belong"},
        {0, AISTRACE_VALUE_NONE, "", 0, 0, "belong"},
        {7, AISTRACE_VALUE_NONE, "", 0, 0, "belong"},
        {18, AISTRACE_VALUE_NONE, "", 0, 0, "belong"},
        {255, AISTRACE_VALUE_NONE, "", 0, 0, "belong"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf record = usual();
        uint8_t value[64];
        memset(value, cases[i].fill, sizeof(value));
        model_item(&record, cases[i].tag, cases[i].type, cases[i].key, strlen(cases[i].key), value,
                   cases[i].value_bytes);
        if (cases[i].why)
            refuses(&record, cases[i].why);
        else
            accepts(&record);
    }
}

TEST(interned_keys_are_refused)
{
    struct buf record = usual();
    struct aistrace_item item = {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, AISTRACE_KEY_INTERNED | 1, 0};
    ck_assert_int_eq(buf_append(&record, &item, sizeof(item)), 0);
    ck_assert_int_eq(buf_append(&record, zeros, 64), 0);
    refuses(&record, "interned");
}

/* Not one byte of it is looked at. */
TEST(lengths_over_32_bits_are_refused)
{
    static const uint8_t byte[1];
    struct span_view view;
    size_t bytes = (size_t)UINT32_MAX + 1;
    ck_assert_int_eq(record_decode(byte, bytes, AISTRACE_RECORD_SPAN, 0, &view, &problem), -EBADMSG);
    ck_assert_str_eq(problem, "a record of impossible size");
    ck_assert_int_eq(record_check_resource(byte, bytes, &problem), -EBADMSG);
    ck_assert_str_eq(problem, "a resource of impossible size");
}

TEST(a_link_needs_both_ids)
{
    for (unsigned ids = 0; ids < 4; ids++) {
        struct aistrace_link_value link = {.trace_id = {ids & 1 ? 1 : 0}, .span_id = {ids & 2 ? 1 : 0}};
        struct buf record = usual();
        model_item(&record, AISTRACE_ITEM_LINK, AISTRACE_VALUE_NONE, NULL, 0, &link, sizeof(link));
        if (ids == 3)
            accepts(&record);
        else
            refuses(&record, "id is zero");
    }
}

TEST(lengths_that_wrap_are_refused)
{
    static const uint32_t lengths[] = {UINT32_MAX, UINT32_MAX - 7, UINT32_MAX - 8, 1u << 31};
    for (size_t i = 0; i < 4; i++) {
        struct buf record = usual();
        struct aistrace_item item = {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_BYTES, 8, lengths[i]};
        ck_assert_int_eq(buf_append(&record, &item, sizeof(item)), 0);
        ck_assert_int_eq(buf_append(&record, zeros, 64), 0);
        refuses(&record, "end");
    }
}

TEST(nested_items_are_attributes_only)
{
    static const uint8_t tags[] = {AISTRACE_ITEM_NAME, AISTRACE_ITEM_EVENT, AISTRACE_ITEM_LINK, AISTRACE_ITEM_ROLE};
    for (size_t i = 0; i < 4; i++) {
        struct buf record = usual(), value = {0};
        ck_assert_int_eq(buf_append(&value, zeros, 16), 0);
        model_item(&value, tags[i], AISTRACE_VALUE_NONE, NULL, 0, zeros, 32);
        model_item(&record, AISTRACE_ITEM_EVENT, AISTRACE_VALUE_NONE, "e", 1, value.data, value.len);
        refuses(&record, "belong");
        buf_done(&value);
    }
}

static void add_attributes(struct buf *out, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        char key[16];
        model_item(out, AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, key,
                   (size_t)snprintf(key, sizeof(key), "key %u", i), "v", 1);
    }
}

TEST(limits_count_keys_not_items)
{
    struct aistrace_span_record fixed = {.trace_id = {1}, .span_id = {1}, .kind = 1};
    for (unsigned extra = 0; extra < 2; extra++) {
        struct buf record = {0}, event = {0};
        ck_assert_int_eq(buf_append(&record, &fixed, sizeof(fixed)), 0);
        add_attributes(&record, 0, 128);
        add_attributes(&record, 0, 128);
        add_attributes(&record, 60, 5);
        add_attributes(&record, 128, extra);
        if (extra)
            refuses(&record, "attributes");
        else
            accepts(&record);

        ck_assert_int_eq(buf_append(&record, &fixed, sizeof(fixed)), 0);
        ck_assert_int_eq(buf_append(&event, zeros, 16), 0);
        add_attributes(&event, 0, 128);
        add_attributes(&event, 1, 127 + extra);
        model_item(&record, AISTRACE_ITEM_EVENT, AISTRACE_VALUE_NONE, "e", 1, event.data, event.len);
        if (extra)
            refuses(&record, "attributes");
        else
            accepts(&record);
        buf_done(&event);
    }
}

TEST(attributes_of_every_type_count)
{
    static const struct {
        uint8_t type;
        size_t bytes;
    } kinds[] = {{AISTRACE_VALUE_STRING, 3}, {AISTRACE_VALUE_BYTES, 3}, {AISTRACE_VALUE_INT, 8},
                 {AISTRACE_VALUE_DOUBLE, 8}, {AISTRACE_VALUE_BOOL, 1},  {AISTRACE_VALUE_STRING_ARRAY, 4}};
    struct aistrace_span_record fixed = {.trace_id = {1}, .span_id = {1}, .kind = 1};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        for (unsigned texts = 127; texts <= 128; texts++) {
            struct buf record = {0};
            ck_assert_int_eq(buf_append(&record, &fixed, sizeof(fixed)), 0);
            add_attributes(&record, 0, texts);
            model_item(&record, AISTRACE_ITEM_ATTRIBUTE, kinds[i].type, "another", 7, zeros, kinds[i].bytes);
            if (texts == 128)
                refuses(&record, "attributes");
            else
                accepts(&record);
        }
    }
}

TEST(events_and_links_have_their_limit)
{
    struct aistrace_link_value link = {.trace_id = {1}, .span_id = {1}};
    for (unsigned count = 128; count < 130; count++) {
        struct buf events = usual(), links = usual();
        for (unsigned i = 0; i < count; i++) {
            model_item(&events, AISTRACE_ITEM_EVENT, AISTRACE_VALUE_NONE, "e", 1, zeros, 16);
            model_item(&links, AISTRACE_ITEM_LINK, AISTRACE_VALUE_NONE, NULL, 0, &link, sizeof(link));
        }
        if (count > 128) {
            refuses(&events, "events");
            refuses(&links, "links");
        } else {
            accepts(&events);
            accepts(&links);
        }
    }
}

TEST(items_without_end_are_refused)
{
    struct buf record = usual();
    for (unsigned i = 0; i < 70000; i++)
        model_item(&record, AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, "k", 1, NULL, 0);
    refuses(&record, "too many");
}

TEST(resources_are_checked)
{
    struct buf items = {0};
    ck_assert_int_eq(record_check_resource(NULL, 0, &problem), 0);
    model_item(&items, AISTRACE_ITEM_ROLE, 0, NULL, 0, "proxy", 5);
    add_attributes(&items, 0, 10);
    ck_assert_int_eq(record_check_resource(items.data, items.len, &problem), 0);
    for (size_t cut = 1; cut < 8; cut++)
        ck_assert_int_eq(record_check_resource(items.data, items.len - cut, &problem), -EBADMSG);
    size_t bytes = items.len;
    model_item(&items, AISTRACE_ITEM_SERVICE, 0, NULL, 0, "s", 1);
    ck_assert_int_eq(record_check_resource(items.data, items.len, &problem), -EBADMSG);
    items.len = bytes;
    model_item(&items, AISTRACE_ITEM_NAME, 0, NULL, 0, "s", 1);
    ck_assert_int_eq(record_check_resource(items.data, items.len, &problem), -EBADMSG);
    items.len = bytes;
    add_attributes(&items, 10, 119);
    ck_assert_int_eq(record_check_resource(items.data, items.len, &problem), -EBADMSG);
    buf_done(&items);
}

TEST(roles_and_services_have_no_key)
{
    static const uint8_t tags[] = {AISTRACE_ITEM_ROLE, AISTRACE_ITEM_SERVICE};
    for (size_t i = 0; i < COUNT(tags); i++) {
        for (size_t key_bytes = 0; key_bytes < 2; key_bytes++) {
            struct buf items = {0};
            model_item(&items, tags[i], AISTRACE_VALUE_NONE, "k", key_bytes, "proxy", 5);
            int err = record_check_resource(items.data, items.len, &problem);
            ck_assert_int_eq(err, key_bytes ? -EBADMSG : 0);
            if (key_bytes)
                ck_assert_str_eq(problem, "a key where there is none");
            buf_done(&items);
        }
    }
}

/* Whatever is accepted can be encoded, and what comes out can be unpacked. */
static bool survives(const struct buf *record)
{
    struct span_view view;
    uint8_t *exact;
    bool accepted = decode(record, &view, &exact) == 0;
    if (accepted) {
        static const struct buf none = {0};
        struct buf spans = {0}, request = {0};
        uint64_t invalid_text = 0;
        ck_assert_int_eq(otlp_encode_span(&spans, &view, &invalid_text), 0);
        ck_assert_uint_le(spans.len, spans.cap);
        ck_assert_int_eq(otlp_encode_group_head(&request, &none, spans.len), 0);
        ck_assert_int_eq(buf_append(&request, spans.data, spans.len), 0);
        Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest *unpacked =
            opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(NULL, request.len,
                                                                                             request.data);
        ck_assert_ptr_nonnull(unpacked);
        ck_assert_uint_eq(unpacked->resource_spans[0]->scope_spans[0]->n_spans, 1);
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(unpacked, NULL);
        buf_done(&spans);
        buf_done(&request);
    }
    free(exact);
    return accepted;
}

/* Half of the changes hit the heads of items, where lengths, tags and types are. */
static void damage(struct buf *record, struct model_random *random)
{
    size_t heads[512], count = 0;
    for (size_t at = 64; at + 8 <= record->len && count < 512;) {
        struct aistrace_item item;
        memcpy(&item, record->data + at, sizeof(item));
        heads[count++] = at;
        at += sizeof(item) + item.key_bytes + item.value_bytes;
    }
    for (size_t changes = 1 + model_below(random, 3); changes > 0 && record->len > 0; changes--) {
        size_t at = model_below(random, record->len);
        if (count > 0 && model_below(random, 2))
            at = heads[model_below(random, count)] + model_below(random, 8);
        switch (model_below(random, 4)) {
        case 0:
            record->data[at] ^= (uint8_t)(1u << model_below(random, 8));
            break;
        case 1:
            record->data[at] = (uint8_t)model_next(random);
            break;
        case 2:
            record->data[at] = (uint8_t)(record->data[at] + 1 - 2 * (int)model_below(random, 2));
            break;
        default:
            if (model_below(random, 4) == 0)
                return (void)(record->len = model_below(random, record->len + 1));
        }
    }
}

TEST(damaged_records_never_do_harm)
{
    struct model_random random = {.state = 99};
    size_t accepted = 0, refused = 0;
    for (unsigned i = 0; i < 10000; i++) {
        struct model_span span;
        struct buf record = {0}, damaged = {0};
        model_span_random(&span, &random, i % 50 == 0 ? 2 : i % 4 == 0 ? 1 : 0);
        model_span_record(&span, &record);
        for (unsigned k = 0; k < 24; k++) {
            damaged.len = 0;
            ck_assert_int_eq(buf_append(&damaged, record.data, record.len), 0);
            damage(&damaged, &random);
            if (survives(&damaged))
                accepted++;
            else
                refused++;
        }
        buf_done(&record);
        buf_done(&damaged);
        model_span_done(&span);
    }
    ck_assert_uint_eq(accepted + refused, 240000);
    ck_assert_uint_gt(accepted, 20000);
    ck_assert_uint_gt(refused, 20000);
}
