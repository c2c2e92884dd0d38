/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char place[] = "AISTRACE_TEST_ROOT";

void test_skips(const char *function, const char *what)
{
    const char *end = strstr(function, "_fn"); /* libcheck's, of a test's function */
    printf("SKIP %.*s: needs %s\n", (int)(end ? end - function : (ptrdiff_t)strlen(function)), function, what);
}

static struct test_entry *entries; /* by line: constructors may run in any order */

void test_register(struct test_entry *entry)
{
    struct test_entry **at = &entries;
    while (*at && (*at)->line <= entry->line)
        at = &(*at)->next;
    entry->next = *at;
    *at = entry;
}

static int timeout_seconds(void)
{
    int seconds = 0;
    for (const struct test_entry *entry = entries; entry; entry = entry->next)
        if (entry->kind == TEST_TIMEOUT)
            seconds = entry->count;
    return seconds;
}

static TCase *add_case(Suite *suite, const char *name, const struct test_entry *fixture)
{
    TCase *tcase = tcase_create(name);
    if (timeout_seconds())
        tcase_set_timeout(tcase, timeout_seconds());
    if (fixture && fixture->kind == TEST_FIXTURE_ONCE)
        tcase_add_unchecked_fixture(tcase, fixture->set_up, fixture->tear_down);
    else if (fixture)
        tcase_add_checked_fixture(tcase, fixture->set_up, fixture->tear_down);
    suite_add_tcase(suite, tcase);
    return tcase;
}

/* Those whose name contains `part`. -> how many tests there are */
static unsigned add_tests(Suite *suite, const char *program, const char *part)
{
    TCase *tcase = add_case(suite, program, NULL), *second = NULL;
    unsigned added = 0;
    for (const struct test_entry *entry = entries; entry; entry = entry->next) {
        switch (entry->kind) {
        case TEST_TEST:
            if (!strstr(entry->test->name, part))
                break;
            added++;
            tcase_add_loop_test(tcase, entry->test, 0, entry->count);
            if (second)
                tcase_add_loop_test(second, entry->test, 0, entry->count);
            break;
        case TEST_FIXTURE_EACH:
        case TEST_FIXTURE_ONCE:
            tcase = add_case(suite, entry->name, entry);
            second = NULL;
            break;
        case TEST_FIXTURE_SECOND:
            second = add_case(suite, entry->name, entry);
            break;
        case TEST_TIMEOUT:
            break;
        }
    }
    return added;
}

static void run_below_tidy(int argc, char **argv)
{
    char **all = calloc((size_t)argc + 2, sizeof(*all));
    all[0] = "test/tidy";
    memcpy(all + 1, argv, (size_t)argc * sizeof(*all));
    execv(all[0], all);
    perror("test/tidy, to be run from the root of the repository");
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    if (!getenv(place))
        run_below_tidy(argc, argv);
    const char *program = strrchr(argv[0], '/');
    program = program ? program + 1 : argv[0];
    const char *part = argc > 1 ? argv[1] : "";
    setenv("CK_DEFAULT_TIMEOUT", "180", 0); /* libcheck's own 4 s would fail a test on a busy machine */
    Suite *suite = suite_create(program);
    SRunner *runner = srunner_create(suite);
    if (!add_tests(suite, program, part)) {
        fprintf(stderr, "%s: no test has \"%s\" in its name\n", program, part);
        srunner_free(runner);
        return EXIT_FAILURE;
    }
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
