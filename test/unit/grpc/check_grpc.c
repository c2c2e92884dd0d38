/* SPDX-License-Identifier: MIT
 *
 * What an exporter does about each answer, and gRPC's text forms.
 */
#include <errno.h>
#include <string.h>

#include "grpc/grpc.h"
#include "support/test.h"

static struct grpc_decision decide(struct grpc_result result)
{
    struct grpc_decision decision;
    if (!result.message)
        result.message = "";
    grpc_decide(&result, &decision);
    return decision;
}

/* google.rpc.Status{8, "slow down", [RetryInfo{seconds, nanos}]} */
static size_t put_details(uint8_t *out, const char *type, uint8_t seconds, uint8_t nanos)
{
    uint8_t info[] = {0x0a, 4, 0x08, seconds, 0x10, nanos};
    size_t n = 0, type_bytes = strlen(type);
    out[n++] = 0x08;
    out[n++] = 8;
    out[n++] = 0x1a;
    out[n++] = (uint8_t)(2 + type_bytes + 2 + sizeof(info));
    out[n++] = 0x0a;
    out[n++] = (uint8_t)type_bytes;
    memcpy(out + n, type, type_bytes);
    n += type_bytes;
    out[n++] = 0x12;
    out[n++] = sizeof(info);
    memcpy(out + n, info, sizeof(info));
    return n + sizeof(info);
}

static const char RETRY_INFO[] = "type.googleapis.com/google.rpc.RetryInfo";

TEST(each_code_has_its_verdict)
{
    static const struct {
        enum grpc_code code;
        enum grpc_verdict verdict;
        const char *name;
    } table[] = {
        {GRPC_OK, GRPC_EXPORTED, "OK"},
        {GRPC_CANCELLED, GRPC_RETRY, "CANCELLED"},
        {GRPC_UNKNOWN, GRPC_REFUSED, "UNKNOWN"},
        {GRPC_INVALID_ARGUMENT, GRPC_REFUSED, "INVALID_ARGUMENT"},
        {GRPC_DEADLINE_EXCEEDED, GRPC_RETRY, "DEADLINE_EXCEEDED"},
        {GRPC_NOT_FOUND, GRPC_REFUSED, "NOT_FOUND"},
        {GRPC_ALREADY_EXISTS, GRPC_REFUSED, "ALREADY_EXISTS"},
        {GRPC_PERMISSION_DENIED, GRPC_REFUSED, "PERMISSION_DENIED"},
        {GRPC_RESOURCE_EXHAUSTED, GRPC_REFUSED, "RESOURCE_EXHAUSTED"},
        {GRPC_FAILED_PRECONDITION, GRPC_REFUSED, "FAILED_PRECONDITION"},
        {GRPC_ABORTED, GRPC_RETRY, "ABORTED"},
        {GRPC_OUT_OF_RANGE, GRPC_RETRY, "OUT_OF_RANGE"},
        {GRPC_UNIMPLEMENTED, GRPC_REFUSED, "UNIMPLEMENTED"},
        {GRPC_INTERNAL, GRPC_REFUSED, "INTERNAL"},
        {GRPC_UNAVAILABLE, GRPC_RETRY, "UNAVAILABLE"},
        {GRPC_DATA_LOSS, GRPC_RETRY, "DATA_LOSS"},
        {GRPC_UNAUTHENTICATED, GRPC_REFUSED, "UNAUTHENTICATED"},
        {(enum grpc_code)99, GRPC_REFUSED, "UNKNOWN"},
    };
    ck_assert_uint_eq(COUNT(table), GRPC_CODES + 1);
    for (size_t i = 0; i < COUNT(table); i++) {
        struct grpc_decision decision = decide((struct grpc_result){.code = table[i].code, .message = "why"});
        ck_assert_msg(decision.verdict == table[i].verdict, "%s", table[i].name);
        ck_assert_str_eq(grpc_code_name(table[i].code), table[i].name);
        ck_assert_str_eq(decision.message, "why");
        ck_assert_uint_eq(decision.retry_after_ms, 0);
    }
}

TEST(an_unprocessed_call_is_retried_whatever_its_code)
{
    struct grpc_result result = {.code = GRPC_INTERNAL, .unprocessed = true};
    ck_assert_int_eq(decide(result).verdict, GRPC_RETRY);
}

