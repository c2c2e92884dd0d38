/* SPDX-License-Identifier: MIT
 *
 * OpenTelemetry's environment: endpoint, TLS, headers, resource; the traces form wins, and the file's resource wins.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/config.h"
#include "support/test.h"

#define TOKEN "test/configs/token"

static struct buf errors;

static void setup(void)
{
    clearenv();
}

FIXTURE(setup, NULL);

/* file: its text, or NULL */
static struct config *load(const char *file)
{
    struct config *config = NULL;
    struct config_flags flags = {0};
    char path[64];
    buf_done(&errors);
    if (file) {
        int fd = memfd_create("config", 0);
        ck_assert_int_eq(write(fd, file, strlen(file)), (ssize_t)strlen(file));
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        flags.file = path;
    }
    ck_assert_int_eq(config_load(&flags, NULL, NULL, &config, &errors), config ? 0 : -EINVAL);
    ck_assert_int_eq(buf_append(&errors, "", 1), 0);
    return config;
}

static struct config *loaded(const char *file)
{
    struct config *config = load(file);
    ck_assert_msg(config, "%s", (char *)errors.data);
    return config;
}

static const char *refused(const char *file)
{
    ck_assert_ptr_null(load(file));
    return (const char *)errors.data;
}

static void both(const char *option, const char *general, const char *traces)
{
    char name[64];
    snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_%s", option);
    setenv(name, general, 1);
    snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_TRACES_%s", option);
    if (traces)
        setenv(name, traces, 1);
    else
        unsetenv(name);
}

/* ---- the exporter ---- */

TEST(the_endpoint_turns_tracing_on_unless_the_file_speaks)
{
    both("ENDPOINT", "http://far:1", NULL);
    struct config *c = loaded(NULL);
    ck_assert(c->enabled);
    config_unref(c);
    c = loaded("{\"tracing\": {\"enabled\": false}}");
    ck_assert(!c->enabled);
    config_unref(c);
}

TEST(insecure_matters_for_an_endpoint_without_scheme_only)
{
    static const struct {
        const char *endpoint, *insecure;
        enum config_transport transport;
    } table[] = {{"far:1", "true", CONFIG_PLAINTEXT},   {"far:1", "TRUE", CONFIG_PLAINTEXT},
                 {"far:1", "false", CONFIG_TLS},        {"far:1", "", CONFIG_TLS},
                 {"https://far:1", "true", CONFIG_TLS}, {"http://far:1", "false", CONFIG_PLAINTEXT}};
    for (size_t i = 0; i < COUNT(table); i++) {
        both("ENDPOINT", table[i].endpoint, NULL);
        both("INSECURE", table[i].insecure, NULL);
        struct config *c = loaded(NULL);
        ck_assert_msg(c->transport == table[i].transport, "%s %s", table[i].endpoint, table[i].insecure);
        ck_assert(!c->skip_verify);
        config_unref(c);
    }
}

TEST(the_traces_form_wins)
{
    both("ENDPOINT", "http://general:1", "https://traces:1");
    both("CERTIFICATE", "/nowhere", TOKEN);
    both("CLIENT_KEY", "/nowhere", TOKEN);
    both("CLIENT_CERTIFICATE", "/nowhere", TOKEN);
    both("COMPRESSION", "gzip", "none");
    both("TIMEOUT", "1", "2500");
    both("INSECURE", "nonsense", "true");
    both("HEADERS", "general=1", "traces=2");
    struct config *c = loaded("{\"aistraced\": {\"ca_file\": \"/nowhere\", \"timeout\": \"1s\"}}");
    ck_assert_str_eq(c->host, "traces");
    ck_assert_str_eq(c->ca_file, TOKEN);
    ck_assert_str_eq(c->key_file, TOKEN);
    ck_assert_str_eq(c->cert_file, TOKEN);
    ck_assert_int_eq(c->compression, CONFIG_COMPRESSION_NONE);
    ck_assert_uint_eq(c->timeout_ms, 2500);
    ck_assert_uint_eq(c->header_count, 1);
    ck_assert_str_eq(c->headers[0].name, "traces");
    config_unref(c);
}

TEST(ais_variables_win_over_opentelemetrys)
{
    both("ENDPOINT", "http://otel:1", "http://otel:2");
    setenv("AIS_TRACING_ENDPOINT", "http://ais:1", 1);
    struct config *c = loaded(NULL);
    ck_assert_str_eq(c->host, "ais");
    config_unref(c);
}

/* ---- headers ---- */

TEST(headers_are_decoded_and_lower_case)
{
    both("HEADERS", "X-Api-Key=abc%3D%2C1 , ,authorization=Bearer%20t=o,empty=", NULL);
    struct config *c = loaded(NULL);
    ck_assert_uint_eq(c->header_count, 3);
    ck_assert_str_eq(c->headers[0].name, "x-api-key");
    ck_assert_str_eq(c->headers[0].value, "abc=,1");
    ck_assert_str_eq(c->headers[1].name, "authorization");
    ck_assert_str_eq(c->headers[1].value, "Bearer t=o");
    ck_assert_str_eq(c->headers[2].value, "");
    config_unref(c);
}

