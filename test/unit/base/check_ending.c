/* SPDX-License-Identifier: MIT */

#include "base/ending.h"
#include "support/test.h"

static void count(void *user)
{
    ++*(unsigned *)user;
}

TEST(the_last_part_ends_it_and_its_owner_is_told_once)
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

TEST(it_begins_once_and_the_first_to_ask_is_told)
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

TEST(nobody_need_be_told)
{
    struct ending ending = {0};
    ending_hold(&ending, 1);
    ck_assert(ending_begin(&ending, NULL, NULL));
    ck_assert(ending_release(&ending));
    ending_tell(&ending);
}
