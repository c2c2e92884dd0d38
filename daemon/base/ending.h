/* SPDX-License-Identifier: MIT
 *
 * The end of an object that closes in parts: its handles on the event loop, and objects below it. It is freed when the
 * last part is closed, and then tells its owner. Knows no event loop. One thread.
 *
 *     static void release(struct thing *thing)     one part is closed
 *     {
 *         if (!ending_release(&thing->ending))
 *             return;
 *         struct ending ending = thing->ending;
 *         free(thing);
 *         ending_tell(&ending);
 *     }
 */
#ifndef ENDING_H
#define ENDING_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

/* Zero-initialised: no part is open, the end has not begun. */
struct ending {
    unsigned parts; /* open */
    bool begun;
    void (*closed_cb)(void *user); /* may be NULL */
    void *user;
};

/* So many parts more have been opened. */
static inline void ending_hold(struct ending *ending, unsigned parts)
{
    ending->parts += parts;
}

/* Closing begins: whom ending_tell tells. -> false: it had begun before, and nothing changes */
static inline bool ending_begin(struct ending *ending, void (*closed_cb)(void *user), void *user)
{
    if (ending->begun)
        return false;
    ending->begun = true;
    ending->closed_cb = closed_cb;
    ending->user = user;
    return true;
}

/* A part is closed. -> true: it was the last */
static inline bool ending_release(struct ending *ending)
{
    assert(ending->parts > 0);
    return --ending->parts == 0;
}

/* The object is freed: ending is a copy. */
static inline void ending_tell(const struct ending *ending)
{
    if (ending->closed_cb)
        ending->closed_cb(ending->user);
}

#endif
