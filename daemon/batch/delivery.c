/* SPDX-License-Identifier: MIT */
#include "delivery.h"

static struct delivery **forward(struct delivery_list *list, struct delivery *from)
{
    return from ? &from->in[list->order].next : &list->head;
}

static struct delivery **backward(struct delivery_list *list, struct delivery *from)
{
    return from ? &from->in[list->order].previous : &list->tail;
}

static void insert_behind(struct delivery_list *list, struct delivery *before, struct delivery *delivery)
{
    struct delivery *after = *forward(list, before);
    delivery->in[list->order] = (struct delivery_neighbours){before, after};
    *forward(list, before) = delivery;
    *backward(list, after) = delivery;
    list->count++;
}

void delivery_append(struct delivery_list *list, struct delivery *delivery)
{
    insert_behind(list, list->tail, delivery);
}

void delivery_insert_by_time(struct delivery_list *list, struct delivery *delivery)
{
    struct delivery *before = list->tail;
    while (before && before->at_ms > delivery->at_ms)
        before = before->in[list->order].previous;
    insert_behind(list, before, delivery);
}

void delivery_remove(struct delivery_list *list, struct delivery *delivery)
{
    struct delivery_neighbours *in = &delivery->in[list->order];
    *forward(list, in->previous) = in->next;
    *backward(list, in->next) = in->previous;
    *in = (struct delivery_neighbours){0};
    list->count--;
}