TEST(retry_info_decides_about_resource_exhausted_and_delays_others)
{
    uint8_t details[256];
    struct grpc_result result = {.details = details};
    result.details_bytes = put_details(details, RETRY_INFO, 3, 1);
    result.code = GRPC_RESOURCE_EXHAUSTED;
    ck_assert_int_eq(decide(result).verdict, GRPC_RETRY);
    ck_assert_uint_eq(decide(result).retry_after_ms, 3001);
    result.code = GRPC_UNAVAILABLE;
    ck_assert_int_eq(decide(result).verdict, GRPC_RETRY);
    ck_assert_uint_eq(decide(result).retry_after_ms, 3001);
    result.code = GRPC_INVALID_ARGUMENT;
    ck_assert_int_eq(decide(result).verdict, GRPC_REFUSED);

    result.code = GRPC_RESOURCE_EXHAUSTED;
    result.details_bytes = put_details(details, RETRY_INFO, 0, 0);
    ck_assert_int_eq(decide(result).verdict, GRPC_RETRY);
    ck_assert_uint_eq(decide(result).retry_after_ms, 0);

    result.details_bytes = put_details(details, "type.googleapis.com/google.rpc.QuotaFailure", 3, 1);
    ck_assert_int_eq(decide(result).verdict, GRPC_REFUSED);
    result.details_bytes = put_details(details, "google.rpc.RetryInfo", 3, 1);
    ck_assert_int_eq(decide(result).verdict, GRPC_REFUSED);
    result.details_bytes = put_details(details, RETRY_INFO, 3, 1) - 1;
    ck_assert_int_eq(decide(result).verdict, GRPC_REFUSED);
}

