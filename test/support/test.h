/* SPDX-License-Identifier: MIT
 *
 * Tests register themselves: a TEST that is written runs, in the order of the file. test.c has the program's main.
 *
 *     FIXTURE(set_up, tear_down);
 *
 *     TEST(a_buffer_grows)
 *     {
 *         ck_assert(...);
 *     }
 *
 *     build/test/unit/base/check_buf           all tests of the file
 *     build/test/unit/base/check_buf grows     those whose names contain "grows"
 *
 * Either way it runs below test/tidy, which leaves nothing of it behind; AISTRACE_TEST_ROOT=/dev/shm runs it without, for
 * a debugger. The variables of libcheck hold: CK_VERBOSITY, CK_FORK, CK_TIMEOUT_MULTIPLIER and others. A test has CK_DEFAULT_TIMEOUT
 * seconds, 180 unless the environment says otherwise; TIMEOUT gives all tests of a file more.
 */
#ifndef TEST_H
#define TEST_H

#include <check.h>

/* What a test cannot do without: else the test ends, and says so, and test/run says so again. */
#define NEEDS(condition, what)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            test_skips(__func__, what);                                                                                \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ADDRESS_SANITIZER true
#else
#define TEST_ADDRESS_SANITIZER false
#endif

#define TEST(name) LOOP_TEST(name, 1)

/* Runs `times` times, each a check of its own, with _i from 0. `times` is evaluated once, before main. */
#define LOOP_TEST(name, times)                                                                                         \
    static const TTest *name;                                                                                          \
    TEST_REGISTERS(name, .test = name, .count = (int)(times))                                                          \
    START_TEST(name)

/* For a LOOP_TEST over a table. */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The tests below this line, up to the next FIXTURE, each run between set_up and tear_down, in the test's process.
 * Either may be NULL. Tests above the first FIXTURE have none. */
#define FIXTURE(set_up, tear_down) TEST_FIXTURE(__LINE__, TEST_FIXTURE_EACH, set_up, tear_down)

/* Beside a FIXTURE: the tests below run a second time with this one. */
#define SECOND_FIXTURE(set_up, tear_down) TEST_FIXTURE(__LINE__, TEST_FIXTURE_SECOND, set_up, tear_down)

/* Once around all tests below, in the program's own process. */
#define FIXTURE_ONCE(set_up, tear_down) TEST_FIXTURE(__LINE__, TEST_FIXTURE_ONCE, set_up, tear_down)

/* For all tests of the file. */
#define TIMEOUT(seconds) TEST_REGISTERS(timeout, .kind = TEST_TIMEOUT, .count = (seconds)) struct test_entry

/* ---- what the macros are made of ---- */

enum test_kind { TEST_TEST, TEST_FIXTURE_EACH, TEST_FIXTURE_SECOND, TEST_FIXTURE_ONCE, TEST_TIMEOUT };

struct test_entry {
    enum test_kind kind;
    int line;
    const TTest *test;
    int count; /* of a test's runs; of a timeout's seconds */
    const char *name;
    SFun set_up, tear_down;
    struct test_entry *next;
};

/* Prints "SKIP test: needs what". */
void test_skips(const char *function, const char *what);

/* Takes the entry, which has to stay. */
void test_register(struct test_entry *entry);

/* The macros that end with `struct test_entry` want a semicolon behind them. */
#define TEST_REGISTERS(name, ...)                                                                                      \
    __attribute__((constructor)) static void name##_registers(void)                                                    \
    {                                                                                                                  \
        static struct test_entry entry;                                                                                \
        entry = (struct test_entry){.line = __LINE__, __VA_ARGS__};                                                    \
        test_register(&entry);                                                                                         \
    }
#define TEST_FIXTURE(line, kind, set_up, tear_down) TEST_FIXTURE_(line, kind, set_up, tear_down)
#define TEST_FIXTURE_(line, which, before, after)                                                                      \
    TEST_REGISTERS(fixture_##line, .kind = which, .name = #before, .set_up = before, .tear_down = after)               \
    struct test_entry

#endif
