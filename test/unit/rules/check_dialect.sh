#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# One dialect in all of our C, and plain words in all texts. Each row is a Perl pattern that no line may match, and a
# line that it finds: the control.
set -uo pipefail
cd "$(dirname "$0")/../../.."
. test/support/verdict.sh

#   name, pattern, planted line
code=(
    'sizeof(x) has parentheses'
    '\bsizeof +[\w*"&]'
    '    memset(s, 0, sizeof *s);'

    'no pointer: !p'
    '== NULL|\b(if|while) \(.*!= NULL|(&&|\|\|).*!= NULL|!= NULL\)* (&&|\|\|)'
    '    if (p != NULL && *p)'

    'failure: if (err), if (!err)'
    '(\b(if|while) \(|&& |\|\| )(?<![.>])err (<|==|!=|>=) 0\b|(?<![.>\w])err (<|==|!=|>=) 0 (&&|\|\||\?)'
    '    if (err < 0)'

    'an int that says how a call went is called err'
    '\bint error ='
    '    int error = start();'

    'nothing but zero: {0}'
    '[=)] ?\{\.\w+ = (NULL|0|false)\}'
    '    struct buf out = {.data = NULL};'

    'sections: /* ---- name ---- */'
    '^\s*/\* ?(?!---- [^-].* ---- \*/$)[-=*#]{3}'
    '/* ---- name -------------------------------------'

    'sections: no ruler of slashes'
    '^\s*//'
    '// ----'
)
texts=(
    'plain words'
    '\b([Bb]ereft|[Ff]arewells?|to be had|[Mm]end(s|ed|ing)?)\b'
    ' * whom it bids farewell'
)

found() { # PATTERN FILE...: the lines that match
    grep -nHP -- "$@" | cut -c1-200
}

planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
cat >"$planted/good.c" <<'GOOD'
/* ---- a section ---- */
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
    memset(list, 0, sizeof(*list));
    bool more = answer->next != NULL;
    counts->failed += err != 0;
    while (row->err != 0 && row->err != err)
    struct buf out = {0}, other = {.data = bytes};
    {.method = NULL},
    char error[512];
    recommend(amendment);
GOOD
check() { # ROWS FILES: the arrays' names
    local -n rows=$1 files=$2
    local i
    for ((i = 0; i < ${#rows[@]}; i += 3)); do
        verdict "${rows[i]}" "$(found "${rows[i + 1]}" "${files[@]}")"
        printf '%s\n' "${rows[i + 2]}" >"$planted/bad.c"
        verdict "${rows[i]}: a planted line is found" "$([ -n "$(found "${rows[i + 1]}" "$planted/bad.c")" ] || echo "${rows[i + 2]}")"
        verdict "${rows[i]}: other lines are not" "$(found "${rows[i + 1]}" "$planted/good.c")"
    done
}

mapfile -t sources < <(find shmring client daemon test -name '*.[ch]' | LC_ALL=C sort)
mapfile -t pages < <(find shmring client daemon test conf README.md CHANGELOG.md Makefile -type f \
    -not -name "${0##*/}" -not -name '*.png' | LC_ALL=C sort)
check code sources
check texts pages
verdict "there are files" "$([ "${#sources[@]}" -gt 200 ] && [ "${#pages[@]}" -gt 300 ] || echo "${#sources[@]} sources, ${#pages[@]} pages")"

verdicts_end
