#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The hot path makes no system call and no allocation, from an empty ring to a full one that nobody drains.
set -uo pipefail
cd "$(dirname "$0")/../../.."
build=${BUILD_DIR:-build}
dir=$(mktemp -d "${AISTRACE_TEST_ROOT:-/dev/shm}/aistrace-quiet-XXXXXX")
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

check() { # NAME CONDITION...
    local name=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: $name"; fi
}

# System calls of the thread that wrote BEGIN, from there to its END.
between() { # STRACE_OUTPUT
    awk '/"BEGIN\\n"/ { on = 1; thread = $1; next } /"END\\n"/ { on = 0 } on && $1 == thread' "$1"
}

mkdir -m 700 "$dir/ring"
output=$("$build/test/client_quiet" "$dir/ring" | tail -n 1)
read -r _ allocations _ attempted _ committed _ ring_full <<<"$output"
check "the helper ran: $output" [ "${attempted:-0}" -eq 100002 ]
check "the ring was filled: $output" [ "${ring_full:-0}" -gt 50000 ]
check "every span is committed or counted: $output" [ "$((${committed:-0} + ${ring_full:-0}))" -eq 100002 ]
check "no allocation between the first span and the last: $output" [ "${allocations:-1}" -eq 0 ]

if ! strace -o /dev/null true 2>/dev/null; then
    echo "SKIP check_client_quiet: needs strace that can trace"
else
    strace -f -o "$dir/calls" "$build/test/client_quiet" "$dir/ring" >/dev/null
    check "both markers were seen" [ "$(grep -cE '"(BEGIN|END)\\n"' "$dir/calls")" -eq 2 ]
    between "$dir/calls" >"$dir/between"
    check "no system call between the first span and the last: $(head -n 3 "$dir/between")" [ ! -s "$dir/between" ]
    # The control: the filter does see calls where there are some.
    sed '/"BEGIN\\n"/{p;s/write.*/getpid() = 1/}' "$dir/calls" >"$dir/spoiled"
    check "a system call would have been seen" [ "$(between "$dir/spoiled" | wc -l)" -eq 1 ]
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
