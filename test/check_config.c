/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buf.h"
#include "config_value.h"

static struct buf errors;
static char path[64];

static void setup(void)
{
    clearenv();
}

/* The text as a file, to be named by its descriptor. */
static const char *file_of(const char *text, size_t bytes)
{
    int fd = memfd_create("config", 0);
    ck_assert_int_eq(write(fd, text, bytes), (ssize_t)bytes);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return path;
}

static struct config *load_with(const char *text, struct config_flags flags)
{
    struct config *config = NULL;
    buf_done(&errors);
    if (text)
        flags.file = file_of(text, strlen(text));
    int err = config_load(&flags, &config, &errors);
    ck_assert_int_eq(buf_append(&errors, "", 1), 0);
    ck_assert_int_eq(err, config ? 0 : -EINVAL);
    ck_assert_msg((config != NULL) == (errors.len == 1), "%s", (char *)errors.data);
    return config;
}

static struct config *loaded(const char *text, struct config_flags flags)
{
    struct config *config = load_with(text, flags);
    ck_assert_msg(config != NULL, "%s", (char *)errors.data);
    return config;
}

static const char *refused(const char *text, struct config_flags flags)
{
    ck_assert_ptr_null(load_with(text, flags));
    return (const char *)errors.data;
}

static const struct config_flags no_flags;

/* ---- what is refused, and in which words ---- */

#define TRACING(members)   "{\"tracing\": {" members "}}"
#define AISTRACED(members) "{\"aistraced\": {" members "}}"
#define ENABLED(members)   TRACING("\"enabled\": true, " members)
#define HTTP               "\"exporter_endpoint\": \"http://collector:4317\""

