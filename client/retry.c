/* SPDX-License-Identifier: MIT */
#include "retry.h"

#include <errno.h>

/* What others use up, and give back. */
static bool is_lack_of_room(int err)
{
    static const int lacks[] = {ENOSPC, EDQUOT, ENOMEM, EMFILE, ENFILE, EAGAIN};
    for (size_t i = 0; i < sizeof(lacks) / sizeof(*lacks); i++)
        if (err == -lacks[i])
            return true;
    return false;
}

void aistrace__retry_later(struct aistrace__retry *retry, int err)
{
    unsigned longest_ms = is_lack_of_room(err) ? AISTRACE__RETRY_ROOM_MS : AISTRACE__RETRY_LONGEST_MS;
    unsigned wait_ms = 2 * (unsigned)(uint16_t)atomic_load_explicit(&retry->word, memory_order_relaxed);
    if (wait_ms == 0)
        wait_ms = AISTRACE__RETRY_FIRST_MS;
    aistrace__retry_in(retry, (uint16_t)(wait_ms < longest_ms ? wait_ms : longest_ms));
}
