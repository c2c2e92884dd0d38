/* SPDX-License-Identifier: MIT
 *
 * Why a thread has no slot: for each error how it is counted, and what a person is told.
 */
#include <errno.h>

#include "shmring.h"

static const struct {
    int err;
    struct shmring_refusal refusal;
} refusals[] = {
    {-ENFILE, {SHMRING_DROP_NO_SLOT, "other threads have all slots; AIS_TRACING_THREAD_SLOTS allows more"}},
    {-ENOSPC, {SHMRING_DROP_NO_MEMORY, "the ring directory's file system has no room: a sixteenth of it stays free"}},
    {-EDQUOT,
     {SHMRING_DROP_NO_MEMORY,
      "segments have taken their share of the ring directory's file system, a quarter; does a daemon run?"}},
    {-ENOMEM, {SHMRING_DROP_NO_MEMORY, "the process has no memory or address space left, or is near a memory limit"}},
    {-EMFILE, {SHMRING_DROP_NO_FILE, "no descriptor is left to open the ring's file"}},
    {-EACCES, {SHMRING_DROP_NO_FILE, "the process may not open the ring's file any more"}},
    {-EPERM, {SHMRING_DROP_NO_FILE, "the process may not open the ring's file any more"}},
    {-ENOENT, {SHMRING_DROP_NO_FILE, "the ring's file is not found under its name any more"}},
    {-ELOOP, {SHMRING_DROP_NO_FILE, "a symlink has the name of the ring's file"}},
    {-ESTALE, {SHMRING_DROP_NO_FILE, "another file has the name of the ring's file"}},
};

struct shmring_refusal shmring_refusal(int err)
{
    for (unsigned i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
        if (refusals[i].err == err)
            return refusals[i].refusal;
    return (struct shmring_refusal){SHMRING_DROP_NO_FILE, "the memory of a ring cannot be set up"};
}
