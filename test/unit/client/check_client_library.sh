#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The library as it is installed: its symbols, its thread-local storage, loading by dlopen, its header in C11 and C++17,
# and with -DAISTRACE_DISABLED.
set -uo pipefail
cd "$(dirname "$0")/../../.."
build=${BUILD_DIR:-build}
library=$build/lib/libaistrace.so
tmp=$(mktemp -d "${AISTRACE_TEST_ROOT:-/dev/shm}/aistrace-library-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0
strict="-Wall -Wextra -Wshadow -Wpedantic -Werror -Iclient"

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$tmp/output" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name"
        sed 's/^/    /' "$tmp/output"
    fi
}

# Functions that the header declares, by the compiler's own account.
declared() {
    gcc -std=c11 -O0 -aux-info "$tmp/prototypes" -Iclient -fsyntax-only -x c client/aistrace.h &&
        grep -oE 'extern .*' "$tmp/prototypes" | grep -oE '\baistrace_[a-z_]+ ?\(' | tr -d ' (' | sort -u
}
exported() { nm -D --defined-only "$library" | awk '$2 != "A" { sub("@.*", "", $3); print $3 }' | sort; }

same_symbols() { diff <(declared) <(exported); }
check "the library exports what the header declares" same_symbols
check "which is not nothing" test "$(exported | wc -l)" -ge 25

# What a traced program must not carry: the reader of rings, a handler of signals.
consumer='shmring(__|_)(reader|open$|guard|window|dir_lock|still_there|read_exactly)|^(sigaction|raise)(@|$)'
producer_only() { # LIBRARY
    ! nm "$1" | awk 'NF > 1 { print $NF }' | grep -E "$consumer"
}
check "the shared library is the producer's part alone" producer_only "$library"
check "so is the archive" producer_only "$build/lib/libaistrace.a"
check "the consumer's part would have been seen" eval '! producer_only "$build/lib/libshmring.a" >/dev/null'

# Whoever runs a set-user-id program chooses its environment.
secure_only() {
    ! nm -D --undefined-only "$library" | grep -wE '(__)?getenv(@.*)?$' && nm -D --undefined-only "$library" | grep -q secure_getenv
}
check "the environment is read by secure_getenv alone" secure_only

little_tls() {
    local bytes
    bytes=$(($(readelf -lW "$library" | awk '$1 == "TLS" { print $6 }')))
    echo "TLS: $bytes bytes"
    [ "$bytes" -gt 0 ] && [ "$bytes" -le 64 ]
}
check "at most 64 bytes of thread-local storage" little_tls
initial_exec() { readelf -dW "$library" | grep -q STATIC_TLS && ! nm -D "$library" | grep -q __tls_get_addr; }
nodelete() { readelf -dW "$library" | grep -q NODELETE; }
if [ "$build" = build ]; then
    check "its TLS is initial-exec" initial_exec
fi
check "it is never unloaded" nodelete
mkdir -m 700 "$tmp/ring"
if [ "$build" = build ]; then # a sanitizer's run time wants to be there first
    check "it loads by dlopen into a running program" "$build/test/client_dlopen" "$library" "$tmp/ring"
fi

cat >"$tmp/use.c" <<'USE'
#include "aistrace.h"

int use_everything(const char *header, char *out);
int use_everything(const char *header, char *out)
{
    static const char *const items[] = {"a", "b"};
    struct aistrace_attribute attributes[] = {
        aistrace_attr_int("i", 1),           aistrace_attr_double("d", 1.5),  aistrace_attr_bool("b", true),
        aistrace_attr_string("s", "text"),   aistrace_attr_text("t", "x", 1), aistrace_attr_bytes("y", "\0", 1),
        aistrace_attr_strings("l", items, 2)};
    struct aistrace_options options;
    struct aistrace_span_options span_options;
    struct aistrace_span span;
    struct aistrace_context context;
    struct aistrace_counters counters;
    char state[AISTRACE_TRACE_STATE_BYTES], key[8], value[8];
    const char *cursor = header;
    int error;

    memset(&options, 0, sizeof(options));
    memset(&span_options, 0, sizeof(span_options));
    options.service_name = "use";
    options.attributes = attributes;
    options.attribute_count = 7;
    error = aistrace_start(&options) + aistrace_thread_attach();
    if (aistrace_context_parse(&context, header, strlen(header), NULL, 0, state) == 0)
        span_options.parent = &context;
    span_options.kind = AISTRACE_KIND_SERVER;
    aistrace_span_start(&span, "name", &span_options);
    aistrace_span_begin(&span, &span_options);
    aistrace_span_put_name(&span, "name", 4);
    aistrace_set_current(aistrace_span_context(&span));
    if (aistrace_span_recording(&span) && aistrace_current())
        aistrace_span_set_int(&span, "i", 1);
    aistrace_span_set_double(&span, "d", 2);
    aistrace_span_set_bool(&span, "b", true);
    aistrace_span_set_string(&span, "s", "text");
    aistrace_span_set_text(&span, "t", "text", 2);
    aistrace_span_set_bytes(&span, "y", "text", 2);
    aistrace_span_set_strings(&span, "l", items, 2);
    aistrace_span_set(&span, &attributes[0]);
    aistrace_span_put(&span, AISTRACE_STRING, "p", 1, "text", 4);
    aistrace_span_set_name(&span, "other");
    aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, "message");
    aistrace_span_add_event(&span, "event", attributes, 7);
    aistrace_span_add_link(&span, aistrace_span_context(&span), attributes, 1);
    aistrace_traceparent_write(aistrace_span_context(&span), out);
    aistrace_tracestate_write(aistrace_span_context(&span), out);
    while (aistrace_baggage_next(&cursor, header + strlen(header), key, sizeof(key), value, sizeof(value)))
        error++;
    error += aistrace_baggage_append(out, 8, "k", "v");
    aistrace_span_end(&span);
    aistrace_counters_read(&counters);
    aistrace_stop();
    return error;
}
USE
cp "$tmp/use.c" "$tmp/use.cc"
object=$tmp/use.o
without_symbol() {
    ! { nm "$object"; strings -a "$object"; readelf -SW "$object"; } | grep -iE 'aistrace|shmring'
}
all_used() { # the fixture names every function, or it proves nothing
    diff <(declared) <(grep -oE '\baistrace_[a-z_]+ ?\(' "$tmp/use.c" | tr -d ' (' | grep -v '^aistrace_attr_' | sort -u)
}
check "the fixture below uses every function" all_used
for optimise in -O0 -O2; do
    for compiler in "gcc -std=c11" "gcc -std=c17" "clang -std=c11" "g++ -std=c++17" "clang++ -std=c++17" "g++ -std=c++20"; do
        case $compiler in *++*) source=$tmp/use.cc ;; *) source=$tmp/use.c ;; esac
        check "$compiler $optimise" $compiler $optimise $strict -g0 -c -o "$object" "$source"
        check "$compiler $optimise, disabled" $compiler $optimise $strict -g0 -DAISTRACE_DISABLED -c -o "$object" "$source"
        check "$compiler $optimise, disabled: no symbol remains" without_symbol
    done
done
links() { gcc -O0 -DAISTRACE_DISABLED -Iclient -o "$tmp/program" -x c - "$tmp/use.c" <<<'int use_everything(const char *, char *); int main(void) { char out[600]; return use_everything("", out) > 0; }' && "$tmp/program"; }
check "disabled, a program links without the library" links
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
