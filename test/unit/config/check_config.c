/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/config_value.h"
#include "export/uplink_route.h"
#include "support/test.h"

static struct buf errors;
static char path[64];

static void setup(void)
{
    clearenv();
}

FIXTURE(setup, NULL);

/* The text as a file, to be named by its descriptor. */
static const char *file_of(const char *text, size_t bytes)
{
    int fd = memfd_create("config", 0);
    ck_assert_int_eq(write(fd, text, bytes), (ssize_t)bytes);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return path;
}

static int check_files(void *user, struct config *config, struct buf *faults)
{
    (void)user;
    return uplink_route_check(config, faults);
}

static struct config *load_with(const char *text, struct config_flags flags)
{
    struct config *config = NULL;
    buf_done(&errors);
    if (text)
        flags.file = file_of(text, strlen(text));
    int err = config_load(&flags, check_files, NULL, &config, &errors);
    ck_assert_int_eq(buf_append(&errors, "", 1), 0);
    ck_assert_int_eq(err, config ? 0 : -EINVAL);
    ck_assert_msg((config != NULL) == (errors.len == 1), "%s", (char *)errors.data);
    return config;
}

static struct config *loaded(const char *text, struct config_flags flags)
{
    struct config *config = load_with(text, flags);
    ck_assert_msg(config, "%s", (char *)errors.data);
    return config;
}

static const char *refused(const char *text, struct config_flags flags)
{
    ck_assert_ptr_null(load_with(text, flags));
    return (const char *)errors.data;
}

static const struct config_flags no_flags;

/* ---- what is refused; single errors: test/configs/broken ---- */

#define TRACING(members)   "{\"tracing\": {" members "}}"
#define AISTRACED(members) "{\"aistraced\": {" members "}}"
#define ENABLED(members)   TRACING("\"enabled\": true, " members)
#define TOKEN              "test/configs/token"

TEST(all_errors_come_at_once)
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

TEST(errors_are_bounded_and_free_of_control_characters)
{
    struct buf text = {0};
    buf_printf(&text, "{\"tracing\": {\"\\u001b[31m\": 1");
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, ", \"k%d\": %d", i, i);
    buf_append(&text, "}}", 3);
    const char *words = refused((const char *)text.data, no_flags);
    ck_assert_uint_lt(strlen(words), 50 * 600);
    ck_assert_ptr_nonnull(strstr(words, "\nand 19951 more errors\n"));
    ck_assert_ptr_null(strchr(words, '\x1b'));
    buf_done(&text);
}

TEST(a_file_that_is_too_large_is_refused)
{
    struct config *config = NULL;
    size_t bytes = CONFIG_FILE_BYTES_MAX + 1;
    char *text = malloc(bytes);
    memset(text, ' ', bytes);
    memcpy(text, "{}", 2);
    struct config_flags flags = {.file = file_of(text, bytes)};
    ck_assert_int_eq(config_load(&flags, NULL, NULL, &config, &errors), -EINVAL);
    ck_assert_ptr_nonnull(memmem(errors.data, errors.len, "larger than 1 MiB", 17));
    flags.file = file_of(text, bytes - 1);
    ck_assert_int_eq(config_load(&flags, NULL, NULL, &config, &errors), 0);
    config_unref(config);
    free(text);
}

TEST(a_byte_of_0_is_refused)
{
    static const char text[] = "{\"tracing\": {\"a\": 1\0}}";
    struct config *config = NULL;
    buf_done(&errors);
    struct config_flags flags = {.file = file_of(text, sizeof(text) - 1)};
    ck_assert_int_eq(config_load(&flags, NULL, NULL, &config, &errors), -EINVAL);
    ck_assert_ptr_nonnull(memmem(errors.data, errors.len, "a byte of 0", 11));
}

TEST(a_missing_file_is_named)
{
    ck_assert_ptr_nonnull(strstr(refused(NULL, (struct config_flags){.file = "/nowhere/a.json"}),
                                 "/nowhere/a.json: cannot be read: No such"));
    ck_assert_ptr_nonnull(strstr(refused(NULL, (struct config_flags){.file = "/"}), "cannot be read"));
}

/* ---- what is accepted ---- */

