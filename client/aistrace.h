/* SPDX-License-Identifier: MIT
 *
 * libaistrace: spans into shared memory. The aistraced daemon ships them; this program never waits for it.
 *
 *     aistrace_start(&(struct aistrace_options){ .service_name = "checkout" });
 *     struct aistrace_span span;
 *     aistrace_span_start(&span, "GET /cart", NULL);
 *     aistrace_span_set_int(&span, "cart.items", 3);
 *     aistrace_span_end(&span);
 *     aistrace_stop();
 *
 * On a thread that has its ring no call here allocates, locks, or enters the kernel. A thread's first span (or
 * aistrace_thread_attach) sets its ring up, also after the program has changed its user, root or limits. Rings are not
 * locked in memory: a page that was swapped out, or a ring directory on a disk, makes a span wait. Where there is no
 * usable ring directory, or before aistrace_start, every call works and records nothing; an incoming context is passed
 * on to children unchanged.
 *
 * Threads: a span belongs to one thread at a time; it may start on one and end on another, handed over by any means
 * that orders memory. Different spans are independent. errno stays as it was. Signals: a handler may use spans of its
 * own, on a thread that is attached (attaching allocates); one that interrupts a write to the ring has its span dropped
 * and counted (nested). fork: the child gets its own segment on its first span (where tracing was off in the parent, on
 * the first after 100 ms), and goes on with what the daemon had published; spans of the parent are the parent's to end:
 * the child's end of one writes nothing. The child's user must be allowed to make a file in the ring directory. Fork
 * handlers of others may trace and read the counters; a span of theirs may find no slot (no_slot). exec, exit, SIGKILL:
 * whatever ended before is delivered; spans of destructors that run after the library's own are not. Cancellation: no
 * call here is a cancellation point. A clone of a virtual machine that goes on from a snapshot: each thread's ids
 * differ from those of the other clones from its next reading of the system's clock on, within milliseconds; spans
 * begun before may share theirs.
 * Time is read through the CPU's counter where the kernel does so as well; AIS_TRACING_CLOCK=system forbids it. A
 * thread that gives up its right to read the counter (prctl PR_SET_TSC, seccomp's strict mode) must not begin or end
 * spans: the C library's clock_gettime reads the counter, too, and ends such a thread all the same.
 * Jumps: a signal handler may leave any call here by longjmp, and a thread may end in any (pthread_exit in a handler,
 * asynchronous cancellation). A span whose end is left is recorded or not, never twice; ending it again does nothing.
 * The environment of a program that runs with another user's rights (set-user-id) is not read.
 * Strings are UTF-8, copied, and need no terminator where a length is given; a NULL key, name or value is as "". An
 * attribute needs a key; a span or an event without a name arrives as "unknown".
 *
 * C11 or later, C++17 or later, without a warning. With -DAISTRACE_DISABLED every call compiles to nothing and no
 * library is needed.
 * Each copy of libaistrace.a in a process, such as in several plug-ins, is a tracer of its own with a segment of its
 * own, and exports nothing. A library that compiles these sources into itself gets the same by -DAISTRACE_STATIC.
 */
#ifndef AISTRACE_H
#define AISTRACE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Always inlined: with AISTRACE_DISABLED no symbol may remain, also without optimisation. */
#if defined(__GNUC__)
#define AISTRACE_INLINE static inline __attribute__((always_inline))
#else
#define AISTRACE_INLINE static inline
#endif

#ifdef __cplusplus
#define AISTRACE_CAST(type, value) static_cast<type>(value)
#else
#define AISTRACE_CAST(type, value) ((type)(value))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define AISTRACE_VERSION "0.1.0"

/* OTLP Span.SpanKind and Status.StatusCode, same numbers. */
enum aistrace_kind {
    AISTRACE_KIND_INTERNAL = 1,
    AISTRACE_KIND_SERVER = 2,
    AISTRACE_KIND_CLIENT = 3,
    AISTRACE_KIND_PRODUCER = 4,
    AISTRACE_KIND_CONSUMER = 5
};
enum aistrace_status { AISTRACE_STATUS_UNSET = 0, AISTRACE_STATUS_OK = 1, AISTRACE_STATUS_ERROR = 2 };

