/* SPDX-License-Identifier: MIT
 *
 *   interop_client RING_DIR OUT SEED COUNT role|service NAME
 *
 * Makes a fixed list of spans, one per case worth naming, and COUNT random ones from SEED, through the public client
 * library. OUT gets JSON lines: the resource, then what the library was told of each span (test/support/told.h).
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/attribute_sets.h"
#include "support/told.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The longest record is a quarter of the ring; the ring holds everything this program writes. */
#define RING_BYTES (64u << 20)
enum { BUFFER_BYTES = 512 * 1024, LONG_TEXT_BYTES = 60000, LONG_NAME_BYTES = 10000, LONG_KEY_BYTES = 1000 };

static const char *const remote_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
static const char *const unsampled_parent = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-00";
static const char *const flagged_parent = "00-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203333-03";
static const char *const trace_state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,tenant@system=1";

struct client {
    FILE *out;
    struct told_span *span;
    struct told_span *child;
    uint8_t *buffer; /* of the span */
    uint8_t *child_buffer;
    char *long_text;
    uint64_t random;
};

struct remote {
    struct aistrace_context context;
    char trace_state[AISTRACE_TRACE_STATE_BYTES];
};

static void die(const char *what)
{
    fprintf(stderr, "interop_client: %s\n", what);
    exit(1);
}

static void parse(struct remote *remote, const char *traceparent, const char *state)
{
    if (aistrace_context_parse(&remote->context, traceparent, strlen(traceparent), state, state ? strlen(state) : 0,
                               remote->trace_state))
        die("a valid traceparent was refused");
    size_t bytes = state ? strlen(state) : 0;
    if (remote->context.trace_state_bytes != bytes || (bytes && memcmp(remote->context.trace_state, state, bytes)))
        die("a valid tracestate was changed");
}

/* A root with room for everything. */
static void start_root(struct client *client, const char *note, const char *name)
{
    struct aistrace_span_options options = {.root = true, .buffer = client->buffer, .buffer_bytes = BUFFER_BYTES};
    told_start(client->span, note, name, &options, NULL, false);
}

static void start_child(struct client *client, const char *note, const struct aistrace_context *parent, bool remote)
{
    struct aistrace_span_options options = {
        .parent = parent, .buffer = client->child_buffer, .buffer_bytes = BUFFER_BYTES};
    told_start(client->child, note, "child", &options, parent, remote);
}

static void end(struct client *client)
{
    told_end(client->span, client->out);
}

static void end_child(struct client *client)
{
    told_end(client->child, client->out);
}

/* ---- the fixed list ---- */

static void kinds(struct client *client)
{
    for (int kind = 0; kind <= AISTRACE_KIND_CONSUMER; kind++) {
        struct aistrace_span_options options = {.kind = (enum aistrace_kind)kind, .root = true};
        told_start(client->span, "kind, inline body", "kind", &options, NULL, false);
        end(client);
    }
    told_start(client->span, "no options at all", "plain", NULL, NULL, false);
    end(client);
}

static void statuses(struct client *client)
{
    static const struct {
        enum aistrace_status first, second;
        const char *first_message, *second_message;
    } cases[] = {
        {AISTRACE_STATUS_UNSET, AISTRACE_STATUS_UNSET, "ignored", NULL},
        {AISTRACE_STATUS_OK, AISTRACE_STATUS_UNSET, "ignored", NULL},
        {AISTRACE_STATUS_ERROR, AISTRACE_STATUS_UNSET, "disk on fire", NULL},
        {AISTRACE_STATUS_ERROR, AISTRACE_STATUS_UNSET, NULL, NULL},
        {AISTRACE_STATUS_ERROR, AISTRACE_STATUS_UNSET, "", NULL},
        {AISTRACE_STATUS_OK, AISTRACE_STATUS_ERROR, NULL, "too late"},
        {AISTRACE_STATUS_ERROR, AISTRACE_STATUS_OK, "was not so bad", NULL},
        {AISTRACE_STATUS_ERROR, AISTRACE_STATUS_ERROR, "first", "second, Ω"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        start_root(client, "status", "status");
        told_status(client->span, cases[i].first, cases[i].first_message);
        told_status(client->span, cases[i].second, cases[i].second_message);
        end(client);
    }
}

static void names(struct client *client)
{
    char *name = strndup(client->long_text, LONG_NAME_BYTES);
    const char *const all[] = {"", NULL, " ", attribute_unicode, name};
    if (!name)
        die("no memory");
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        start_root(client, "name", all[i]);
        end(client);
    }
    start_root(client, "name replaced", "first");
    told_name(client->span, "second");
    told_name(client->span, attribute_unicode);
    end(client);
    free(name);
}