TEST(defaults_are_those_of_the_table)
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
    config_unref(c);
    config_unref(NULL);
}

TEST(aistore_sample_reaches_a_plaintext_collector)
{
    struct config *c = loaded("{\"tracing\": {\"enabled\": true, \"exporter_endpoint\": \"localhost:4317\", "
                              "\"skip_verify\": true,\n\"service_name_prefix\": \"aistore\", "
                              "\"sampler_probability\": \"1.0\"}}",
                              no_flags);
    ck_assert(c->enabled && c->transport == CONFIG_TLS_OR_PLAINTEXT);
    ck_assert_str_eq(c->host, "localhost");
    ck_assert_str_eq(c->port, "4317");
    ck_assert_double_eq(c->probability, 1);
    config_unref(c);
}

TEST(every_key_arrives_in_its_field)
{
    struct config *c = loaded(
        "{\"tracing\": {\"enabled\": true, \"exporter_endpoint\": \"http://[2001:db8::1]:55\", \"skip_verify\": true,"
        "\"service_name_prefix\": \"ours-\", \"sampler_probability\": 0.25,"
        "\"attributes\": {\"site\": \"b\u00e4r\", \"a.b\": \"c\"},"
        "\"exporter_auth\": {\"token_header\": \"X-Token\", \"token_file\": \"" TOKEN "\"}},"
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
    ck_assert_str_eq(c->token_file, TOKEN);
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
    config_unref(c);
}

TEST(an_empty_prefix_is_the_default)
{
    struct config *c = loaded(TRACING("\"service_name_prefix\": \"\""), no_flags);
    ck_assert_str_eq(c->service_prefix, "aistore");
    config_unref(c);
}

TEST(a_disabled_section_may_have_an_endpoint_of_later)
{
    struct config *c = loaded(TRACING("\"exporter_endpoint\": \"nonsense:x:y\""), no_flags);
    ck_assert(!c->enabled);
    ck_assert_ptr_null(c->host);
    config_unref(c);
}

TEST(endpoint_and_skip_verify_say_how_to_connect)
{
    static const struct {
        const char *members;
        const char *host;
        enum config_transport transport;
        bool in_clear; /* with a token */
    } table[] = {
        {"\"exporter_endpoint\": \"c:4317\"", "c", CONFIG_TLS, false},
        {"\"exporter_endpoint\": \"c:4317\", \"skip_verify\": true", "c", CONFIG_TLS_OR_PLAINTEXT, false},
        {"\"exporter_endpoint\": \"https://c:4317\"", "c", CONFIG_TLS, false},
        {"\"exporter_endpoint\": \"https://c:4317\", \"skip_verify\": true", "c", CONFIG_TLS, false},
        {"\"exporter_endpoint\": \"http://c:4317\"", "c", CONFIG_PLAINTEXT, true},
        {"\"exporter_endpoint\": \"http://c:4317\", \"skip_verify\": true", "c", CONFIG_PLAINTEXT, true},
        {"\"exporter_endpoint\": \"http://127.0.0.1:4317\"", "127.0.0.1", CONFIG_PLAINTEXT, false},
        {"\"exporter_endpoint\": \"http://[::1]:4317\"", "::1", CONFIG_PLAINTEXT, false},
        {"\"exporter_endpoint\": \"127.0.0.1:4317\", \"skip_verify\": true", "127.0.0.1", CONFIG_TLS_OR_PLAINTEXT,
         false},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 ENABLED("%s, \"exporter_auth\": {\"token_file\": \"" TOKEN "\", \"token_header\": \"x\"}"),
                 table[i].members);
        struct config *c = loaded(text, no_flags);
        ck_assert_str_eq(c->host, table[i].host);
        ck_assert_msg(c->transport == table[i].transport, "%s", text);
        ck_assert_msg(c->token_in_clear == table[i].in_clear, "%s", text);
        config_unref(c);
    }
}

