#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Plug-ins that link libaistrace.a, loaded by a program that has a copy of its own or uses the shared library: each copy
# is a tracer of its own, and shows nothing of itself to the others.
set -uo pipefail
cd "$(dirname "$0")/../../.."
. test/support/verdict.sh
needs_shipped_build "a sanitizer's run time must be in the program before a plug-in has it"
build=build
tmp=$(mktemp -d "${AISTRACE_TEST_ROOT:-/dev/shm}/aistrace-plugin-XXXXXX")
trap 'rm -rf "$tmp"' EXIT

cat >"$tmp/plugin.c" <<'PLUGIN'
#include <aistrace.h>

__attribute__((visibility("default"))) int plugin_trace(const char *ring_dir, uint64_t spans, uint64_t *committed)
{
    struct aistrace_counters counters;
    int err = aistrace_start(&(struct aistrace_options){.service_name = "plug-in", .ring_dir = ring_dir});
    for (uint64_t i = 0; i < spans && !err; i++) {
        struct aistrace_span span;
        aistrace_span_start(&span, "span", NULL);
        aistrace_span_set_int(&span, "number", (int64_t)i);
        aistrace_span_end(&span);
    }
    aistrace_counters_read(&counters);
    *committed = counters.committed;
    return err;
}
PLUGIN
cat >"$tmp/host.c" <<'HOST'
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#define plugin_trace host_trace
#include "plugin.c"
#undef plugin_trace

/* host RING_DIR global|local PLUGIN...: the host writes 1 span, the first plug-in 2, the next 3, ... */
int main(int argc, char **argv)
{
    int scope = strcmp(argv[2], "global") == 0 ? RTLD_GLOBAL : RTLD_LOCAL;
    int (*trace[8])(const char *, uint64_t, uint64_t *) = {host_trace};
    uint64_t committed;

    for (int i = 3; i < argc; i++) {
        void *plugin = dlopen(argv[i], RTLD_NOW | scope);
        if (!plugin)
            return fprintf(stderr, "%s\n", dlerror()), 1;
        *(void **)&trace[i - 2] = dlsym(plugin, "plugin_trace");
    }
    for (int i = 0; i <= argc - 3; i++) {
        int err = trace[i](argv[1], (uint64_t)i + 1, &committed);
        if (err || committed != (uint64_t)i + 1)
            return fprintf(stderr, "copy %d: started with %d, committed %d\n", i, err, (int)committed), 1;
    }
    return 0;
}
HOST

compile() { # OUTPUT ARGUMENT...
    local output=$1
    shift
    gcc -std=c17 -Wall -Wextra -Werror -pthread -Iclient -o "$tmp/$output" "$@"
}
exports_nothing() { # FILE
    nm -D --defined-only "$tmp/$1" | grep -E 'aistrace|shmring'
}
each_its_own() { # HOST SCOPE PLUGIN...: the words of what went wrong
    local rings=$tmp/rings host=$1 scope=$2 count
    shift 2
    rm -rf "$rings" && mkdir -m 700 "$rings"
    LD_LIBRARY_PATH=$build/lib "$tmp/$host" "$rings" "$scope" "${@/#/$tmp/}" 2>&1 || echo "status $?"
    count=$(find "$rings" -name '*.ring' | wc -l)
    [ "$count" -eq $(($# + 1)) ] || echo "$count segments"
}

archive=$build/lib/libaistrace.a
problems=$({
    compile first.so -O0 -shared -fPIC "$tmp/plugin.c" "$archive"
    compile second.so -O2 -shared -fPIC -fvisibility=hidden "$tmp/plugin.c" "$archive"
    compile plain.so -O2 -shared -fPIC "$tmp/plugin.c" -L"$build/lib" -laistrace
    compile copy -O2 -rdynamic "$tmp/host.c" "$archive" -ldl
    compile shared -O2 -rdynamic "$tmp/host.c" -L"$build/lib" -laistrace -ldl
} 2>&1)
verdict "plug-ins and hosts build, with the archive and with the shared library" "$problems"
for file in first.so second.so copy; do
    verdict "$file: a copy of the archive exports nothing" "$(exports_nothing "$file")"
done
for scope in local global; do
    verdict "a host with a copy, two plug-ins with copies, RTLD_${scope^^}" \
        "$(each_its_own copy $scope first.so second.so)"
    verdict "a host of the shared library, two plug-ins with copies, RTLD_${scope^^}" \
        "$(each_its_own shared $scope first.so second.so)"
    verdict "a host with a copy, a plug-in with another, one of the shared library, RTLD_${scope^^}" \
        "$(each_its_own copy $scope first.so plain.so)"
done

printf '%s\n' '#pragma GCC visibility push(hidden)' '#include <aistrace.h>' '#pragma GCC visibility pop' \
    'int main(void) { return aistrace_thread_attach() == 0; }' >"$tmp/hidden.c"
verdict "included where all is hidden, the shared library links" \
    "$(compile hidden -O2 "$tmp/hidden.c" -L"$build/lib" -laistrace 2>&1)"
verdict "and so does the archive" "$(compile hidden -O2 "$tmp/hidden.c" "$archive" 2>&1)"
verdicts_end