static const struct {
    const char *text;
    const char *parts[4];
} broken[] = {
    /* syntax and shape */
    {"", {":1: this is not JSON"}},
    {"{\n\"tracing\": {\n\"enabled\": tru\n}}", {":3: this is not JSON"}},
    {"{\"tracing\": {\"enabled\": true,}}", {":1: this is not JSON"}},
    {"{\"tracing\": {}} trailing", {"this is not JSON"}},
    {"[]", {"not a JSON object"}},
    {"{\"tracing\": []}", {":1: tracing: an array where an object is expected"}},
    {"{\"tracing\": null}", {"tracing: null where an object"}},
    {"{\"aistraced\": \"x\"}", {"aistraced: a string where an object"}},
    {AISTRACED("\"retry\": 5"), {"aistraced.retry: a number where an object"}},
    {"{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
     "]]]]"
     "]]]]]]]]]]]]]]]]]]]]]}",
     {"line 1: nested deeper than 64"}},
    {"{\"x\":\"\xff\"}", {"this is not JSON"}},
    /* unknown and duplicate keys */
    {"{\"tracing\": {\n\n\"enbaled\": true}}", {":3: tracing.enbaled: unknown key", "\"enabled\""}},
    {TRACING("\"endpoint\": \"x\""), {"tracing.endpoint: unknown key", "\"exporter_endpoint\""}},
    {TRACING("\"exporter_auth\": {\"token\": \"x\"}"), {"tracing.exporter_auth.token: unknown", "\"token_"}},
    {AISTRACED("\"flush_intervall\": \"1s\""), {"aistraced.flush_intervall: unknown", "\"flush_interval\""}},
    {AISTRACED("\"retry\": {\"maximum\": \"1s\"}"), {"aistraced.retry.maximum: unknown", "\"max\""}},
    {AISTRACED("\"retry.max\": \"1s\""), {"aistraced.retry.max: unknown key"}},
    {AISTRACED("\"log\": {\"levle\": \"info\"}"), {"aistraced.log.levle: unknown", "\"level\""}},
    {AISTRACED("\"spool\": {\"size\": 0}"), {"aistraced.spool.size: unknown"}},
    {"{\"tracing\": {\n\"enabled\": true,\n\"enabled\": false}}", {":3: tracing.enabled:", "twice, first in line 2"}},
    {"{\"tracing\": {\"enabled\": false, \"\\u0065nabled\": false}}", {"tracing.enabled:", "twice"}},
    {"{\"tracing\": {},\n\"tracing\": {}}", {":2: tracing: the key is there twice"}},
    {AISTRACED("\"retry\": {\"max\": \"1s\",\n\"max\": \"1s\"}"), {":2: aistraced.retry.max:", "twice"}},
    {TRACING("\"attributes\": {\"a\": \"1\", \"a\": \"2\"}"), {"tracing.attributes.a:", "twice"}},
    /* types */
    {TRACING("\"enabled\": \"true\""), {"tracing.enabled: a string where true or false"}},
    {TRACING("\"enabled\": 1"), {"tracing.enabled: a number where true or false"}},
    {TRACING("\"exporter_endpoint\": 4317"), {"tracing.exporter_endpoint: a number where a string"}},
    {TRACING("\"skip_verify\": \"yes\""), {"tracing.skip_verify: a string"}},
    {TRACING("\"attributes\": [\"a\"]"), {"tracing.attributes: an array where an object of strings"}},
    {TRACING("\"attributes\": {\"a\": 1}"), {"tracing.attributes.a: a number where a string"}},
    {TRACING("\"attributes\": {\"\": \"1\"}"), {"tracing.attributes.: the name of an attribute"}},
    {TRACING("\"exporter_auth\": true"), {"tracing.exporter_auth: true where an object"}},
    {AISTRACED("\"max_batch_spans\": \"10\""), {"aistraced.max_batch_spans: a string where a whole number"}},
    {AISTRACED("\"max_batch_spans\": 10.5"), {"aistraced.max_batch_spans: a number where a whole number"}},
    {AISTRACED("\"flush_interval\": 200"), {"aistraced.flush_interval: a number where", "a unit", "\"200ms\""}},
    {AISTRACED("\"max_batch_bytes\": 1048576"), {"aistraced.max_batch_bytes: a number where", "KiB"}},
    {AISTRACED("\"ring_dir\": false"), {"aistraced.ring_dir: false where a string"}},
    /* values */
    {AISTRACED("\"ring_dir\": \"\""), {"aistraced.ring_dir: must not be empty"}},
    {AISTRACED("\"flush_interval\": \"200\""), {"aistraced.flush_interval: \"200\" is not", "unit"}},
    {AISTRACED("\"flush_interval\": \"1.5s\""), {"aistraced.flush_interval: \"1.5s\" is not"}},
    {AISTRACED("\"flush_interval\": \"-1s\""), {"aistraced.flush_interval: \"-1s\" is not"}},
    {AISTRACED("\"flush_interval\": \"0s\""), {"aistraced.flush_interval: 0s is out of range: from 1ms to 1m"}},
    {AISTRACED("\"timeout\": \"99999999999999999999s\""), {"aistraced.timeout:", "out of range"}},
    {AISTRACED("\"max_batch_bytes\": \"5MiB\""),
     {"aistraced.max_batch_bytes: 5MiB is out of range: from 1KiB to 4MiB"}},
    {AISTRACED("\"max_batch_bytes\": \"1MB\""), {"aistraced.max_batch_bytes: \"1MB\" is not", "MiB"}},
    {AISTRACED("\"max_batch_spans\": 0"), {"aistraced.max_batch_spans: 0 is out of range: from 1 to 65536"}},
    {AISTRACED("\"max_batch_spans\": -1"), {"aistraced.max_batch_spans: -1 is out of range"}},
    {AISTRACED("\"max_in_flight\": 100000"), {"aistraced.max_in_flight: 100000 is out of range"}},
    {AISTRACED("\"retry\": {\"initial\": \"1m\", \"max\": \"1s\"}"), {"aistraced.retry.initial: longer than"}},
    {AISTRACED("\"log\": {\"level\": \"trace\"}"), {"aistraced.log.level: \"trace\"", "error, warn, info, debug"}},
    {AISTRACED("\"log\": {\"format\": \"xml\"}"), {"aistraced.log.format: \"xml\"", "text, json"}},
    {AISTRACED("\"keepalive\": \"9s\""), {"aistraced.keepalive: 9s is out of range: from 10s to 1h, or 0s for off"}},
    {AISTRACED("\"max_connection_age\": \"1ms\""), {"aistraced.max_connection_age: 1ms is out of range: from 1s"}},
    {AISTRACED("\"metrics_listen\": \"localhost\""), {"aistraced.metrics_listen: the port is missing"}},
    {AISTRACED("\"metrics_listen\": \"::1:9464\""), {"aistraced.metrics_listen:", "brackets"}},
    {AISTRACED("\"metrics_listen\": \"localhost:99999\""), {"aistraced.metrics_listen: the port"}},
    {TRACING("\"sampler_probability\": \"half\""), {"tracing.sampler_probability: \"half\" is not a number"}},
    {TRACING("\"sampler_probability\": \"\""), {"tracing.sampler_probability: \"\" is not a number"}},
    {TRACING("\"sampler_probability\": \"0.5 \""), {"tracing.sampler_probability: \"0.5 \" is not a number"}},
    {TRACING("\"sampler_probability\": \"nan\""), {"is not a number"}},
    {TRACING("\"sampler_probability\": \"1.5\""), {"tracing.sampler_probability: 1.5 is out of range"}},
    {TRACING("\"sampler_probability\": -0.1"), {"tracing.sampler_probability:", "out of range"}},
    {TRACING("\"sampler_probability\": true"), {"tracing.sampler_probability: true where a share"}},
    {TRACING("\"sampler_probability\": \"0.5\", \"sampler_probablity\": \"0.25\""),
     {"tracing.sampler_prob", "both spellings", "different values"}},
    {TRACING("\"sampler_probablity\": 2"), {"tracing.sampler_probablity: 2 is out of range"}},
    /* not yet */
    {AISTRACED("\"compression\": \"gzip\""),
     {"aistraced.compression: gzip: it is not in this version yet; use \"none\""}},
    {AISTRACED("\"compression\": \"zstd\""), {"aistraced.compression: \"zstd\" is not one of: none, gzip"}},
    {AISTRACED("\"ca_file\": \"/ca.pem\""), {"aistraced.ca_file:", "TLS is not in this version"}},
    {AISTRACED("\"cert_file\": \"/c.pem\""), {"aistraced.cert_file:", "not in this version"}},
    {AISTRACED("\"key_file\": \"/k.pem\""), {"aistraced.key_file:", "not in this version"}},
    {AISTRACED("\"key_file\": 3"), {"aistraced.key_file: a number where a string"}},
    {AISTRACED("\"spool\": {\"max_bytes\": \"64MiB\"}"),
     {"aistraced.spool.max_bytes: 64MiB: the spool is not in this"}},
    {AISTRACED("\"spool\": {\"dir\": \"/var/spool\"}"), {"aistraced.spool.dir:", "the spool is not in this version"}},
    {AISTRACED("\"spool\": {\"max_bytes\": 5}"), {"aistraced.spool.max_bytes: a number where"}},
    /* the endpoint */
    {TRACING("\"enabled\": true"), {"tracing.exporter_endpoint: tracing is enabled and has no endpoint"}},
    {ENABLED("\"exporter_endpoint\": \"https://c:4317\""), {"exporter_endpoint: https:// means TLS", "http://"}},
    {ENABLED("\"exporter_endpoint\": \"c:4317\""), {"HOST:PORT means TLS", "http://c:4317", "skip_verify: true"}},
    {ENABLED("\"exporter_endpoint\": \"ftp://c:4317\""), {"the scheme is http://"}},
    {ENABLED("\"exporter_endpoint\": \"unix:/run/x\""), {"unix: sockets are not in this version"}},
    {ENABLED("\"exporter_endpoint\": \"http://c:0\""), {"the port is a number from 1"}},
    {ENABLED("\"exporter_endpoint\": \"http://c:port\""), {"the port is a number"}},
    {ENABLED("\"exporter_endpoint\": \"http://:4317\""), {"the host is missing"}},
    {ENABLED("\"exporter_endpoint\": \"http://::1:4317\""), {"in brackets"}},
    {ENABLED("\"exporter_endpoint\": \"http://[::1:4317\""), {"the bracket is not closed"}},
    {ENABLED("\"exporter_endpoint\": \"http://[::zz]:4317\""), {"not an IPv6 address"}},
    {ENABLED("\"exporter_endpoint\": \"http://c:4317/v1/traces\""), {"gRPC has no path"}},
    {ENABLED("\"exporter_endpoint\": \"http://me:pass@c:4317\""), {"user and password do not belong here"}},
    {ENABLED("\"exporter_endpoint\": \"http://c d:4317\""), {"a host is a name"}},
    /* the token */
    {ENABLED(HTTP ", \"exporter_auth\": {\"token_header\": \"x-token\"}"),
     {"tracing.exporter_auth.token_file: token_header is set and token_file is not"}},
    {ENABLED(HTTP ", \"exporter_auth\": {\"token_file\": \"/t\"}"),
     {"tracing.exporter_auth.token_header: token_file is set and token_header is not"}},
    {ENABLED(HTTP ", \"exporter_auth\": {\"token_file\": \"/t\", \"token_header\": \"a b\"}"),
     {"a header name is made of"}},
    {ENABLED(HTTP ", \"exporter_auth\": {\"token_file\": \"/t\", \"token_header\": \"grpc-timeout\"}"),
     {"belongs to gRPC"}},
    {ENABLED("\"exporter_endpoint\": \"c:4317\", \"skip_verify\": true, \"exporter_auth\": {\"token_file\": \"/t\", "
             "\"token_header\": \"authorization\"}"),
     {"skip_verify would send the token", "loopback"}},
};