TEST(a_bad_header_is_refused_and_not_repeated)
{
    static const struct {
        const char *value, *words;
    } table[] = {
        {"s3cret", "header 1: not of the form name=value"},
        {"a=1,s3cret", "header 2: not of the form name=value"},
        {"=s3cret", "header 1: not of the form"},
        {"a=s3cret%zz", "header 1: not of the form"},
        {"a=s3cret%0a", "visible ASCII"},
        {"a=s3cret%C3%A4", "visible ASCII"},
        {"a=s3cret%20", "ends with a blank"},
        {"s3cret bearer=1", "header 1: a header name is made of letters"},
        {"grpc-timeout=s3cret", "belongs to HTTP or gRPC"},
        {"te=s3cret", "belongs to HTTP or gRPC"},
        {"trace-bin=s3cret", "belongs to HTTP or gRPC"},
        {"a=s3cret,A=s3cret", "header 2: a header of this name is there already"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        both("HEADERS", table[i].value, NULL);
        const char *words = refused(NULL);
        ck_assert_msg(strstr(words, table[i].words) && strstr(words, "environment OTEL_EXPORTER_OTLP_HEADERS: "),
                      "%s: %s", table[i].value, words);
        ck_assert_msg(!strstr(words, "s3cret"), "%s", words);
    }
}

TEST(a_header_that_the_token_has_is_refused)
{
    both("HEADERS", "Authorization=s3cret", NULL);
    const char *words = refused("{\"tracing\": {\"enabled\": true, \"exporter_endpoint\": \"c:1\",\n\"exporter_auth\": "
                                "{\"token_header\": \"AUTHORIZATION\", \"token_file\": \"" TOKEN "\"}}}");
    ck_assert_ptr_nonnull(strstr(words, ":2: tracing.exporter_auth.token_header: OTEL_EXPORTER_OTLP_HEADERS sets"));
    ck_assert_ptr_null(strstr(words, "s3cret"));
}

TEST(headers_are_printed_without_their_values)
{
    struct buf out = {0};
    both("HEADERS", "x-key=s3cret", NULL);
    struct config *c = loaded(NULL);
    ck_assert_int_eq(config_print(c, &out), 0);
    ck_assert_int_eq(buf_append(&out, "", 1), 0);
    ck_assert_ptr_nonnull(strstr((char *)out.data, "# header x-key: (set)  (env OTEL_EXPORTER_OTLP_HEADERS)\n"));
    ck_assert_ptr_null(strstr((char *)out.data, "s3cret"));
    config_unref(c);
    buf_done(&out);
}

TEST(headers_in_the_clear_are_worth_a_warning)
{
    both("HEADERS", "x-key=s3cret", NULL);
    both("ENDPOINT", "http://far:1", NULL);
    struct config *c = loaded(NULL);
    ck_assert(c->token_in_clear);
    config_unref(c);
    both("ENDPOINT", "http://localhost:1", NULL);
    c = loaded(NULL);
    ck_assert(!c->token_in_clear);
    config_unref(c);
}

/* ---- resource ---- */

TEST(resource_attributes_add_what_the_file_lacks)
{
    setenv("OTEL_RESOURCE_ATTRIBUTES", "a=1, b = x%20y%2C ,site=env", 1);
    struct config *c = loaded("{\"tracing\": {\"attributes\": {\"site\": \"file\"}}}");
    ck_assert_uint_eq(c->attribute_count, 3);
    ck_assert_str_eq(c->attributes[0].value, "file");
    ck_assert_str_eq(c->attributes[1].key, "a");
    ck_assert_str_eq(c->attributes[2].key, "b");
    ck_assert_str_eq(c->attributes[2].value, "x y,");
    config_unref(c);
}

TEST(the_service_name_is_the_prefix_where_the_file_has_none)
{
    setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=attribute,a=1", 1);
    struct config *c = loaded(NULL);
    ck_assert_str_eq(c->service_prefix, "attribute");
    ck_assert_uint_eq(c->attribute_count, 1);
    config_unref(c);
    setenv("OTEL_SERVICE_NAME", "shop-", 1);
    c = loaded(NULL);
    ck_assert_str_eq(c->service_prefix, "shop");
    config_unref(c);
    c = loaded("{\"tracing\": {\"service_name_prefix\": \"file\"}}");
    ck_assert_str_eq(c->service_prefix, "file");
    config_unref(c);
    setenv("AIS_TRACING_SERVICE_PREFIX", "ais", 1);
    c = loaded(NULL);
    ck_assert_str_eq(c->service_prefix, "ais");
    config_unref(c);
}

/* ---- errors ---- */

TEST(a_bad_value_names_its_variable)
{
    static const struct {
        const char *name, *value, *words;
    } table[] = {
        {"OTEL_RESOURCE_ATTRIBUTES", "a", "tracing.attributes: member 1 is not of the form"},
        {"OTEL_RESOURCE_ATTRIBUTES", "b=1,a=%zz", "member 2 is not of the form"},
        {"OTEL_RESOURCE_ATTRIBUTES", "=1", "member 1 is not of the form"},
        {"OTEL_EXPORTER_OTLP_TRACES_INSECURE", "yes", "\"yes\" is not true or false"},
        {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "soon", "aistraced.timeout: \"soon\" is not"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT", "0", "aistraced.timeout: 0ms is out of range"},
        {"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "aistraced.compression: \"zstd\" is not one of"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://far", "tracing.exporter_endpoint: the scheme is http://"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        setenv(table[i].name, table[i].value, 1);
        const char *words = refused(NULL);
        ck_assert_msg(strstr(words, table[i].name) && strstr(words, table[i].words), "%s", words);
        unsetenv(table[i].name);
    }
}
