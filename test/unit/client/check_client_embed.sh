#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# `make client` and `make install-client` as those use them who want the client library alone: where no library of the
# daemon's is installed, with musl, and for 32 bits. What is installed is then used, and its rings are read.
set -uo pipefail
cd "$(dirname "$0")/../../.."
. test/support/verdict.sh
build=${BUILD_DIR:-build}
tmp=$(mktemp -d "${AISTRACE_TEST_ROOT:-/dev/shm}/aistrace-embed-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS CFLAGS LDFLAGS VARIANT

# The headers of the kernel, and no others: musl and gcc -m32 do not find Debian's.
mkdir "$tmp/kernel"
ln -s /usr/include/linux /usr/include/asm-generic "$tmp/kernel/"
ln -s "/usr/include/$(gcc -print-multiarch)/asm" "$tmp/kernel/asm"
# Whoever includes a header of the daemon's libraries gets these.
for header in uv.h nghttp2/nghttp2.h protobuf-c/protobuf-c.h jansson.h zlib.h seccomp.h microhttpd.h curl/curl.h \
    openssl/ssl.h openssl/err.h openssl/x509.h openssl/evp.h check.h; do
    mkdir -p "$tmp/none/$(dirname $header)"
    echo "#error there is no $header" >"$tmp/none/$header"
done

make_client() { # NAME COMPILER FLAGS TARGET...: what make says when it fails
    local name=$1 compiler=$2 flags=$3
    shift 3
    mkdir -p "$tmp/$name/build"
    make -s -j2 B="$tmp/$name/build" DESTDIR="$tmp/$name/root" PREFIX=/usr PKG_CONFIG=false CC="$compiler" \
        CFLAGS="-O1 -g0 $flags" WERROR="-Werror ${warnings-}" "$@" >"$tmp/make.log" 2>&1 || cat "$tmp/make.log"
}

takes_steps() { # NAME COMPILER FLAGS static|shared: builds a program with what is installed, runs it, reads its rings
    local root=$tmp/$1/root/usr program=$tmp/$1/first_steps-$4 rings=$tmp/rings library
    library=$([ "$4" = static ] && echo "$root/lib/libaistrace.a" || echo "-L$root/lib -laistrace -Wl,-rpath,$root/lib")
    rm -rf "$rings" && mkdir -m 700 "$rings"
    # shellcheck disable=SC2086
    $2 $3 -O2 -Wall -Wextra -Werror -I"$root/include" -o "$program" test/helpers/first_steps.c $library -pthread 2>&1 ||
        return
    AIS_TRACING_DEBUG=1 "$program" "$rings" >"$tmp/output" 2>&1 || { echo "status $?"; cat "$tmp/output"; }
    "$build/test/ring_state" "$rings"/*.ring 2>&1 >"$tmp/state" || echo "ring_state: status $?"
    [ "$(grep -c '^segment' "$tmp/state")" -eq 2 ] || echo "not two segments"
    [ "$(grep -c '^record' "$tmp/state")" -eq 170 ] || echo "$(grep -c '^record' "$tmp/state") records, not 170"
}

embed() { # NAME COMPILER FLAGS
    verdict "$1: make client" "$(make_client "$@" client)"
    verdict "$1: make install-client" "$(make_client "$@" install-client)"
    verdict "$1: a program with the archive" "$(takes_steps "$@" static)"
    verdict "$1: a program with the shared library" "$(takes_steps "$@" shared)"
}

can() { # NAME COMPILER PACKAGE: or says that it cannot be tested
    echo 'int main(void) { return 0; }' >"$tmp/empty.c"
    $2 -o "$tmp/empty" "$tmp/empty.c" >/dev/null 2>&1 && return
    echo "SKIP check_client_embed: $1: needs $3"
    return 1
}

embed alone gcc "-isystem $tmp/none"
installed=$(cd "$tmp/alone/root" && find . ! -type d | sort | tr '\n' ' ')
expected="./usr/include/aistrace.h ./usr/include/aistrace_disabled.h ./usr/include/aistrace_inline.h"
expected+=" ./usr/lib/libaistrace.a ./usr/lib/libaistrace.so ./usr/lib/libaistrace.so.0 "
verdict "alone: what is installed" "$(diff <(echo "$expected") <(echo "$installed"))"
named_but_missing() {
    local include=$tmp/alone/root/usr/include header
    for header in $(grep -hoE '\b[a-z0-9_]+\.h\b' "$include"/*.h | sort -u); do
        if [ -e "client/$header" ] || [ -e "shmring/$header" ]; then
            [ -e "$include/$header" ] || echo "$header"
        fi
    done
}
verdict "alone: no installed header names one of ours that is not installed" "$(named_but_missing)"

if can musl musl-gcc musl-tools; then
    embed musl musl-gcc "-isystem $tmp/kernel"
    verdict "musl: the consumer's part of the ring compiles" \
        "$(make_client musl musl-gcc "-isystem $tmp/kernel" "$tmp/musl/build/lib/libshmring.a")"
fi
if can "32 bits" "gcc -m32" "libc6-dev-i386, lib32gcc-12-dev"; then
    # File sizes have 64 bits there, too, memory sizes 32.
    warnings=-Wno-conversion embed 32-bits "gcc -m32" "-isystem $tmp/kernel"
fi
verdicts_end