TEST(a_retry_delay_beyond_reason_is_bounded)
{
    /* seconds = 2^62, and seconds = -1 */
    static const uint8_t huge[] = "\x1a\x37\x0a\x28"
                                  "type.googleapis.com/google.rpc.RetryInfo"
                                  "\x12\x0b\x0a\x09\x08\x80\x80\x80\x80\x80\x80\x80\x40";
    uint8_t details[sizeof(huge) + 8];
    size_t bytes = sizeof(huge) - 1;
    memcpy(details, huge, bytes);
    details[1] = (uint8_t)(bytes - 2);
    details[45] = (uint8_t)(bytes - 46);
    details[47] = (uint8_t)(bytes - 48);
    struct grpc_result result = {.code = GRPC_UNAVAILABLE, .details = details, .details_bytes = bytes};
    ck_assert_uint_eq(decide(result).retry_after_ms, GRPC_RETRY_AFTER_MAX_MS);

    memcpy(details + bytes - 8, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
    details[1] = (uint8_t)(details[1] + 2);
    details[45] = (uint8_t)(details[45] + 2);
    details[47] = (uint8_t)(details[47] + 2);
    result.details_bytes = bytes + 2;
    ck_assert_uint_eq(decide(result).retry_after_ms, 0);
}

TEST(partial_success_is_exported_with_its_rejected_count)
{
    struct grpc_result result = {.code = GRPC_OK};
    ck_assert_int_eq(decide(result).verdict, GRPC_EXPORTED);

    static const uint8_t partial[] = "\x0a\x07\x08\x07\x12\x03"
                                     "bad";
    result.body = partial;
    result.body_bytes = sizeof(partial) - 1;
    struct grpc_decision decision = decide(result);
    ck_assert_int_eq(decision.verdict, GRPC_EXPORTED);
    ck_assert_uint_eq(decision.rejected, 7);
    ck_assert_str_eq(decision.message, "bad");

    static const uint8_t negative[] = "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    result.body = negative;
    result.body_bytes = sizeof(negative) - 1;
    ck_assert_uint_eq(decide(result).rejected, 0);

    static const uint8_t garbage[] = "\xff\xff\xff";
    result.body = garbage;
    result.body_bytes = sizeof(garbage) - 1;
    decision = decide(result);
    ck_assert_int_eq(decision.verdict, GRPC_EXPORTED);
    ck_assert_uint_eq(decision.rejected, 0);
    ck_assert_str_ne(decision.message, "");
}

TEST(a_message_is_printable_and_cut)
{
    struct grpc_result result = {.code = GRPC_INTERNAL, .message = "a\nb\x1b[31m\xff"};
    ck_assert_str_eq(decide(result).message, "a?b?[31m?");
    char text[1000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    result.message = text;
    ck_assert_uint_eq(strlen(decide(result).message), sizeof(((struct grpc_decision *)0)->message) - 1);
}

TEST(http_status_and_h2_errors_map_to_codes)
{
    static const struct {
        int status;
        enum grpc_code code;
    } http[] = {{400, GRPC_INTERNAL},      {401, GRPC_UNAUTHENTICATED}, {403, GRPC_PERMISSION_DENIED},
                {404, GRPC_UNIMPLEMENTED}, {429, GRPC_UNAVAILABLE},     {431, GRPC_INTERNAL},
                {502, GRPC_UNAVAILABLE},   {503, GRPC_UNAVAILABLE},     {504, GRPC_UNAVAILABLE},
                {200, GRPC_UNKNOWN},       {500, GRPC_UNKNOWN},         {0, GRPC_UNKNOWN}};
    for (size_t i = 0; i < COUNT(http); i++)
        ck_assert_int_eq(grpc_code_from_http(http[i].status), http[i].code);
    static const struct {
        uint32_t error;
        enum grpc_code code;
        bool unprocessed;
    } h2[] = {{0, GRPC_INTERNAL, false},   {1, GRPC_INTERNAL, false},         {2, GRPC_INTERNAL, false},
              {7, GRPC_UNAVAILABLE, true}, {8, GRPC_CANCELLED, false},        {0xb, GRPC_RESOURCE_EXHAUSTED, false},
              {0xc, GRPC_INTERNAL, false}, {0xffffffff, GRPC_INTERNAL, false}};
    for (size_t i = 0; i < COUNT(h2); i++) {
        bool unprocessed;
        ck_assert_int_eq(grpc_code_from_h2_error(h2[i].error, &unprocessed), h2[i].code);
        ck_assert_int_eq(unprocessed, h2[i].unprocessed);
    }
}

TEST(status_text_is_a_known_number_or_unknown)
{
    static const struct {
        const char *text;
        enum grpc_code code;
    } table[] = {{"0", GRPC_OK},       {"14", GRPC_UNAVAILABLE}, {"16", GRPC_UNAUTHENTICATED},  {"17", GRPC_UNKNOWN},
                 {"", GRPC_UNKNOWN},   {"-1", GRPC_UNKNOWN},     {"014", GRPC_UNKNOWN},         {"1x", GRPC_UNKNOWN},
                 {" 0", GRPC_UNKNOWN}, {"00", GRPC_OK},          {"999999999999", GRPC_UNKNOWN}};
    for (size_t i = 0; i < COUNT(table); i++)
        ck_assert_msg(grpc_code_parse(table[i].text, strlen(table[i].text)) == table[i].code, "'%s'", table[i].text);
}

TEST(base64_is_decoded_padded_or_not)
{
    static const struct {
        const char *text, *decoded; /* NULL: bad */
    } table[] = {{"", ""},           {"Zg", "f"},       {"Zg==", "f"},       {"Zm8", "fo"},
                 {"Zm8=", "fo"},     {"Zm9v", "foo"},   {"Zm9vYg", "foob"},  {"Zm9vYmE=", "fooba"},
                 {"Zg==,Zm8=", "f"}, {"Zm9v,x", "foo"}, {"_-8", "\xff\xef"}, {"/+8=", "\xff\xef"},
                 {"Z", NULL},        {"Zg=", NULL},     {"Zg===", NULL},     {"Zm 9v", NULL},
                 {"Zm9v\n", NULL},   {"====", NULL},    {"Zm9vY", NULL}};
    for (size_t i = 0; i < COUNT(table); i++) {
        uint8_t text[64];
        size_t decoded = 99;
        memcpy(text, table[i].text, strlen(table[i].text));
        int err = grpc_base64_decode(text, strlen(table[i].text), &decoded);
        ck_assert_msg(err == (table[i].decoded ? 0 : -EINVAL), "'%s': %d", table[i].text, err);
        if (table[i].decoded) {
            ck_assert_uint_eq(decoded, strlen(table[i].decoded));
            ck_assert_mem_eq(text, table[i].decoded, decoded);
        } else {
            ck_assert_uint_eq(decoded, 99);
        }
    }
}

TEST(a_timeout_has_at_most_eight_digits)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } table[] = {
        {0, "0m"}, {10000, "10000m"}, {99999999, "99999999m"}, {100000000, "100000S"}, {UINT64_MAX, "99999999S"}};
    for (size_t i = 0; i < COUNT(table); i++) {
        char text[GRPC_TIMEOUT_MAX];
        grpc_format_timeout(table[i].ms, text);
        ck_assert_str_eq(text, table[i].text);
    }
}

TEST(a_prefix_is_a_flag_and_a_big_endian_length)
{
    uint8_t prefix[GRPC_PREFIX_BYTES];
    grpc_put_prefix(prefix, true, 0x01a2b3f4);
    ck_assert_mem_eq(prefix, "\x01\x01\xa2\xb3\xf4", 5);
    ck_assert_uint_eq(grpc_prefix_length(prefix), 0x01a2b3f4);
    grpc_put_prefix(prefix, false, UINT32_MAX);
    ck_assert_mem_eq(prefix, "\0\xff\xff\xff\xff", 5);
    ck_assert_uint_eq(grpc_prefix_length(prefix), UINT32_MAX);
}