TEST(a_socket_of_the_host_is_its_path)
{
    enum config_scheme scheme;
    struct config_address address;
    const char *problem;
    ck_assert_int_eq(config_parse_endpoint("unix:/run/c.sock", &scheme, &address, &problem), 0);
    ck_assert_int_eq(scheme, CONFIG_SCHEME_UNIX);
    ck_assert_str_eq(address.host, "/run/c.sock");
    ck_assert_str_eq(address.port, "");
    ck_assert_int_eq(config_parse_endpoint("unix:///run/c.sock", &scheme, &address, &problem), 0);
    ck_assert_str_eq(address.host, "/run/c.sock");
    char longest[5 + 108 + 1] = "unix:/";
    memset(longest + 6, 'x', sizeof(longest) - 7);
    ck_assert_int_eq(config_parse_endpoint(longest, &scheme, &address, &problem), -EINVAL);
    longest[sizeof(longest) - 2] = '\0';
    ck_assert_int_eq(config_parse_endpoint(longest, &scheme, &address, &problem), 0);
    static const char *const bad[] = {"unix:", "unix:/", "unix:c.sock", "unix://host/c.sock"};
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_int_eq(config_parse_endpoint(bad[i], &scheme, &address, &problem), -EINVAL);
}

TEST(a_file_that_cannot_be_read_is_refused_only_when_enabled)
{
    static const char text[] =
        ENABLED("\"exporter_endpoint\": \"c:1\"},\n\"aistraced\": {\"ca_file\": \"/nowhere/ca\"");
    ck_assert_ptr_nonnull(strstr(refused(text, no_flags), ":2: aistraced.ca_file: /nowhere/ca: No such file"));
    config_unref(loaded(AISTRACED("\"ca_file\": \"/nowhere/ca\""), no_flags));
    setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/env", 1);
    ck_assert_ptr_nonnull(
        strstr(refused(text, no_flags),
               "environment OTEL_EXPORTER_OTLP_CERTIFICATE: aistraced.ca_file: /nowhere/env: No such file"));
}

TEST(all_files_that_cannot_be_used_are_named_at_once)
{
    static const char *const lines[] = {
        ":3: aistraced.timeout: ",
        ":2: tracing.exporter_auth.token_file: /nowhere/token: No such file",
        ":4: aistraced.ca_file: /: it is not a plain file; name a file",
        ":5: aistraced.cert_file: " TOKEN ": not a usable chain",
        ":6: aistraced.key_file: " TOKEN ": not a private key",
    };
    const char *told =
        refused(ENABLED("\"exporter_endpoint\": \"c:1\",\n\"exporter_auth\": {\"token_header\": \"x\", "
                        "\"token_file\": \"/nowhere/token\"}},\n\"aistraced\": {\"timeout\": \"1\",\n"
                        "\"ca_file\": \"/\",\n\"cert_file\": \"" TOKEN "\",\n\"key_file\": \"" TOKEN "\""),
                no_flags);
    for (size_t i = 0; i < COUNT(lines); i++)
        ck_assert_msg(strstr(told, lines[i]), "%s not in\n%s", lines[i], told);
}

TEST(a_path_with_a_line_end_is_an_error_like_any_other)
{
    ck_assert_ptr_nonnull(strstr(refused(ENABLED("\"exporter_endpoint\": \"c:1\"},\n\"aistraced\": "
                                                 "{\"ca_file\": \"/nowhere\\nca\\nx\""),
                                         no_flags),
                                 ":2: aistraced.ca_file: /nowhere\n"));
}

/* ---- environment, flags, precedence ---- */

TEST(the_endpoint_flag_alone_is_enough)
{
    struct config *c = loaded(NULL, (struct config_flags){.endpoint = "localhost:4317"});
    ck_assert(c->enabled && c->transport == CONFIG_TLS_OR_PLAINTEXT);
    ck_assert_str_eq(c->host, "localhost");
    config_unref(c);
    c = loaded(NULL, (struct config_flags){.endpoint = "http://far:4317"});
    ck_assert(c->enabled && c->transport == CONFIG_PLAINTEXT);
    config_unref(c);
    static const char kept[] = TRACING("\"skip_verify\": false");
    static const struct {
        const char *file;
        const char *endpoint;
    } verified[] = {{NULL, "far:4317"}, {kept, "localhost:4317"}, {NULL, "https://localhost:4317"}};
    for (size_t i = 0; i < COUNT(verified); i++) {
        c = loaded(verified[i].file, (struct config_flags){.endpoint = verified[i].endpoint});
        ck_assert(c->enabled && c->transport == CONFIG_TLS && !c->skip_verify);
        config_unref(c);
    }
    ck_assert_ptr_nonnull(strstr(refused(NULL, (struct config_flags){.endpoint = "far:x"}),
                                 "--endpoint: tracing.exporter_endpoint: the port"));
}

