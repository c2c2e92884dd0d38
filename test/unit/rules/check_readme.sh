#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Tests that test/PROOFS.md names as `PROGRAM: TEST` are there: in PROGRAM.c, .py, a script, or as a file of a directory.
# Links lead somewhere. Pages name no program that has ended, and no command that needs a port of a playground that runs.
set -uo pipefail
cd "$(dirname "$0")/../.."
. support/verdict.sh

named() { # PAGE -> "PROGRAM TEST" lines
    grep -oE '`(check_|e2e/|configs/)[a-z0-9_/]+: [a-z0-9_]+`' "$1" | tr -d '`:'
}

missing() { # PAGE: prints what is named and not there
    named "$1" | while read -r program name; do
        [ -e "$program/$name.json" ] && continue
        grep -qsE "(TEST\(|def )$name[(),]" "$program" unit/*/"$program".{c,py} && continue
        echo "$program: $name"
    done
}

# Images of Jaeger 1 are no longer maintained; version 2 is jaegertracing/jaeger, and takes OTLP as it is.
ended() { # PAGE...: prints the lines
    grep -hE 'jaegertracing/(all-in-one|jaeger-[a-z])|COLLECTOR_OTLP_ENABLED' "$@"
}

# The playground's endpoint listens where Jaeger wants to: within the commands of one block, `make kill` comes first.
ports_held() { # PAGE...: prints the lines
    awk '!/^    / { killed = 0 } /^    make kill$/ { killed = 1 } /^    .*docker run .*-p (4317|16686):/ && !killed' "$@"
}

# What a page links to in the repository is there.
broken_links() { # PAGE...: prints "PAGE: TARGET"
    local page target
    for page in "$@"; do
        grep -oE '\]\([^)# ]+' "$page" | cut -c3- | grep -vE '^[a-z]+:' | while read -r target; do
            [ -e "$(dirname "$page")/$target" ] || echo "$page: $target"
        done
    done
}

verdict "tests that are named are there" "$(missing PROOFS.md)"
verdict "the tables are read" "$([ "$(named PROOFS.md | wc -l)" -ge 150 ] || echo "only $(named PROOFS.md | wc -l) names")"

planted=$(mktemp)
trap 'rm -f "$planted"' EXIT
echo '| fact | `check_config: no_such_test`, `configs/sound: empty_object`, `e2e/test_reload: test_nothing` |' >"$planted"
verdict "a test that is missing is found" \
    "$(diff <(missing "$planted") <(printf 'check_config: no_such_test\ne2e/test_reload: test_nothing\n'))"

mapfile -t pages < <(find .. -name '*.md' -not -path '../build/*')
verdict "links lead somewhere" "$(broken_links "${pages[@]}")"
printf '[a](no/such.md), [b](https://localhost/), [c](%s#part), [d](#part)\n' "${planted##*/}" >"$planted"
verdict "a link that leads nowhere is found" "$(diff <(broken_links "$planted") <(echo "$planted: no/such.md"))"
verdict "no page names an image of Jaeger 1" "$(ended "${pages[@]}")"
verdict "the pages are read" "$([ "${#pages[@]}" -ge 5 ] || echo "only ${#pages[@]} pages")"
echo 'docker run jaegertracing/all-in-one:latest' >"$planted"
verdict "an image of Jaeger 1 is found" "$([ -n "$(ended "$planted")" ] || echo "not found")"
verdict "Jaeger is started when its ports are free" "$(ports_held "${pages[@]}")"
printf '    make kill\n    docker run -p 4317:4317 a\n\n    docker run -p 4317:4317 b\n' >"$planted"
verdict "a Jaeger without its ports is found" "$(diff <(ports_held "$planted") <(echo '    docker run -p 4317:4317 b'))"

verdicts_end