START_TEST(broken_configuration_is_refused_in_clear_words)
{
    const char *words = refused(broken[_i].text, no_flags);
    for (unsigned i = 0; i < 4 && broken[_i].parts[i]; i++)
        ck_assert_msg(strstr(words, broken[_i].parts[i]) != NULL, "%s\ndoes not say \"%s\":\n%s", broken[_i].text,
                      broken[_i].parts[i], words);
    ck_assert_msg(strchr(words, '\n') == words + strlen(words) - 1, "more than one line:\n%s", words);
    ck_assert_ptr_null(strstr(words, "pass@"));
}
END_TEST

START_TEST(all_errors_come_at_once)
{
    const char *words = refused("{\"tracing\": {\"enabled\": 1,\n\"skip_verify\": 2},\n\"aistraced\": {\"a\": 3, "
                                "\"timeout\": \"x\", \"log\": {\"level\": \"y\"}}}",
                                no_flags);
    unsigned lines = 0;
    for (const char *p = words; (p = strchr(p, '\n')); p++)
        lines++;
    ck_assert_uint_eq(lines, 5);
    ck_assert_ptr_nonnull(strstr(words, ":1: tracing.enabled"));
    ck_assert_ptr_nonnull(strstr(words, ":2: tracing.skip_verify"));
    ck_assert_ptr_nonnull(strstr(words, ":3: aistraced.timeout"));
}
END_TEST

