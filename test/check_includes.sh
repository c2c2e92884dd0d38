#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Who may include whom. Every source file belongs to a row of the table; a new file of the daemon needs one.
#
#   files                 may include headers of                  libraries besides libc    libc headers it must not have
#   (first match wins)    (rows by name)                          (- none)                  (- any)
#
# In the daemon: L0 <- L1 (pure: bytes in, bytes out, time is an argument) <- L2 (libuv) <- L3. One owner per library.
set -uo pipefail
cd "$(dirname "$0")/.."

io='unistd|fcntl|poll|netdb|time|pthread|sys/(socket|epoll|mman|stat|inotify|eventfd)'
table=$(cat <<TABLE
shmring  shmring/*                                                      shmring                            -                             -
facade   client/aistrace*.h                                             facade                             -                             -
record   client/span_format.h                                           -                                  -                             $io
client   client/*                                                       client facade record shmring       -                             -
L0       daemon/(log|stats|buf|secret|plain_file|file_watch).*          L0 shmring grpc                    -                             -
config   daemon/config*                                                 L0 L1 config                       jansson                       -
grpc     daemon/grpc*                                                   grpc                               protobuf-c                    $io
gzip     daemon/gzip*                                                   L0 gzip                            zlib                          $io
h2       daemon/h2*                                                     L0 L1 h2 grpc                      nghttp2                       $io
tls      daemon/tls*                                                    L0 L1 tls                          openssl                       -
L1       daemon/(record_decode|sampler|batch|delivery|poll_pace|otlp_|key_set|utf8|backoff|proxy)*  L0 L1 record                      -                             $io
format   daemon/spool_format*                                           L0 format shmring                  -                             $io
L2       daemon/(source|discovery|timer_grid|segment|tenant|totals|dial|tunnel|keepalive|conn|uplink|exporter|spool|admin)*  L0 L1 config grpc gzip h2 tls L2 format record shmring uv         -
harden   daemon/harden*                                                 L0 harden shmring                  seccomp                       -
L3       daemon/(daemon|aistraced)*                                     L0 L1 config grpc h2 tls L2 L3 harden shmring uv                 -
store    daemon/endpoint/(store|hash|wire)*                             L0 store                           protobuf-c                    $io
spans    daemon/endpoint/(text|otlp_json|trace_lines|ingest|grpc_server)*  L0 grpc store spans             nghttp2|protobuf-c            $io
api      daemon/endpoint/(attribute|trace_query|trace_search|trace_summary|jaeger)*  L0 store spans api  protobuf-c|jansson  $io
endpoint daemon/endpoint/*                                              L0 store spans api endpoint        uv|protobuf-c|microhttpd      -
cli      daemon/cli/*                                                   L0 store spans api endpoint cli facade  uv|curl|jansson  -
common   test/playground/node/(names|checksum)*                         common                             -                             -
node     test/playground/node/*                                         node common facade                 microhttpd|curl|jansson       -
ais      test/playground/cli/*                                          ais common facade                  curl|jansson                  -
TABLE
)
columns='^([^ ]+) +([^ ]+) +([a-zA-Z0-9 -]*[a-zA-Z0-9-]) +([^ ]+) +([^ ]+)$'
libc='(assert|cpuid|ctype|dirent|endian|err|errno|fcntl|fenv|float|getopt|glob|grp|inttypes|limits|link|locale|math|netdb'
libc+='|poll|pthread|pwd|sched|search|semaphore|setjmp|signal|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib'
libc+='|stdnoreturn|string|strings|syslog|termios|time|uchar|unistd|wchar|(sys|netinet|arpa|net|linux|asm)/[a-z0-9_/]+)'

names=() globs=() owns=() libraries=() denied=()
while IFS= read -r row; do
    [[ $row =~ $columns ]] || { echo "check_includes: bad row: $row"; exit 1; }
    names+=("${BASH_REMATCH[1]}") globs+=("${BASH_REMATCH[2]}") owns+=("${BASH_REMATCH[3]}")
    libraries+=("${BASH_REMATCH[4]}") denied+=("${BASH_REMATCH[5]}")
done <<<"$table"

row_of() { # FILE -> number of its row in $row, or failure
    for row in "${!globs[@]}"; do
        local pattern=${globs[row]//./\\.}
        [[ $1 =~ ^${pattern//\*/[^/]*}$ ]] && return 0
    done
    return 1
}

owner_file() { # HEADER INCLUDER -> the repository's file of that name, or nothing
    local folder
    for folder in "$(dirname "$2")" shmring client daemon daemon/endpoint daemon/cli; do
        [ -e "$folder/$1" ] && { realpath --relative-to=. "$folder/$1"; return; }
    done
}