TEST(the_playground_environment_turns_tracing_on)
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
    config_unref(c);
    setenv("AIS_TRACING_SAMPLING_PROBABILITY", "5", 1);
    ck_assert_ptr_nonnull(strstr(refused(NULL, no_flags), "environment AIS_TRACING_SAMPLING_PROBABILITY: "));
}

TEST(environment_token_is_checked_like_the_files)
{
    setenv("AIS_TRACING_ENDPOINT", "localhost:1", 1);
    setenv("AIS_TRACING_AUTH_TOKEN_HEADER", "X-A", 1);
    ck_assert_ptr_nonnull(strstr(refused(NULL, no_flags), "token_file is not"));
    setenv("AIS_TRACING_AUTH_TOKEN_FILE", TOKEN, 1);
    struct config *c = loaded(NULL, no_flags);
    ck_assert_str_eq(c->token_header, "x-a");
    ck_assert_str_eq(c->token_file, TOKEN);
    config_unref(c);
}

TEST(precedence_is_flag_ais_otel_file_default)
{
    static const char file[] = ENABLED("\"exporter_endpoint\": \"http://file:1\"");
    struct config *c = loaded(file, no_flags);
    ck_assert_str_eq(c->host, "file");
    config_unref(c);
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:1", 1);
    c = loaded(file, no_flags);
    ck_assert_str_eq(c->host, "otel");
    config_unref(c);
    setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://otel-traces:1", 1);
    c = loaded(file, no_flags);
    ck_assert_str_eq(c->host, "otel-traces");
    config_unref(c);
    setenv("AIS_TRACING_ENDPOINT", "http://ais:1", 1);
    c = loaded(file, no_flags);
    ck_assert_str_eq(c->host, "ais");
    config_unref(c);
    c = loaded(file, (struct config_flags){.endpoint = "http://flag:1", .ring_dir = "/flag", .metrics_listen = ""});
    ck_assert_str_eq(c->host, "flag");
    ck_assert_str_eq(c->ring_dir, "/flag");
    ck_assert_str_eq(c->metrics_listen, "");
    config_unref(c);
}

TEST(print_says_where_each_value_came_from)
{
    struct buf out = {0};
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
        "aistraced.spool.max_bytes = \"1GiB\"  (default)\n",
        "aistraced.spool.sync = \"always\"  (default)\n",
        "aistraced.log.level = \"info\"  (default)\n",
    };
    for (size_t i = 0; i < COUNT(lines); i++)
        ck_assert_msg(strstr((char *)out.data, lines[i]), "%s not in\n%s", lines[i], (char *)out.data);
    config_unref(c);
    buf_done(&out);
}

/* ---- values ---- */

TEST(durations_and_sizes_print_as_they_are_read)
{
    static const char *const durations[] = {"0ms", "1ms", "1500ms", "1s", "59s", "5m", "2h"};
    static const char *const sizes[] = {"0B", "1B", "1025B", "1KiB", "64MiB", "3GiB"};
    uint64_t value;
    char text[CONFIG_VALUE_TEXT];
    for (size_t i = 0; i < COUNT(durations); i++) {
        ck_assert_int_eq(config_parse_duration_ms(durations[i], &value), 0);
        config_format_duration_ms(value, text);
        ck_assert_str_eq(text, durations[i]);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
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

TEST(loopback_is_recognised)
{
    static const char *const yes[] = {"localhost", "LOCALHOST", "a.localhost",     "127.0.0.1",
                                      "127.9.9.9", "::1",       "::ffff:127.0.0.1"};
    static const char *const no[] = {"localhost.example.com", "10.0.0.1", "::",         "::2",
                                     "127.example.com",       "",         "xlocalhost", ".localhost"};
    for (size_t i = 0; i < COUNT(yes); i++)
        ck_assert_msg(config_is_loopback(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < COUNT(no); i++)
        ck_assert_msg(!config_is_loopback(no[i]), "%s", no[i]);
}
