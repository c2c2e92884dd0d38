#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# support/test.h: a test that is written runs, in the order of the file, and one that fails fails its program.
set -uo pipefail
cd "$(dirname "$0")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CK_VERBOSITY=normal

cat >"$work/check_sample.c" <<'SAMPLE'
#include <stdio.h>
#include <unistd.h>

#include "support/test.h"

static void note(char what)
{
    write(1, &what, 1);
}

static void before(void)
{
    note('(');
}

static void before_too(void)
{
    note('[');
}

static void after(void)
{
    note(')');
}

TEST(first)
{
    note('1');
}

FIXTURE(before, after);

TEST(second)
{
    note('2');
}

LOOP_TEST(thrice, COUNT("ab"))
{
    note((char)('a' + _i));
}

FIXTURE(before, NULL);
SECOND_FIXTURE(before_too, after);

TEST(under_both)
{
    note('3');
}

FIXTURE_ONCE(before, after);

TEST(around_all)
{
    note('4');
}

TEST(around_all_too)
{
    note('5');
}

#ifdef FAILING
TEST(it_fails)
{
    ck_assert_int_eq(1, 2);
}
#endif
#ifdef HANGING
TIMEOUT(1);

TEST(it_hangs)
{
    pause();
}
#endif
SAMPLE

build() { # NAME FLAGS...
    "${CC:-cc}" -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-result -iquote test "${@:2}" -o "$work/$1" \
        "$work/check_sample.c" test/support/test.c $(pkg-config --cflags --libs check) || exit 1
}
build check_sample
build check_failing -DFAILING
build check_hanging -DHANGING

passed=0 failed=0
expect() { # NAME STATUS PATTERN COMMAND...: the command's status, and a line of its output
    local name=$1 status=$2 pattern=$3 said got
    shift 3
    said=$("$@" 2>&1)
    got=$?
    if [ "$got" -eq "$status" ] && grep -qE -- "$pattern" <<<"$said"; then
        passed=$((passed + 1))
        echo "ok   $name"
    else
        failed=$((failed + 1))
        printf 'FAIL %s: status %s\n%s\n' "$name" "$got" "$said"
    fi
}

for fork in yes no; do # each test in a process of its own, or all in one
    export CK_FORK=$fork
    expect "all tests are counted (CK_FORK=$fork)" 0 '100%: Checks: 9, Failures: 0, Errors: 0$' "$work/check_sample"
    expect "a test that fails fails the program (CK_FORK=$fork)" 1 '90%: Checks: 10, Failures: 1, Errors: 0$' "$work/check_failing"
done
expect "tests run in the order of the file, each in its fixture" 0 '^1\(2\)\(a\)\(b\)\(c\)\(3\[3\)\(45\)' \
    sh -c "CK_FORK=no '$work/check_sample' | grep -v Running"
unset CK_FORK
expect "a test that hangs is ended" 1 'Checks: 10, Failures: 0, Errors: 1$' "$work/check_hanging"
expect "a part of a name chooses the tests that have it" 0 '100%: Checks: 5, Failures: 0, Errors: 0$' "$work/check_sample" h
expect "a part that no name has is an error" 1 'no test has "nonsense"' "$work/check_sample" nonsense
expect "CK_VERBOSITY is honoured" 0 'check_sample.c:[0-9]+:P:.*:second:0: Passed' env CK_VERBOSITY=verbose "$work/check_sample"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