START_TEST(errors_are_bounded_and_free_of_control_characters)
{
    struct buf text = {.data = NULL};
    buf_printf(&text, "{\"tracing\": {\"\\u001b[31m\": 1");
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, ", \"k%d\": %d", i, i);
    buf_append(&text, "}}", 3);
    const char *words = refused((const char *)text.data, no_flags);
    ck_assert_uint_lt(strlen(words), 50 * 600);
    ck_assert_ptr_null(strchr(words, '\x1b'));
    buf_done(&text);
}
END_TEST

START_TEST(a_file_that_is_too_large_is_refused)
{
    struct config *config = NULL;
    size_t bytes = CONFIG_FILE_BYTES_MAX + 1;
    char *text = malloc(bytes);
    memset(text, ' ', bytes);
    memcpy(text, "{}", 2);
    struct config_flags flags = {.file = file_of(text, bytes)};
    ck_assert_int_eq(config_load(&flags, &config, &errors), -EINVAL);
    ck_assert_ptr_nonnull(memmem(errors.data, errors.len, "larger than 1 MiB", 17));
    flags.file = file_of(text, bytes - 1);
    ck_assert_int_eq(config_load(&flags, &config, &errors), 0);
    config_free(config);
    free(text);
}
END_TEST

START_TEST(a_missing_file_is_named)
{
    ck_assert_ptr_nonnull(strstr(refused(NULL, (struct config_flags){.file = "/nowhere/a.json"}),
                                 "/nowhere/a.json: cannot be read: No such"));
    ck_assert_ptr_nonnull(strstr(refused(NULL, (struct config_flags){.file = "/"}), "cannot be read"));
}
END_TEST

/* ---- what is accepted ---- */

static const char *const sound[] = {
    "{}",
    "{\"tracing\": {}, \"aistraced\": {}}",
    "{\"client\": {\"x\": 1, \"x\": 2}, \"anything\": [1, {\"tracing\": 5, \"tracing\": 6}]}",
    ENABLED(HTTP),
    ENABLED("\"exporter_endpoint\": \"http://[::1]\""),
    ENABLED("\"exporter_endpoint\": \"HTTP://c.example.com:4317/\""),
    ENABLED("\"exporter_endpoint\": \"c:4317\", \"skip_verify\": true"),
    TRACING("\"exporter_endpoint\": \"https://c:4317\""),
    TRACING("\"exporter_endpoint\": \"\", \"exporter_auth\": {\"token_header\": \"\", \"token_file\": \"\"}"),
    TRACING("\"exporter_auth\": {\"token_header\": \"x-token\"}"),
    TRACING("\"sampler_probability\": \"0.5\", \"sampler_probablity\": 0.5"),
    TRACING("\"sampler_probablity\": \"1e-3\""),
    TRACING("\"sampler_probability\": 0"),
    AISTRACED("\"compression\": \"none\", \"ca_file\": \"\", \"spool\": {\"dir\": \"\", \"max_bytes\": 0}"),
    AISTRACED("\"spool\": {\"max_bytes\": \"0\"}, \"metrics_listen\": \"\", \"drain_deadline\": \"0s\""),
    AISTRACED("\"spool\": {\"max_bytes\": \"0MiB\"}, \"metrics_listen\": \"[::]:0\""),
    AISTRACED("\"metrics_listen\": \":9464\", \"max_batch_bytes\": \"4MiB\", \"flush_interval\": \"1m\""),
};

