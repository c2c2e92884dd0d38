#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# aistrace.h in other people's programs, where it is no system header: no warning, whichever is asked for, in any
# language it is for, at any optimisation, with tracing and with -DAISTRACE_DISABLED; then no symbol of it remains.
set -uo pipefail
cd "$(dirname "$0")/../../.."
. test/support/verdict.sh
tmp=$(mktemp -d "${AISTRACE_TEST_ROOT:-/dev/shm}/aistrace-header-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
source=test/unit/client/every_call.c

languages=("gcc c11" "gcc c17" "gcc c2x" "clang c11" "clang c17" "clang c2x"
           "g++ c++17" "g++ c++20" "g++ c++23" "clang++ c++17" "clang++ c++20" "clang++ c++2b")
of_gcc="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wcast-align=strict -Wundef"
of_gcc+=" -Wformat=2 -Wnull-dereference -Wswitch-enum -Wfloat-equal"
declare -A warnings=(
    [gcc]="$of_gcc -Wc++-compat -Wbad-function-cast -Wstrict-prototypes -Wmissing-prototypes"
    [g++]="$of_gcc -Wold-style-cast -Wuseless-cast -Wzero-as-null-pointer-constant -Wextra-semi"
    [clang]="-Weverything -Wno-padded" # members lie where the processor wants them
    [clang++]="-Weverything -Wno-padded"
)

# A line for each compilation that fails or is not silent, or that leaves a symbol.
try() { # COMPILER STANDARD OPTIMISATION [-DAISTRACE_DISABLED]
    local object language said status=0
    object=$(mktemp "$tmp/XXXXXX.o")
    language=$([[ $1 == *++ ]] && echo c++ || echo c)
    # shellcheck disable=SC2086
    said=$("$1" -x "$language" -std="$2" "${@:3}" ${warnings[$1]-} -Werror -Iclient -g0 -c -o "$object" $source 2>&1) ||
        status=$?
    if [ $status -ne 0 ] || [ ! -s "$object" ] || [ -n "$said" ]; then
        echo "$*: status $status: $said"
    fi
    if [ $# -eq 4 ]; then
        { nm "$object"; strings -a "$object"; readelf -SW "$object"; } | grep -iE 'aistrace|shmring' |
            sed "s|^|$*: a symbol remains: |"
    fi
    rm -f "$object"
}

# Functions that the header declares, by the compiler's own account.
declared() {
    gcc -std=c11 -O0 -aux-info "$tmp/prototypes" -Iclient -fsyntax-only -x c client/aistrace.h &&
        grep -oE 'extern .*' "$tmp/prototypes" | grep -oE '\baistrace_[a-z_]+ ?\(' | tr -d ' (' | sort -u
}
called() { grep -oE '\baistrace_[a-z_]+ ?\(' $source | tr -d ' (' | grep -v '^aistrace_attr_' | sort -u; }
verdict "the source has a call of every function" "$(diff <(declared) <(called))"

for language in "${languages[@]}"; do
    for optimisation in -O0 -O1 -O2 -O3; do
        while [ "$(jobs -pr | wc -l)" -ge 2 ]; do wait -n; done
        # shellcheck disable=SC2086
        { try $language $optimisation; try $language $optimisation -DAISTRACE_DISABLED; } \
            >"$tmp/$language $optimisation" &
    done
done
wait
for language in "${languages[@]}"; do
    verdict "$language" "$(cat "$tmp/$language "*)"
done

# The controls: what the header must not have is seen.
cp -r client/aistrace*.h "$tmp"
printf '%s\n' 'static inline int cast(double value) { return (int)value; }' 'static int aistrace_left = 1;' \
    'int *aistrace_leaves(void);' 'int *aistrace_leaves(void) { aistrace_left = cast(1.5); return &aistrace_left; }' \
    '#include "aistrace.h"' >"$tmp/bad.c"
sees() { # WORDS COMPILER STANDARD...
    (source=$tmp/bad.c && try "${@:2}") | grep -q "$1" || echo "it is not"
}
verdict "a compiler that is not there is seen" "$(sees 'status 127' no-compiler c11 -O0)"
verdict "a cast in C's way is seen by g++" "$(sees old-style-cast g++ c++17 -O2)"
verdict "and by clang++" "$(sees old-style-cast clang++ c++17 -O2)"
verdict "a symbol that remains is seen" "$(sees remains gcc c11 -O0 -DAISTRACE_DISABLED)"

# shellcheck disable=SC2016
program='int use_everything(const char *, char *);'
program+=' int main(void) { char out[600]; return use_everything("", out) > 0; }'
links() {
    gcc -O0 -DAISTRACE_DISABLED -Iclient -o "$tmp/program" -x c - $source <<<"$program" && "$tmp/program" ||
        echo "status $?"
}
verdict "disabled, a program links without the library" "$(links 2>&1)"
verdicts_end