static void attributes(struct client *client)
{
    struct aistrace_attribute all[EVERY_ATTRIBUTE_MAX];
    size_t count = every_attribute(client->long_text, all);
    start_root(client, "every type of attribute", "attributes");
    for (size_t i = 0; i < count; i++)
        told_set(client->span, &all[i]);
    end(client);

    start_root(client, "attributes replaced, also by other types", "replaced");
    for (size_t i = 0; i < count; i++) {
        struct aistrace_attribute same_key = all[i];
        same_key.key = i % 2 ? "odd" : "even";
        told_set(client->span, &same_key);
    }
    end(client);

    static const size_t counts[] = {127, 128, 129, MANY_ATTRIBUTES_MAX};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        const struct aistrace_attribute *many = many_attributes(counts[i]);
        start_root(client, "around the limit of attributes", "limit");
        for (size_t k = 0; k < counts[i]; k++)
            told_set(client->span, &many[k]);
        struct aistrace_attribute replaced = aistrace_attr_string("key.5", "replaced at the limit");
        told_set(client->span, &replaced);
        end(client);
    }

    char key[LONG_KEY_BYTES + 1];
    memset(key, 'k', LONG_KEY_BYTES);
    key[LONG_KEY_BYTES] = '\0';
    struct aistrace_attribute long_key = aistrace_attr_bool(key, true);
    start_root(client, "long key", "attributes");
    told_set(client->span, &long_key);
    end(client);
}

static void events(struct client *client)
{
    struct aistrace_attribute all[EVERY_ATTRIBUTE_MAX];
    size_t count = every_attribute(client->long_text, all);
    start_root(client, "events", "events");
    told_event(client->span, "bare", NULL, 0);
    told_event(client->span, attribute_unicode, all, count);
    told_event(client->span, "crowded", many_attributes(130), 130);
    struct aistrace_attribute twice[] = {aistrace_attr_int("same", 1), aistrace_attr_string("same", "last wins")};
    told_event(client->span, "same key twice", twice, 2);
    end(client);
    for (size_t total = 128; total <= 130; total++) {
        start_root(client, "around the limit of events", "events");
        for (size_t i = 0; i < total; i++)
            told_event(client->span, "tick", many_attributes(1), i % 2);
        end(client);
    }
}

static void links(struct client *client)
{
    struct remote remote;
    struct aistrace_context none = {0};
    struct aistrace_attribute all[EVERY_ATTRIBUTE_MAX];
    size_t count = every_attribute(client->long_text, all);
    parse(&remote, remote_parent, trace_state);
    start_root(client, "linked to", "links");
    start_child(client, "links", aistrace_span_context(&client->span->span), false);
    told_link(client->child, aistrace_span_context(&client->span->span), false, NULL, 0);
    told_link(client->child, &remote.context, true, all, count);
    told_link(client->child, &none, false, NULL, 0);
    told_link(client->child, &remote.context, true, many_attributes(131), 131);
    end_child(client);
    for (size_t total = 128; total <= 130; total++) {
        start_child(client, "around the limit of links", aistrace_span_context(&client->span->span), false);
        for (size_t i = 0; i < total; i++)
            told_link(client->child, &remote.context, true, NULL, 0);
        end_child(client);
    }
    end(client);
}