START_TEST(sound_configuration_is_accepted)
{
    config_free(loaded(sound[_i], no_flags));
}
END_TEST

START_TEST(defaults_are_those_of_the_table)
{
    struct config *c = loaded(NULL, no_flags);
    ck_assert(!c->enabled && !c->skip_verify && c->transport == CONFIG_PLAINTEXT);
    ck_assert_ptr_null(c->host);
    ck_assert_ptr_null(c->token_header);
    ck_assert_ptr_null(c->token_file);
    ck_assert_str_eq(c->service_prefix, "aistore");
    ck_assert_double_eq(c->probability, 1);
    ck_assert_uint_eq(c->attribute_count, 0);
    ck_assert_str_eq(c->ring_dir, "/dev/shm/aistrace");
    ck_assert_uint_eq(c->flush_interval_ms, 1000);
    ck_assert_uint_eq(c->max_batch_spans, 2048);
    ck_assert_uint_eq(c->max_batch_bytes, 1 << 20);
    ck_assert_uint_eq(c->max_in_flight, 8);
    ck_assert_uint_eq(c->timeout_ms, 10000);
    ck_assert_uint_eq(c->retry_initial_ms, 1000);
    ck_assert_uint_eq(c->retry_max_ms, 30000);
    ck_assert_uint_eq(c->drain_deadline_ms, 10000);
    ck_assert_str_eq(c->metrics_listen, "127.0.0.1:9464");
    ck_assert_int_eq(c->log_level, LOG_INFO);
    ck_assert_int_eq(c->log_format, LOG_TEXT);
    config_free(c);
    config_free(NULL);
}
END_TEST

START_TEST(aistore_sample_reaches_a_plaintext_collector)
{
    struct config *c = loaded("{\"tracing\": {\"enabled\": true, \"exporter_endpoint\": \"localhost:4317\", "
                              "\"skip_verify\": true,\n\"service_name_prefix\": \"aistore\", "
                              "\"sampler_probability\": \"1.0\"}}",
                              no_flags);
    ck_assert(c->enabled && c->transport == CONFIG_TLS_OR_PLAINTEXT);
    ck_assert_str_eq(c->host, "localhost");
    ck_assert_str_eq(c->port, "4317");
    ck_assert_double_eq(c->probability, 1);
    config_free(c);
}
END_TEST

START_TEST(every_key_arrives_in_its_field)
{
    struct config *c = loaded(
        "{\"tracing\": {\"enabled\": true, \"exporter_endpoint\": \"http://[2001:db8::1]:55\", \"skip_verify\": true,"
        "\"service_name_prefix\": \"ours-\", \"sampler_probability\": 0.25,"
        "\"attributes\": {\"site\": \"b\u00e4r\", \"a.b\": \"c\"},"
        "\"exporter_auth\": {\"token_header\": \"X-Token\", \"token_file\": \"/etc/token\"}},"
        "\"aistraced\": {\"ring_dir\": \"/r\", \"flush_interval\": \"5ms\", \"max_batch_spans\": 7,"
        "\"max_batch_bytes\": \"64KiB\", \"max_in_flight\": 3, \"timeout\": \"4s\","
        "\"retry\": {\"initial\": \"6s\", \"max\": \"2m\"}, \"drain_deadline\": \"3s\","
        "\"metrics_listen\": \"[::1]:1\", \"log\": {\"level\": \"debug\", \"format\": \"json\"}}}",
        no_flags);
    ck_assert(c->enabled && c->skip_verify && c->transport == CONFIG_PLAINTEXT && c->token_in_clear);
    ck_assert_str_eq(c->host, "2001:db8::1");
    ck_assert_str_eq(c->port, "55");
    ck_assert_str_eq(c->service_prefix, "ours");
    ck_assert_double_eq(c->probability, 0.25);
    ck_assert_uint_eq(c->attribute_count, 2);
    ck_assert_str_eq(c->attributes[0].key, "site");
    ck_assert_str_eq(c->attributes[0].value, "b\u00e4r");
    ck_assert_str_eq(c->token_header, "x-token");
    ck_assert_str_eq(c->token_file, "/etc/token");
    ck_assert_str_eq(c->ring_dir, "/r");
    ck_assert_uint_eq(c->flush_interval_ms, 5);
    ck_assert_uint_eq(c->max_batch_spans, 7);
    ck_assert_uint_eq(c->max_batch_bytes, 65536);
    ck_assert_uint_eq(c->max_in_flight, 3);
    ck_assert_uint_eq(c->timeout_ms, 4000);
    ck_assert_uint_eq(c->retry_initial_ms, 6000);
    ck_assert_uint_eq(c->retry_max_ms, 120000);
    ck_assert_uint_eq(c->drain_deadline_ms, 3000);
    ck_assert_str_eq(c->metrics_listen, "[::1]:1");
    ck_assert_int_eq(c->log_level, LOG_DEBUG);
    ck_assert_int_eq(c->log_format, LOG_JSON);
    config_free(c);
}
END_TEST

