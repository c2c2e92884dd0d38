/* SPDX-License-Identifier: MIT
 *
 * Fills a ring that nobody drains, through every call of the hot path, between two marker system calls:
 * unit/client/check_client_quiet.sh traces the program, and fails when there is a system call between them. Counts allocations itself.
 *
 *     client_quiet RING_DIR
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aistrace.h"

/* Of the calling thread, between the markers. */
static _Thread_local unsigned long allocations;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void __libc_free(void *memory);

void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    allocations++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    allocations++;
    return __libc_realloc(memory, bytes);
}

void free(void *memory)
{
    allocations += memory != NULL;
    __libc_free(memory);
}
#endif

static void whole_span(int64_t number)
{
    static const char *const names[] = {"one", "two"};
    struct aistrace_attribute attribute = aistrace_attr_int("n", number);
    char header[AISTRACE_TRACEPARENT_BYTES], state[AISTRACE_TRACE_STATE_BYTES + 1], kept[AISTRACE_TRACE_STATE_BYTES];
    struct aistrace_context context;
    struct aistrace_span span, child;

    aistrace_span_start(&span, "outer", NULL);
    const struct aistrace_context *before = aistrace_set_current(aistrace_span_context(&span));
    aistrace_span_set_int(&span, "number", number);
    aistrace_span_set_double(&span, "half", 0.5);
    aistrace_span_set_bool(&span, "yes", true);
    aistrace_span_set_string(&span, "text", "a text of more than thirty-two bytes, copied by the C library");
    aistrace_span_set_bytes(&span, "bytes", &number, sizeof(number));
    aistrace_span_set_strings(&span, "names", names, 2);
    aistrace_span_set(&span, &attribute);
    aistrace_span_add_event(&span, "event", &attribute, 1);
    aistrace_traceparent_write(aistrace_span_context(&span), header);
    aistrace_tracestate_write(aistrace_span_context(&span), state);
    aistrace_context_parse(&context, header, 55, "a=1", 3, kept);
    aistrace_span_start(&child, "inner", NULL);
    aistrace_span_add_link(&child, &context, &attribute, 1);
    for (int i = 0; i < 40; i++)
        aistrace_span_set_string(&child, i % 2 ? "over" : "and", "and over until the room is used up");
    aistrace_span_set_name(&child, "inner renamed");
    aistrace_span_set_status(&child, AISTRACE_STATUS_ERROR, "failed");
    aistrace_span_end(&child);
    aistrace_set_current(before);
    aistrace_span_end(&span);
}

static void *traced(void *count)
{
    /* Attached, and the thread's first span behind it. */
    whole_span(0);
    unsigned long before = allocations;
    if (write(STDOUT_FILENO, "BEGIN\n", 6) != 6)
        return (void *)1;
    for (int i = 0; i < *(int *)count; i++)
        whole_span(i);
    if (write(STDOUT_FILENO, "END\n", 4) != 4)
        return (void *)1;
    return (void *)(allocations - before);
}

int main(int argc, char **argv)
{
    int count = 50000;
    if (argc != 2 || aistrace_start(&(struct aistrace_options){.role = "quiet", .ring_dir = argv[1]}) != 0)
        return 2;
    pthread_t thread;
    void *allocated;
    if (pthread_create(&thread, NULL, traced, &count) != 0 || pthread_join(thread, &allocated) != 0)
        return 2;
    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
    printf("allocations %lu attempted %lu committed %lu ring_full %lu\n", (unsigned long)allocated,
           (unsigned long)counters.attempted, (unsigned long)counters.committed, (unsigned long)counters.ring_full);
    aistrace_stop();
    return 0;
}
