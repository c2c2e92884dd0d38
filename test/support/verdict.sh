# SPDX-License-Identifier: MIT
# For scripts of rules: counts what passed and failed. The last line of a script is `verdicts_end`.

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

# Ends the script, aloud, where the build is a sanitizer's or for coverage.
needs_shipped_build() { # REASON
    [ "${BUILD_DIR:-build}" = build ] && return
    echo "SKIP $(basename "$0" .sh): $1"
    verdict "nothing to test here" ""
    verdicts_end
    exit
}

verdicts_end() { # -> 0 when nothing failed
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
