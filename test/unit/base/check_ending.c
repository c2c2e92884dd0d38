/* SPDX-License-Identifier: MIT */
#include <check.h>
#include <stdlib.h>

#include "base/ending.h"

static void count(void *user)
{
    ++*(unsigned *)user;
}

START_TEST(the_last_part_ends_it_and_its_owner_is_told_once)
{
    unsigned told = 0;
    struct ending ending = {0};
    ending_hold(&ending, 2);
    ending_hold(&ending, 1);
    ck_assert(ending_begin(&ending, count, &told));
    ck_assert(!ending_release(&ending));
    ck_assert(!ending_release(&ending));
    ck_assert(ending_release(&ending));
    ck_assert_uint_eq(told, 0);
    ending_tell(&ending);
    ck_assert_uint_eq(told, 1);
}
END_TEST

START_TEST(it_begins_once_and_the_first_to_ask_is_told)
{
    unsigned first = 0, second = 0;
    struct ending ending = {0};
    ck_assert(ending_begin(&ending, count, &first));
    ck_assert(!ending_begin(&ending, count, &second));
    ck_assert(ending.begun);
    ending_tell(&ending);
    ck_assert_uint_eq(first, 1);
    ck_assert_uint_eq(second, 0);
}
END_TEST

START_TEST(nobody_need_be_told)
{
    struct ending ending = {0};
    ending_hold(&ending, 1);
    ck_assert(ending_begin(&ending, NULL, NULL));
    ck_assert(ending_release(&ending));
    ending_tell(&ending);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ending");
    TCase *tests = tcase_create("ending");
    tcase_add_test(tests, the_last_part_ends_it_and_its_owner_is_told_once);
    tcase_add_test(tests, it_begins_once_and_the_first_to_ask_is_told);
    tcase_add_test(tests, nobody_need_be_told);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
