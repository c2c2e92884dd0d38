#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# No file calls a file that calls it back, over however many files between. What a file calls is what its object leaves
# undefined and another object defines (nm); so calls by pointer, the way up, are not in it. tsort finds the circles.
set -uo pipefail
cd "$(dirname "$0")/../../.."
build=${BUILD_DIR:-build}
. test/support/verdict.sh

calls() { # OBJECT...: prints "CALLER CALLED" for each pair of objects
    nm -A -P -g "$@" | awk '
        { object = $1; sub(/:$/, "", object); sub(/^.*obj\//, "", object); sub(/\.o$/, ".c", object) }
        $3 == "U" { if (!((object, $2) in wanted)) { wanted[object, $2]; order[++n] = object SUBSEP $2 } next }
        { definer[$2] = object }
        END {
            for (i = 1; i <= n; i++) {
                split(order[i], part, SUBSEP)
                if (part[2] in definer && definer[part[2]] != part[1]) print part[1], definer[part[2]]
            }
        }' | sort -u
}

circles() { # OBJECT...: prints the members of each circle, a line a circle
    calls "$@" | tsort 2>&1 >/dev/null | sed 's/^tsort: //' | awk '
        /input contains a loop/ { if (line) print line; line = ""; next }
        { line = line (line ? " -> " : "") $0 }
        END { if (line) print line }'
}

objects=()
while IFS= read -r source; do
    object=$build/obj/${source%.c}.o
    [ -e "$object" ] || { verdict "$object is built" "it is not: make tests-built"; continue; }
    objects+=("$object")
done < <(find shmring client daemon -name '*.c' | LC_ALL=C sort)
verdict "no file calls a file that calls it back" "$(circles "${objects[@]}")"
verdict "calls are seen" "$([ "$(calls "${objects[@]}" | wc -l)" -ge 300 ] || calls "${objects[@]}" | wc -l)"

# The check must be able to fail: three planted files that call each other in a circle, and the same without the last call.
plant() { # WHAT-C-CALLS: prints the circles of a -> b -> c -> WHAT-C-CALLS
    local planted file
    planted=$(mktemp -d)
    mkdir "$planted/obj"
    echo 'void b(void); void a(void); void a(void) { b(); }' >"$planted/a.c"
    echo 'void c(void); void b(void); void b(void) { c(); }' >"$planted/b.c"
    echo "void $1(void); void c(void); void c(void) { $1(); }" >"$planted/c.c"
    for file in a b c; do gcc -c -o "$planted/obj/$file.o" "$planted/$file.c" || echo "$file.c does not compile"; done
    circles "$planted"/obj/*.o
    rm -rf "$planted"
}
verdict "a planted call back is found" "$([[ $(plant a) =~ (a.c.*b.c.*c.c|b.c.*c.c.*a.c|c.c.*a.c.*b.c) ]] || plant a)"
verdict "a call of a library is none" "$(plant elsewhere)"

verdicts_end