enum aistrace_type {
    AISTRACE_STRING = 1,
    AISTRACE_BOOL = 2,
    AISTRACE_INT = 3,
    AISTRACE_DOUBLE = 4,
    AISTRACE_BYTES = 5,
    AISTRACE_STRING_ARRAY = 6
};

/* Borrows everything it points to for the duration of the call it is given to. Made by the aistrace_attr_ functions. */
struct aistrace_attribute {
    const char *key; /* NUL-terminated */
    enum aistrace_type type;
    union {
        int64_t integer;
        double real;
        bool boolean;
        const void *data;         /* STRING, BYTES */
        const char *const *items; /* STRING_ARRAY: count NUL-terminated strings */
    } value;
    size_t count; /* STRING, BYTES: bytes of data; STRING_ARRAY: items */
};

/* ---- context: what crosses process borders ---- */

enum { AISTRACE_TRACEPARENT_BYTES = 56 /* with NUL */, AISTRACE_TRACE_STATE_BYTES = 512 };

/* W3C trace context, made by aistrace_context_parse or by a span. trace_state is borrowed: from the span, or from the
 * caller of aistrace_context_parse. trace_flags may be changed: they decide for all that begins below.
 * Or made by hand, from another kind of header or a message: the two ids, trace_flags, trace_state if there is one, and
 * all else 0. It then is a context of another process: what begins below has its sampled flag, is the child of a remote
 * parent, and passes its trace state on if that is a valid tracestate header of at most AISTRACE_TRACE_STATE_BYTES. A
 * context whose sampling is neither 0 nor the library's is none, as one with an id of zeros is. */
struct aistrace_context {
    uint8_t trace_id[16];
    uint8_t span_id[8];  /* all zero: not a context */
    uint8_t trace_flags; /* W3C, level 2: bit 0 sampled, bit 1 random; others are not passed on */
    uint8_t sampling;    /* the library's; 0 in a context made by hand */
    uint16_t trace_state_bytes;
    const char *trace_state; /* not NUL-terminated */
};

/* ---- spans ---- */

enum { AISTRACE_SPAN_INLINE_BYTES = 880 };

/* Storage is the caller's: on the stack or inside a request object. Its fields are the library's. It must not be moved
 * or copied between start and end: pointers into it are in it. */
struct aistrace_span {
    struct aistrace_context context;
    uint64_t start_monotonic_ns;
    uint8_t *body;  /* items; inline_body, or the caller's buffer */
    uint8_t *end;   /* of the items */
    uint8_t *limit; /* attributes up to here need no second look; not beyond end: none do */
    uint32_t body_capacity;
    uint16_t record_flags; /* enum aistrace_sampling */
    uint8_t state;         /* 0: not recording; else between start and end */
    uint8_t generation;    /* of the tracer that began it */
    uint8_t events;
    uint8_t links;
    uint8_t crowded;    /* an attribute did not fit, or there were 128: each is looked at from then on */
    uint8_t attributes; /* once crowded; of different keys */
    uint8_t reserved[4];
    uint64_t keys[4]; /* once crowded: a filter of the keys in the inline body */

    /* The record as it will be in the ring, its items behind it if they are inline. */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_span_id[8];
    uint64_t start_unix_ns;
    uint64_t duration_ns;
    uint8_t kind;
    uint8_t status;
    uint8_t trace_flags;
    uint8_t reserved0;
    uint32_t dropped_attributes;
    uint32_t dropped_events;
    uint32_t dropped_links;
    uint8_t inline_body[AISTRACE_SPAN_INLINE_BYTES];
};

struct aistrace_span_options {
    enum aistrace_kind kind;               /* 0: internal */
    const struct aistrace_context *parent; /* NULL: the thread's current context. Needed for the call only; it may be
                                              the context of the span whose storage is used again */
    bool root;                             /* start a new trace: ignore parent and the current context */
    void *buffer;                          /* room for name, attributes, events, links in place of the inline body; */
    size_t buffer_bytes; /* lives until the span ends. What does not fit is counted on the span as dropped */
};

/* ---- the process's tracer ---- */

