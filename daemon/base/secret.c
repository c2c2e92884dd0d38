/* SPDX-License-Identifier: MIT */
#include "secret.h"

#include <string.h>
#include <sys/mman.h>

/* Stands before the secret: its size, for when it is freed. */
struct head {
    _Alignas(16) size_t bytes;
};

void *secret_new(size_t bytes)
{
    bytes += sizeof(struct head);
    struct head *head = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (head == MAP_FAILED)
        return NULL;
    madvise(head, bytes, MADV_DONTDUMP);
    madvise(head, bytes, MADV_DONTFORK);
    head->bytes = bytes;
    return head + 1;
}

void secret_free(void *secret)
{
    if (!secret)
        return;
    struct head *head = (struct head *)secret - 1;
    size_t bytes = head->bytes;
    explicit_bzero(head, bytes);
    munmap(head, bytes);
}
