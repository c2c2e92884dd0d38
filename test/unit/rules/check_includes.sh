#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Who may include whom. Every source file belongs to a row of the table; a new file of the daemon needs one.
#
#   files                 may include headers of                  libraries besides libc    libc headers it must not have
#   (first match wins)    (rows by name)                          (- none)                  (- any)
#
# The rows stand in the order of the layers, and a row may include those above it. One owner for each library.
set -uo pipefail
cd "$(dirname "$0")/../../.."
. test/support/verdict.sh

io='unistd|fcntl|poll|netdb|time|pthread|sys/(socket|epoll|mman|stat|inotify|eventfd)'
table=$(cat <<TABLE
shmring   shmring/*                               shmring                                                                                      -                                                      -
facade    client/aistrace*.h                      facade                                                                                       -                                                      -
record    client/span_format.h                    -                                                                                            -                                                      $io
client    client/*                                client facade record shmring                                                                 -                                                      -
base      daemon/base/*                           base shmring                                                                                 -                                                      -
span      daemon/span/*                           span record base                                                                             -                                                      $io
batch     daemon/batch/*                          batch span base                                                                              -                                                      $io
grpc      daemon/grpc/*                           grpc base                                                                                    nghttp2|protobuf-c|zlib                                $io
tls       daemon/tls/*                            tls base                                                                                     openssl                                                -
config    daemon/config/*                         config span base                                                                             jansson                                                -
proxy     daemon/net/proxy*                       proxy base                                                                                   -                                                      $io
net       daemon/net/*                            net proxy tls grpc base                                                                      uv                                                     -
ring      daemon/ring/*                           ring batch span shmring base                                                                 uv                                                     -
format    daemon/spool/spool_format*              format shmring base                                                                          -                                                      $io
spool     daemon/spool/*                          spool format batch config shmring base                                                       uv                                                     -
http      daemon/admin/admin_http*                http base                                                                                    -                                                      $io
metrics   daemon/admin/metrics*                   metrics grpc base                                                                            -                                                      $io
admin     daemon/admin/*                          admin metrics http config base                                                               uv                                                     -
backoff   daemon/export/backoff*                  backoff base                                                                                 -                                                      $io
export    daemon/export/*                         export backoff net proxy tls grpc config batch base                                          uv                                                     -
pace      daemon/source/(poll_pace|losses)*       pace base                                                                                    -                                                      $io
source    daemon/source/*                         source pace export spool ring config batch span shmring base                                 uv                                                     -
process   daemon/process/*                        process export spool config shmring base                                                     seccomp                                                -
daemon    daemon/*                                daemon process source export admin metrics config base                                             uv                                                     -
otlp      daemon/endpoint/otlp/*                  otlp base                                                                                    protobuf-c                                             $io
store     daemon/endpoint/store/*                 store otlp                                                                                   -                                                      $io
traces    daemon/endpoint/traces/*                traces store otlp base                                                                       protobuf-c|jansson                                     $io
jaeger    daemon/endpoint/jaeger/*                jaeger traces store otlp base                                                                -                                                      $io
endpoint  daemon/endpoint/*                       endpoint jaeger traces store otlp grpc base                                                  uv|nghttp2|protobuf-c|microhttpd|zlib|openssl          -
inspect   daemon/inspect/*                        inspect ring span record shmring base                                                        -                                                      -
cli       daemon/cli/*                            cli endpoint store otlp inspect export net tls grpc config facade client base                uv|curl|jansson                                        -
common    test/playground/node/(names|checksum)*  common                                                                                       -                                                      -
node      test/playground/node/*                  node common facade                                                                           microhttpd|curl|jansson                                -
ais       test/playground/cli/*                   ais common facade                                                                            curl|jansson                                           -
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
    for folder in "$(dirname "$2")" shmring client daemon; do
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
            echo "$file: in no row of the table in test/unit/rules/check_includes.sh"
            continue
        fi
        while IFS= read -r header; do
            check_line "$file" "$header"
        done < <(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"].*/\1/p' "$file")
    done < <(find shmring client daemon test/playground -name '*.[ch]' 2>/dev/null | LC_ALL=C sort)
}

verdict "includes keep the layers" "$(check_tree)"

headers_stand_alone() {
    local header
    for header in shmring/*.h client/*.h daemon/*.h daemon/*/*.h daemon/*/*/*.h; do
        [ -e "$header" ] && [[ $header != client/aistrace_@(disabled|inline).h ]] || continue # parts of aistrace.h
        gcc -std=c17 -D_GNU_SOURCE -fsyntax-only -Wall -iquote daemon -iquote shmring -Iclient -Ibuild/gen -include "$header" \
            -x c /dev/null 2>&1 | head -n 5
        [ "${PIPESTATUS[0]}" -eq 0 ] || echo "$header does not compile alone"
    done
}
verdict "every header compiles alone" "$(headers_stand_alone)"

# The check must be able to fail: each planted line has to be found, and nothing else.
plant() { # FILE INCLUDE-LINE -> problems when it is not found
    local planted
    planted=$(mktemp -d)
    mkdir -p "$planted"/{shmring,client,test/playground/node}
    mkdir -p "$planted"/daemon/{base,batch,grpc,config,source,export,cli,endpoint/store}
    touch "$planted"/shmring/shmring.h "$planted"/client/{aistrace,span_format}.h "$planted"/daemon/daemon.h
    touch "$planted"/daemon/{base/buf,batch/batch,grpc/h2,config/config,source/source,export/exporter}.h
    touch "$planted"/daemon/endpoint/store/store.h
    [ -z "$(cd "$planted" && check_tree)" ] || echo "the clean tree is refused"
    mkdir -p "$planted/${1%/*}"
    echo "$2" >>"$planted/$1"
    [ "$(cd "$planted" && check_tree | wc -l)" -eq 1 ] || echo "not found: $1: $2"
    rm -rf "$planted"
}
while IFS='|' read -r file line; do
    verdict "a planted violation is found: $file: $line" "$(plant "$file" "$line")"
done <<'PLANTED'
shmring/segment.c|#include <uv.h>
shmring/segment.c|#include "aistrace.h"
client/span.c|#include "base/buf.h"
client/span.c|#include <zlib.h>
client/aistrace.h|#include "shmring.h"
daemon/base/buf.c|#include "batch/batch.h"
daemon/batch/batch.c|# include <uv.h>
daemon/batch/batch.c|#include "source/source.h"
daemon/batch/batch.c|#include <time.h>
daemon/export/exporter.c|#include <nghttp2/nghttp2.h>
daemon/export/exporter.c|#include "daemon.h"
daemon/source/source.c|#include <jansson.h>
daemon/source/source.c|#include "opentelemetry/proto/trace/v1/trace.pb-c.h"
daemon/grpc/h2.c|#include <openssl/ssl.h>
daemon/source/source.c|#include "aistrace.h"
daemon/endpoint/store/store.c|#include <nghttp2/nghttp2.h>
daemon/daemon.c|#include "endpoint/store/store.h"
daemon/novelty/new.c|
test/playground/node/node.c|#include "shmring.h"
PLANTED

verdicts_end
