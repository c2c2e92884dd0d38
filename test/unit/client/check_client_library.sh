#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The library as it is installed: its symbols, its thread-local storage, loading by dlopen.
set -uo pipefail
cd "$(dirname "$0")/../../.."
build=${BUILD_DIR:-build}
library=$build/lib/libaistrace.so
tmp=$(mktemp -d "${AISTRACE_TEST_ROOT:-/dev/shm}/aistrace-library-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0

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
consumer='^shmring_(reader|window|guard|dir_lock)|^shmring__(open|guard_.*|read_exactly|still_there)$|^(sigaction|raise)(@|$)'
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

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