struct aistrace_options {
    const char *role;         /* "proxy", "target": service.name is the daemon's configured prefix, "-", role; or */
    const char *service_name; /* verbatim; one of the two */
    const char *version;      /* resource attribute `version` */
    const char *daemon_id;    /* resource attribute `daemonID` */
    const struct aistrace_attribute *attributes; /* more resource attributes; copied. All together at most 128, 8 KiB */
    size_t attribute_count;
    const char *ring_dir; /* NULL: AIS_TRACING_RING_DIR, else /dev/shm/aistrace */
    /* Per thread; 0: AIS_TRACING_RING_SIZE, else 64 KiB to 1 MiB, such that all thread_slots have theirs. The rings of
     * all programs together take a quarter of ring_dir's tmpfs at most, those of this program a quarter of what the
     * memory limits of control groups leave: of large rings fewer threads have one. */
    uint64_t ring_bytes;
    /* How many threads may trace at the same time, at most 1,024; 0: AIS_TRACING_THREAD_SLOTS, else 128. */
    uint32_t thread_slots;
    uint32_t ring_uid; /* who else than root and this user may own ring_dir; 0: AIS_TRACING_RING_UID, else nobody */
};

/* The process's own view of the identity. */
struct aistrace_counters {
    uint64_t attempted; /* spans ended = committed + all below */
    uint64_t committed;
    uint64_t ring_full;
    uint64_t oversize; /* record over a quarter of the ring */
    uint64_t nested;
    uint64_t disabled;
    uint64_t no_slot;
    uint64_t no_memory;
    uint64_t no_segment; /* no ring directory, or not started: recorded nowhere */
    uint64_t no_file;    /* only before Linux 5.14 or in little address space: the ring's file cannot be opened again */
};

#ifndef AISTRACE_DISABLED

#if defined(__GNUC__) && !defined(AISTRACE_STATIC)
#pragma GCC visibility push(default)
#endif

/* Starts the process's tracer and creates its segment. Copies what options points to. The process also gets
 * `process.pid`, `host.name`, `telemetry.sdk.*` and, from MY_POD, `pod` as resource attributes.
 * -> 0; -EINVAL: neither or both of role and service_name, too many thread_slots, or a ring_dir that ends in ".."; or
 * no memory for a copy of the options, no thread key left (-EAGAIN), no working directory for a relative ring_dir
 * (-ENOENT): nothing is started. Or why there is no segment yet (-EPERM foreign ring directory, -EDQUOT rings have
 * their share of the tmpfs, -ENOSPC, -ENOMEM, -EMFILE, -EFBIG, -ENOENT, ...): the program may ignore that.
 * Spans record nothing then, and try again: within a second of there being room, and at least once a minute whatever
 * else was in the way. With AIS_TRACING_DEBUG=1 stderr has a line for each cause.
 * Once per process: a second call without aistrace_stop between is -EALREADY; while the segment is lacking the call
 * takes the place of the one before, and tries at once. -EAGAIN: in a fork handler. Not async-signal-safe. */
int aistrace_start(const struct aistrace_options *options);

/* Gives the segment up, and memory back that holds nothing unread; the daemon drains and removes it. Other threads may
 * go on tracing: a span that ends while this runs may be neither recorded nor counted, spans that were begun before and
 * end later record nothing. The counters then say exactly what the segment has. Calls after it are as before
 * aistrace_start, which may follow again. What threads may still hold is kept for the process's life: address space for
 * the control pages (156 KiB for 128 slots) and for the ring of each thread that had one and has not ended or detached,
 * the caller too; some hundred bytes for each; and of the mappings that a process may have (vm.max_map_count, in
 * general 65,530) one for each aistrace_stop, and at most one for each such ring. At exit, and when a plug-in that has
 * the archive in it is unloaded, the library does the same by itself: no program need call this. In a signal handler:
 * only where the allocator was not interrupted; a span whose end was interrupted may be neither recorded nor counted.
 * In a fork handler: may do nothing. */
void aistrace_stop(void);

/* Does the calling thread's set-up now instead of in its first span: about 0.6 ms for a new ring of 1 MiB, next to
 * nothing for the ring that another thread has left. Threads that do so at the same time share the cores, and wait for
 * no lock meanwhile: 128 new rings of 1 MiB are 70 ms of CPU time, in which the kernel clears memory. -> 0; -ENODEV:
 * not started, or no segment; -EAGAIN: in a fork handler. Or why the thread has no ring: -ENFILE: other threads have
 * all slots; -EDQUOT: rings have their share of the ring directory's file system; -ENOSPC: no room in it; -ENOMEM: no
 * memory or address space, or a memory limit is near; before Linux 5.14 or in little address space also -EMFILE,
 * -EACCES, -ENOENT, -ESTALE: the segment's file cannot be opened again. Then the thread's spans are counted as dropped,
 * and some of them try again: the 1st, 2nd, 4th, 8th and so on, and the first after a wait that doubles up to half a
 * second (up to a minute where the cause is not a lack of room). */