START_TEST(an_empty_prefix_is_the_default)
{
    struct config *c = loaded(TRACING("\"service_name_prefix\": \"\""), no_flags);
    ck_assert_str_eq(c->service_prefix, "aistore");
    config_free(c);
}
END_TEST

START_TEST(a_disabled_section_may_have_an_endpoint_of_later)
{
    struct config *c = loaded(TRACING("\"exporter_endpoint\": \"nonsense:x:y\""), no_flags);
    ck_assert(!c->enabled);
    ck_assert_ptr_null(c->host);
    config_free(c);
}
END_TEST

START_TEST(a_token_may_go_to_loopback_in_the_clear)
{
    struct config *c = loaded(ENABLED("\"exporter_endpoint\": \"127.0.0.1:4317\", \"skip_verify\": true, "
                                      "\"exporter_auth\": {\"token_file\": \"/t\", \"token_header\": \"x\"}"),
                              no_flags);
    ck_assert(c->transport == CONFIG_TLS_OR_PLAINTEXT && !c->token_in_clear);
    config_free(c);
}
END_TEST

/* ---- environment, flags, precedence ---- */

START_TEST(the_endpoint_flag_alone_is_enough)
{
    struct config *c = loaded(NULL, (struct config_flags){.endpoint = "localhost:4317"});
    ck_assert(c->enabled && c->transport == CONFIG_TLS_OR_PLAINTEXT);
    ck_assert_str_eq(c->host, "localhost");
    config_free(c);
    c = loaded(NULL, (struct config_flags){.endpoint = "http://far:4317"});
    ck_assert(c->enabled && c->transport == CONFIG_PLAINTEXT);
    config_free(c);
    const char *words = refused(NULL, (struct config_flags){.endpoint = "far:4317"});
    ck_assert_ptr_nonnull(strstr(words, "--endpoint: tracing.exporter_endpoint: HOST:PORT means TLS"));
    words = refused(TRACING("\"skip_verify\": false"), (struct config_flags){.endpoint = "localhost:4317"});
    ck_assert_ptr_nonnull(strstr(words, "means TLS"));
}
END_TEST

START_TEST(the_playground_environment_turns_tracing_on)
{
    setenv("AIS_TRACING_ENDPOINT", "far:1", 1);
    setenv("AIS_TRACING_AUTH_TOKEN_HEADER", "", 1);
    setenv("AIS_TRACING_SERVICE_PREFIX", "mine", 1);
    setenv("AIS_TRACING_SAMPLING_PROBABILITY", "0.5", 1);
    setenv("AIS_TRACING_RING_DIR", "/mine", 1);
    struct config *c = loaded(TRACING("\"enabled\": false, \"service_name_prefix\": \"file\""), no_flags);
    ck_assert(c->enabled && c->skip_verify && c->transport == CONFIG_TLS_OR_PLAINTEXT);
    ck_assert_str_eq(c->host, "far");
    ck_assert_str_eq(c->service_prefix, "mine");
    ck_assert_double_eq(c->probability, 0.5);
    ck_assert_str_eq(c->ring_dir, "/mine");
    config_free(c);
    setenv("AIS_TRACING_SAMPLING_PROBABILITY", "5", 1);
    ck_assert_ptr_nonnull(strstr(refused(NULL, no_flags), "environment AIS_TRACING_SAMPLING_PROBABILITY: "));
}
END_TEST

START_TEST(environment_token_is_checked_like_the_files)
{
    setenv("AIS_TRACING_ENDPOINT", "localhost:1", 1);
    setenv("AIS_TRACING_AUTH_TOKEN_HEADER", "X-A", 1);
    ck_assert_ptr_nonnull(strstr(refused(NULL, no_flags), "token_file is not"));
    setenv("AIS_TRACING_AUTH_TOKEN_FILE", "/t", 1);
    struct config *c = loaded(NULL, no_flags);
    ck_assert_str_eq(c->token_header, "x-a");
    ck_assert_str_eq(c->token_file, "/t");
    config_free(c);
}
END_TEST