check_line() { # FILE HEADER: prints what is wrong with it
    local file=$1 header=$2 own stem
    row_of "$file" || return
    local mine=$row
    own=$(owner_file "$header" "$file")
    stem=${header%.h}
    if [ -n "$own" ]; then
        row_of "$own" || { echo "$file: $header: $own has no row"; return; }
        [[ " ${owns[mine]} " == *" ${names[row]} "* ]] || echo "$file: ${names[mine]} must not include $own (${names[row]})"
    elif [[ $header == *.pb-c.h ]]; then
        [[ protobuf-c =~ ^(${libraries[mine]})$ ]] || echo "$file: ${names[mine]} must not include $header"
    elif [[ $stem =~ ^($libc)$ ]]; then
        if [[ ${denied[mine]} != - && $stem =~ ^(${denied[mine]})$ ]]; then
            echo "$file: ${names[mine]} is pure and must not include <$header>"
        fi
    else
        [[ ${header%%/*} =~ ^(${libraries[mine]})(\.h|_.*)?$ ]] || echo "$file: ${names[mine]} must not include <$header>"
    fi
}

check_tree() { # in the current directory: prints every violation
    local file header
    while IFS= read -r file; do
        if ! row_of "$file"; then
            echo "$file: in no row of the table in test/check_includes.sh"
            continue
        fi
        while IFS= read -r header; do
            check_line "$file" "$header"
        done < <(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"].*/\1/p' "$file")
    done < <(find shmring client daemon test/playground -name '*.[ch]' 2>/dev/null | LC_ALL=C sort)
}

passed=0 failed=0
verdict() { # NAME PROBLEMS: ok when PROBLEMS is empty
    if [ -z "$2" ]; then
        passed=$((passed + 1))
        echo "ok   $1"
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n%s\n' "$1" "$2"
    fi
}

verdict "includes keep the layers" "$(check_tree)"

headers_stand_alone() {
    local header
    for header in shmring/*.h client/*.h daemon/*.h daemon/endpoint/*.h; do
        [ -e "$header" ] && [[ $header != client/aistrace_@(disabled|inline).h ]] || continue # parts of aistrace.h
        gcc -std=c17 -D_GNU_SOURCE -fsyntax-only -Wall -Ishmring -Iclient -Idaemon -Ibuild/gen -include "$header" \
            -x c /dev/null 2>&1 | head -n 5
        [ "${PIPESTATUS[0]}" -eq 0 ] || echo "$header does not compile alone"
    done
}
verdict "every header compiles alone" "$(headers_stand_alone)"

# The check must be able to fail: each planted line has to be found, and nothing else.
plant() { # FILE INCLUDE-LINE -> problems when it is not found
    local planted
    planted=$(mktemp -d)
    mkdir -p "$planted"/{shmring,client,daemon/endpoint,daemon/cli,test/playground/node}
    touch "$planted"/shmring/shmring.h "$planted"/client/{aistrace,span_format}.h
    touch "$planted"/daemon/{buf,batch,h2,config,source,exporter,daemon}.h "$planted"/daemon/endpoint/store.h
    [ -z "$(cd "$planted" && check_tree)" ] || echo "the clean tree is refused"
    echo "$2" >>"$planted/$1"
    [ "$(cd "$planted" && check_tree | wc -l)" -eq 1 ] || echo "not found: $1: $2"
    rm -rf "$planted"
}
while IFS='|' read -r file line; do
    verdict "a planted violation is found: $file: $line" "$(plant "$file" "$line")"
done <<'PLANTED'
shmring/segment.c|#include <uv.h>
shmring/segment.c|#include "aistrace.h"
client/span.c|#include "buf.h"
client/span.c|#include <zlib.h>
client/aistrace.h|#include "shmring.h"
daemon/buf.c|#include "batch.h"
daemon/batch.c|# include <uv.h>
daemon/batch.c|#include "source.h"
daemon/batch.c|#include <time.h>
daemon/exporter.c|#include <nghttp2/nghttp2.h>
daemon/exporter.c|#include "daemon.h"
daemon/source.c|#include <jansson.h>
daemon/source.c|#include "opentelemetry/proto/trace/v1/trace.pb-c.h"
daemon/h2.c|#include <openssl/ssl.h>
daemon/source.c|#include "aistrace.h"
daemon/endpoint/store.c|#include <nghttp2/nghttp2.h>
daemon/daemon.c|#include "store.h"
daemon/novelty.c|
test/playground/node/node.c|#include "shmring.h"
PLANTED

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