int aistrace_thread_attach(void);

/* Gives the calling thread's slot to whoever wants one, for threads that will not trace for a while: of a pool of 1,000
 * the first thread_slots to trace would else keep the slots until they end. What was written stays and is delivered.
 * The thread's next span (also the end of one begun before) sets it up again. A thread that ends need not call this. In
 * a signal handler that has interrupted a span's end on this thread, and after a jump has left one: does nothing. In a
 * fork handler: may do nothing. */
void aistrace_thread_detach(void);

/* Begins a span. The name is copied. options may be NULL. Any thread. */
void aistrace_span_start(struct aistrace_span *span, const char *name, const struct aistrace_span_options *options);

/* Ends the span and writes it to the ring, or drops and counts it. Ending again does nothing. */
void aistrace_span_end(struct aistrace_span *span);

/* False: nothing of this span will be written, so costly attributes need not be computed. */
bool aistrace_span_recording(const struct aistrace_span *span);

/* Attributes. Setting a key again replaces its value. Without a key, over 128, or when the room is used up: counted on
 * the span as dropped. */
void aistrace_span_set_int(struct aistrace_span *span, const char *key, int64_t value);
void aistrace_span_set_double(struct aistrace_span *span, const char *key, double value);
void aistrace_span_set_bool(struct aistrace_span *span, const char *key, bool value);
void aistrace_span_set_string(struct aistrace_span *span, const char *key, const char *value);
void aistrace_span_set_text(struct aistrace_span *span, const char *key, const char *value, size_t bytes);
void aistrace_span_set_bytes(struct aistrace_span *span, const char *key, const void *value, size_t bytes);
void aistrace_span_set_strings(struct aistrace_span *span, const char *key, const char *const *items, size_t count);
void aistrace_span_set(struct aistrace_span *span, const struct aistrace_attribute *attribute);

/* An attribute in its encoded form: INT and DOUBLE are 8 bytes as they are in memory, BOOL is one byte, 0 or 1, STRING
 * and BYTES are their bytes; not STRING_ARRAY. What the others become when they are inlined; for callers that have the
 * key's length. A value that is not so encoded is counted as dropped. */
void aistrace_span_put(struct aistrace_span *span, enum aistrace_type type, const char *key, size_t key_bytes,
                       const void *value, size_t value_bytes);

/* A span without a name yet, and the name: what aistrace_span_start becomes when it is inlined. */
void aistrace_span_begin(struct aistrace_span *span, const struct aistrace_span_options *options);
void aistrace_span_put_name(struct aistrace_span *span, const char *name, size_t bytes);

/* Replaces the name given at start. */
void aistrace_span_set_name(struct aistrace_span *span, const char *name);

/* OpenTelemetry's rules: OK is final; ERROR overrides UNSET; UNSET is ignored; message counts with ERROR only. */
void aistrace_span_set_status(struct aistrace_span *span, enum aistrace_status status, const char *message);

/* An event now, with count attributes. */
void aistrace_span_add_event(struct aistrace_span *span, const char *name, const struct aistrace_attribute *attributes,
                             size_t count);

/* A link to another span's context. What is no context is ignored. */
void aistrace_span_add_link(struct aistrace_span *span, const struct aistrace_context *context,
                            const struct aistrace_attribute *attributes, size_t count);

/* The span's context, to make children of it or to propagate. Valid until the span's storage goes or is used again. A
 * span that does not record has its parent's: nothing of it points to what the caller lent. */
const struct aistrace_context *aistrace_span_context(const struct aistrace_span *span);

/* The calling thread's current context: parent of spans that name none. aistrace_set_current returns the one before,
 * to be put back when the scope ends; NULL: none. The context must live as long as it is current. */
const struct aistrace_context *aistrace_current(void);
const struct aistrace_context *aistrace_set_current(const struct aistrace_context *context);

/* What this process attempted since aistrace_start; after aistrace_stop as it stood then. Any thread. */
void aistrace_counters_read(struct aistrace_counters *out);

/* ---- propagation (W3C Trace Context, W3C Baggage) ---- */