START_TEST(precedence_is_flag_ais_otel_file_default)
{
    static const char file[] = ENABLED("\"exporter_endpoint\": \"http://file:1\"");
    struct config *c = loaded(file, no_flags);
    ck_assert_str_eq(c->host, "file");
    config_free(c);
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:1", 1);
    c = loaded(file, no_flags);
    ck_assert_str_eq(c->host, "otel");
    config_free(c);
    setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://otel-traces:1", 1);
    c = loaded(file, no_flags);
    ck_assert_str_eq(c->host, "otel-traces");
    config_free(c);
    setenv("AIS_TRACING_ENDPOINT", "http://ais:1", 1);
    c = loaded(file, no_flags);
    ck_assert_str_eq(c->host, "ais");
    config_free(c);
    c = loaded(file, (struct config_flags){.endpoint = "http://flag:1", .ring_dir = "/flag", .metrics_listen = ""});
    ck_assert_str_eq(c->host, "flag");
    ck_assert_str_eq(c->ring_dir, "/flag");
    ck_assert_str_eq(c->metrics_listen, "");
    config_free(c);
}
END_TEST

START_TEST(otel_environment_is_heeded)
{
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "far:1", 1);
    setenv("OTEL_EXPORTER_OTLP_INSECURE", "true", 1);
    setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2500", 1);
    setenv("OTEL_RESOURCE_ATTRIBUTES", "a=1, b = x%20y%2C ,site=env", 1);
    struct config *c = loaded(TRACING("\"attributes\": {\"site\": \"file\"}"), no_flags);
    ck_assert(c->enabled && c->transport == CONFIG_PLAINTEXT);
    ck_assert_uint_eq(c->timeout_ms, 2500);
    ck_assert_uint_eq(c->attribute_count, 3);
    ck_assert_str_eq(c->attributes[0].value, "file");
    ck_assert_str_eq(c->attributes[1].key, "a");
    ck_assert_str_eq(c->attributes[2].key, "b");
    ck_assert_str_eq(c->attributes[2].value, "x y,");
    config_free(c);
    c = loaded(TRACING("\"enabled\": false"), no_flags);
    ck_assert(!c->enabled);
    config_free(c);
    static const char *const bad[][2] = {{"OTEL_RESOURCE_ATTRIBUTES", "a"},
                                         {"OTEL_RESOURCE_ATTRIBUTES", "a=%zz"},
                                         {"OTEL_RESOURCE_ATTRIBUTES", "=1"},
                                         {"OTEL_EXPORTER_OTLP_TRACES_INSECURE", "yes"},
                                         {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "soon"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        setenv(bad[i][0], bad[i][1], 1);
        ck_assert_ptr_nonnull(strstr(refused(NULL, no_flags), bad[i][0]));
        unsetenv(bad[i][0]);
    }
}
END_TEST