static void parents(struct client *client)
{
    static const struct {
        const char *note, *traceparent, *state;
    } cases[] = {
        {"remote parent", remote_parent, NULL},
        {"remote parent with trace state", remote_parent, trace_state},
        {"remote parent that is not sampled", unsampled_parent, trace_state},
        {"remote parent with a second flag", flagged_parent, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct remote remote;
        parse(&remote, cases[i].traceparent, cases[i].state);
        struct aistrace_span_options options = {.kind = AISTRACE_KIND_SERVER, .parent = &remote.context};
        told_start(client->span, cases[i].note, "server", &options, &remote.context, true);
        start_child(client, "child of a child of a remote parent", aistrace_span_context(&client->span->span), false);
        end_child(client);
        end(client);
    }

    struct told_span *inner = client->child;
    start_root(client, "current context", "outer");
    const struct aistrace_context *outer = aistrace_span_context(&client->span->span);
    const struct aistrace_context *before = aistrace_set_current(outer);
    told_start(inner, "child of the current context", "inner", NULL, outer, false);
    end_child(client);
    struct aistrace_span_options root = {.root = true};
    told_start(inner, "a root in spite of the current context", "inner", &root, NULL, false);
    end_child(client);
    if (aistrace_set_current(before) != outer)
        die("aistrace_set_current did not return what was current");
    end(client);
}

static void bad_text(struct client *client)
{
    start_root(client, "text that is not UTF-8", "bad\xff name");
    struct aistrace_attribute bad[] = {aistrace_attr_string("bad.value", "cut \xe4\xb8"),
                                       aistrace_attr_string("bad\xc0\xaf.key", "surrogate \xed\xa0\x80 end")};
    client->span->bad_text = true;
    told_set(client->span, &bad[0]);
    told_set(client->span, &bad[1]);
    told_status(client->span, AISTRACE_STATUS_ERROR, "\x80");
    told_event(client->span, "bad \xf5 event", bad, 2);
    end(client);
}

static void small_buffer(struct client *client)
{
    struct aistrace_span_options options = {.root = true, .buffer = client->buffer, .buffer_bytes = 300};
    told_start(client->span, "a buffer too small", "small", &options, NULL, false);
    client->span->lossy = true;
    const struct aistrace_attribute *many = many_attributes(40);
    for (size_t i = 0; i < 40; i++)
        told_set(client->span, &many[i]);
    told_event(client->span, "no room", many, 5);
    end(client);
}

static void *end_elsewhere(void *client)
{
    end(client);
    return NULL;
}

static void threads(struct client *client)
{
    pthread_t thread;
    start_root(client, "ended on another thread", "wanderer");
    if (pthread_create(&thread, NULL, end_elsewhere, client) || pthread_join(thread, NULL))
        die("no thread");
}

/* ---- the random list ---- */

static void random_span(struct client *client)
{
    static const char *const names[] = {"GET /", "put", "äöü", "x"};
    struct aistrace_attribute some[8];
    struct remote remote;
    struct told_span *span = client->span;
    parse(&remote, any_number(&client->random, 4) ? remote_parent : unsampled_parent,
          any_number(&client->random, 2) ? trace_state : NULL);
    uint64_t parent = any_number(&client->random, 3);
    struct aistrace_span_options options = {.kind = (enum aistrace_kind)any_number(&client->random, 6),
                                            .parent = parent == 0 ? &remote.context : NULL,
                                            .root = parent != 0,
                                            .buffer = client->buffer,
                                            .buffer_bytes = BUFFER_BYTES};
    told_start(span, "random", names[any_number(&client->random, COUNT_OF(names))], &options, options.parent, true);
    for (uint64_t steps = any_number(&client->random, 30); steps > 0; steps--) {
        size_t count = any_number(&client->random, COUNT_OF(some) + 1);
        for (size_t i = 0; i < count; i++)
            some[i] = any_attribute(&client->random);
        switch (any_number(&client->random, 10)) {
        case 0:
            told_event(span, names[any_number(&client->random, COUNT_OF(names))], some, count);
            break;
        case 1:
            told_link(span, &remote.context, true, some, count);
            break;
        case 2:
            told_status(span, (enum aistrace_status)any_number(&client->random, 3),
                        any_number(&client->random, 2) ? "why" : NULL);
            break;
        default:
            for (size_t i = 0; i < count; i++)
                told_set(span, &some[i]);
        }
    }
    end(client);
}

/* ---- the program ---- */

static void print_resource(struct client *client, const struct aistrace_options *options)
{
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    fprintf(client->out, "{\"role\":\"%s\",\"service\":\"%s\",\"pid\":%d,\"host\":\"%s\",\"version\":\"%s\",",
            options->role ? options->role : "", options->service_name ? options->service_name : "", (int)getpid(), host,
            options->version);
    fprintf(client->out, "\"daemon_id\":\"%s\",", options->daemon_id);
    told_print_attributes(client->out, options->attributes, options->attribute_count);
    fprintf(client->out, "}\n");
}

int main(int argc, char **argv)
{
    static void (*const fixed[])(struct client *) = {kinds, statuses, names,    attributes,   events,
                                                     links, parents,  bad_text, small_buffer, threads};
    if (argc != 7 || (strcmp(argv[5], "role") != 0 && strcmp(argv[5], "service") != 0)) {
        fprintf(stderr, "usage: interop_client RING_DIR OUT SEED COUNT role|service NAME\n");
        return 64;
    }
    bool role = strcmp(argv[5], "role") == 0;
    static const char *const zones[] = {"a", "b"};
    const struct aistrace_attribute resource[] = {
        aistrace_attr_string("deployment.environment", "test, Ω"),
        aistrace_attr_int("rack", 42),
        aistrace_attr_double("weight", 0.25),
        aistrace_attr_bool("spot", true),
        aistrace_attr_bytes("serial", "\x00\xff", 2),
        aistrace_attr_strings("zones", zones, 2),
    };
    const struct aistrace_options options = {.role = role ? argv[6] : NULL,
                                             .service_name = role ? NULL : argv[6],
                                             .version = "1.2.3",
                                             .daemon_id = "node-7",
                                             .attributes = resource,
                                             .attribute_count = COUNT_OF(resource),
                                             .ring_dir = argv[1],
                                             .ring_bytes = RING_BYTES};
    struct client client = {.out = fopen(argv[2], "w"),
                            .span = malloc(sizeof(struct told_span)),
                            .child = malloc(sizeof(struct told_span)),
                            .buffer = malloc(BUFFER_BYTES),
                            .child_buffer = malloc(BUFFER_BYTES),
                            .long_text = malloc(LONG_TEXT_BYTES + 1),
                            .random = strtoull(argv[3], NULL, 10)};
    if (!client.out || !client.span || !client.child || !client.buffer || !client.child_buffer || !client.long_text)
        die("no memory, or no OUT");
    memset(client.long_text, 'l', LONG_TEXT_BYTES);
    client.long_text[LONG_TEXT_BYTES] = '\0';
    int err = aistrace_start(&options);
    if (err)
        die(strerror(-err));
    print_resource(&client, &options);
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        fixed[i](&client);
    for (unsigned long i = strtoul(argv[4], NULL, 10); i > 0; i--)
        random_span(&client);

    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
    if (counters.attempted != counters.committed)
        die("the ring did not take everything");
    aistrace_stop();
    free(client.span);
    free(client.child);
    free(client.buffer);
    free(client.child_buffer);
    free(client.long_text);
    return fclose(client.out) == 0 ? 0 : 1;
}