/* Parses the headers of an incoming request. traceparent and tracestate need no terminator; tracestate may be NULL;
 * several tracestate headers are joined with "," by the caller; of a request with several traceparent headers none is
 * valid. Blanks and tabs around a header's value and around members are ignored. On success *out borrows trace_state, a
 * buffer of AISTRACE_TRACE_STATE_BYTES given by the caller, which receives the members that are kept: of several with
 * one key the first; of what is too long, first those of up to 128 bytes, then those that came first.
 * -> 0, or -EINVAL: no valid traceparent; *out is then untouched. A tracestate with a malformed member, or with more
 * than 32, is ignored, and it alone. W3C Trace Context, level 2. Async-signal-safe. */
int aistrace_context_parse(struct aistrace_context *out, const char *traceparent, size_t traceparent_bytes,
                           const char *tracestate, size_t tracestate_bytes, char *trace_state);

/* Writes the traceparent header's value, NUL-terminated. -> 55, or 0 and "" for what is no context. */
size_t aistrace_traceparent_write(const struct aistrace_context *context, char out[AISTRACE_TRACEPARENT_BYTES]);

/* Writes the tracestate header's value, NUL-terminated, into AISTRACE_TRACE_STATE_BYTES + 1 bytes. -> its length. */
size_t aistrace_tracestate_write(const struct aistrace_context *context, char *out);

/* Baggage members, one per call: *cursor starts at the header's value and advances; end is past its last byte. Values
 * are percent-decoded into value (NUL-terminated, at most value_bytes with the NUL), keys are copied as they are into
 * key (the same, key_bytes). Members that are longer or malformed are skipped. -> true while there was one. */
bool aistrace_baggage_next(const char **cursor, const char *end, char *key, size_t key_bytes, char *value,
                           size_t value_bytes);

/* Appends key=value, percent-encoded, to a NUL-terminated header value in out (capacity bytes with NUL).
 * -> 0; -EINVAL: key is not a token; -E2BIG: over capacity, 64 members or 8,192 bytes; out is then unchanged. */
int aistrace_baggage_append(char *out, size_t capacity, const char *key, const char *value);

#if defined(__GNUC__) && !defined(AISTRACE_STATIC)
#pragma GCC visibility pop
#endif

#if defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__) && !defined(AISTRACE_NO_INLINE)
#include "aistrace_inline.h"
#endif

#else
#include "aistrace_disabled.h"
#endif

/* ---- attributes for events, links and the resource: borrow what they are given ---- */

AISTRACE_INLINE struct aistrace_attribute aistrace_attr_int(const char *key, int64_t value)
{
    struct aistrace_attribute attribute = {key, AISTRACE_INT, {0}, 0};
    attribute.value.integer = value;
    return attribute;
}

AISTRACE_INLINE struct aistrace_attribute aistrace_attr_double(const char *key, double value)
{
    struct aistrace_attribute attribute = {key, AISTRACE_DOUBLE, {0}, 0};
    attribute.value.real = value;
    return attribute;
}

AISTRACE_INLINE struct aistrace_attribute aistrace_attr_bool(const char *key, bool value)
{
    struct aistrace_attribute attribute = {key, AISTRACE_BOOL, {0}, 0};
    attribute.value.boolean = value;
    return attribute;
}

AISTRACE_INLINE struct aistrace_attribute aistrace_attr_bytes(const char *key, const void *data, size_t bytes)
{
    struct aistrace_attribute attribute = {key, AISTRACE_BYTES, {0}, bytes};
    attribute.value.data = data;
    return attribute;
}

AISTRACE_INLINE struct aistrace_attribute aistrace_attr_text(const char *key, const char *value, size_t bytes)
{
    struct aistrace_attribute attribute = {key, AISTRACE_STRING, {0}, bytes};
    attribute.value.data = value;
    return attribute;
}

AISTRACE_INLINE struct aistrace_attribute aistrace_attr_string(const char *key, const char *value)
{
    return aistrace_attr_text(key, value, value ? strlen(value) : 0);
}

AISTRACE_INLINE struct aistrace_attribute aistrace_attr_strings(const char *key, const char *const *items, size_t count)
{
    struct aistrace_attribute attribute = {key, AISTRACE_STRING_ARRAY, {0}, count};
    attribute.value.items = items;
    return attribute;
}

#ifdef __cplusplus
}
#endif
#endif