START_TEST(print_says_where_each_value_came_from)
{
    struct buf out = {.data = NULL};
    setenv("AIS_TRACING_SERVICE_PREFIX", "mine", 1);
    setenv("OTEL_RESOURCE_ATTRIBUTES", "a=env", 1);
    struct config *c = loaded(TRACING("\"attributes\": {\"a\": \"q\\\"\"}, \"sampler_probability\": \"0.1\""),
                              (struct config_flags){.endpoint = "http://h:1"});
    ck_assert_int_eq(config_print(c, &out), 0);
    ck_assert_int_eq(buf_append(&out, "", 1), 0);
    static const char *const lines[] = {
        "tracing.enabled = true  (flag --endpoint)\n",
        "tracing.exporter_endpoint = \"http://h:1\"  (flag --endpoint)\n",
        "tracing.service_name_prefix = \"mine\"  (env AIS_TRACING_SERVICE_PREFIX)\n",
        "tracing.attributes = {\"a\": \"q\\\"\"}  (file)\n",
        "tracing.sampler_probability = \"0.1\"  (file)\n",
        "tracing.exporter_auth.token_file = \"\"  (default)\n",
        "aistraced.flush_interval = \"1s\"  (default)\n",
        "aistraced.max_batch_bytes = \"1MiB\"  (default)\n",
        "aistraced.max_batch_spans = 2048  (default)\n",
        "aistraced.compression = \"none\"  (default)\n",
        "aistraced.spool.max_bytes = \"0B\"  (default)\n",
        "aistraced.log.level = \"info\"  (default)\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        ck_assert_msg(strstr((char *)out.data, lines[i]) != NULL, "%s not in\n%s", lines[i], (char *)out.data);
    config_free(c);
    buf_done(&out);
}
END_TEST

START_TEST(the_reference_file_has_every_key_at_its_default)
{
    struct buf with = {.data = NULL}, without = {.data = NULL};
    struct config *c = loaded(NULL, (struct config_flags){.file = "conf/aistraced.json"});
    struct config *d = loaded(NULL, no_flags);
    ck_assert_int_eq(config_print(c, &with), 0);
    ck_assert_int_eq(config_print(d, &without), 0);
    ck_assert_int_eq(buf_append(&with, "", 1) | buf_append(&without, "", 1), 0);
    ck_assert_ptr_null(strstr((char *)with.data, "(default)"));
    char *save_a, *save_b;
    char *a = strtok_r((char *)with.data, "\n", &save_a), *b = strtok_r((char *)without.data, "\n", &save_b);
    for (; a && b; a = strtok_r(NULL, "\n", &save_a), b = strtok_r(NULL, "\n", &save_b)) {
        *strstr(a, "  (file)") = '\0';
        *strstr(b, "  (default)") = '\0';
        ck_assert_str_eq(a, b);
    }
    ck_assert(!a && !b);
    config_free(c);
    config_free(d);
    buf_done(&with);
    buf_done(&without);
}
END_TEST

/* ---- values ---- */

START_TEST(durations_and_sizes_print_as_they_are_read)
{
    static const char *const durations[] = {"0ms", "1ms", "1500ms", "1s", "59s", "5m", "2h"};
    static const char *const sizes[] = {"0B", "1B", "1025B", "1KiB", "64MiB", "3GiB"};
    uint64_t value;
    char text[CONFIG_VALUE_TEXT];
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        ck_assert_int_eq(config_parse_duration_ms(durations[i], &value), 0);
        config_format_duration_ms(value, text);
        ck_assert_str_eq(text, durations[i]);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        ck_assert_int_eq(config_parse_size_bytes(sizes[i], &value), 0);
        config_format_size_bytes(value, text);
        ck_assert_str_eq(text, sizes[i]);
    }
    ck_assert_int_eq(config_parse_size_bytes("18446744073709551615GiB", &value), -ERANGE);
    ck_assert_int_eq(config_parse_size_bytes("18446744073709551616B", &value), -ERANGE);
    ck_assert_int_eq(config_parse_duration_ms("", &value), -EINVAL);
    ck_assert_int_eq(config_parse_duration_ms("1", &value), -EINVAL);
    ck_assert_int_eq(config_parse_duration_ms("s", &value), -EINVAL);
    ck_assert_int_eq(config_parse_duration_ms("1 s", &value), -EINVAL);
}
END_TEST

START_TEST(loopback_is_recognised)
{
    static const char *const yes[] = {"localhost", "LOCALHOST", "a.localhost",     "127.0.0.1",
                                      "127.9.9.9", "::1",       "::ffff:127.0.0.1"};
    static const char *const no[] = {"localhost.example.com", "10.0.0.1", "::",         "::2",
                                     "127.example.com",       "",         "xlocalhost", ".localhost"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        ck_assert_msg(config_is_loopback(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        ck_assert_msg(!config_is_loopback(no[i]), "%s", no[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *tc = tcase_create("config");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, broken_configuration_is_refused_in_clear_words, 0, sizeof(broken) / sizeof(broken[0]));
    tcase_add_test(tc, all_errors_come_at_once);
    tcase_add_test(tc, errors_are_bounded_and_free_of_control_characters);
    tcase_add_test(tc, a_file_that_is_too_large_is_refused);
    tcase_add_test(tc, a_missing_file_is_named);
    tcase_add_loop_test(tc, sound_configuration_is_accepted, 0, sizeof(sound) / sizeof(sound[0]));
    tcase_add_test(tc, defaults_are_those_of_the_table);
    tcase_add_test(tc, aistore_sample_reaches_a_plaintext_collector);
    tcase_add_test(tc, every_key_arrives_in_its_field);
    tcase_add_test(tc, an_empty_prefix_is_the_default);
    tcase_add_test(tc, a_disabled_section_may_have_an_endpoint_of_later);
    tcase_add_test(tc, a_token_may_go_to_loopback_in_the_clear);
    tcase_add_test(tc, the_endpoint_flag_alone_is_enough);
    tcase_add_test(tc, the_playground_environment_turns_tracing_on);
    tcase_add_test(tc, environment_token_is_checked_like_the_files);
    tcase_add_test(tc, precedence_is_flag_ais_otel_file_default);
    tcase_add_test(tc, otel_environment_is_heeded);
    tcase_add_test(tc, print_says_where_each_value_came_from);
    tcase_add_test(tc, the_reference_file_has_every_key_at_its_default);
    tcase_add_test(tc, durations_and_sizes_print_as_they_are_read);
    tcase_add_test(tc, loopback_is_recognised);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
