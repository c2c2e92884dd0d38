/* SPDX-License-Identifier: MIT */
#include "batch/delivery.h"
#include "support/test.h"

enum { DELIVERIES = 5 };

static struct delivery items[DELIVERIES];
static struct delivery_list list, ages;

static void set_up(void)
{
    list = (struct delivery_list){.order = DELIVERY_BY_STATE};
    ages = (struct delivery_list){.order = DELIVERY_BY_AGE};
    for (size_t i = 0; i < DELIVERIES; i++)
        items[i] = (struct delivery){0};
}

FIXTURE(set_up, NULL);

/* order: a digit an item */
static void list_is(const struct delivery_list *got, const char *order)
{
    const struct delivery *previous = NULL, *item = got->head;
    size_t count = 0;
    for (; order[count]; count++) {
        ck_assert_ptr_eq(item, &items[order[count] - '0']);
        ck_assert_ptr_eq(item->in[got->order].previous, previous);
        previous = item;
        item = item->in[got->order].next;
    }
    ck_assert_ptr_null(item);
    ck_assert_ptr_eq(got->tail, previous);
    ck_assert_uint_eq(got->count, count);
}

TEST(what_is_appended_comes_last)
{
    list_is(&list, "");
    for (size_t i = 0; i < 3; i++)
        delivery_append(&list, &items[i]);
    list_is(&list, "012");
}

LOOP_TEST(any_can_be_removed, 4)
{
    static const char *const left[] = {"123", "023", "013", "012"};
    for (size_t i = 0; i < 4; i++)
        delivery_append(&list, &items[i]);
    delivery_remove(&list, &items[_i]);
    list_is(&list, left[_i]);
    ck_assert_ptr_null(items[_i].in[DELIVERY_BY_STATE].previous);
    ck_assert_ptr_null(items[_i].in[DELIVERY_BY_STATE].next);
    for (size_t i = 0; i < 4; i++)
        if (i != (size_t)_i)
            delivery_remove(&list, &items[i]);
    list_is(&list, "");
}

TEST(those_of_the_same_time_keep_their_order)
{
    static const uint64_t times[DELIVERIES] = {20, 10, 20, 30, 10};
    for (size_t i = 0; i < DELIVERIES; i++) {
        items[i].at_ms = times[i];
        delivery_insert_by_time(&list, &items[i]);
    }
    list_is(&list, "14023");
}

TEST(the_two_lists_of_one_do_not_meet)
{
    for (size_t i = 0; i < 3; i++) {
        delivery_append(&list, &items[2 - i]);
        delivery_append(&ages, &items[i]);
    }
    delivery_remove(&list, &items[1]);
    list_is(&list, "20");
    list_is(&ages, "012");
}
