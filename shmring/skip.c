/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "reader.h"

int shmring_reader_skip(struct shmring_reader *reader, uint32_t index, uint64_t begin, uint64_t end, uint64_t records)
{
    int err = shmring_reader_look(reader, index);
    if (err)
        return err;
    if (index >= reader->used)
        return -EINVAL;
    struct shmring__slot *slot = &reader->slots[index];
    struct shmring_slot_status *status = &slot->status;
    if (slot->begin != begin)
        return -EAGAIN;
    if (end % SHMRING_ALIGN != 0 || end - begin > status->end - begin ||
        records > (end - begin) / sizeof(struct shmring_record))
        return -EINVAL;
    status->read = slot->begin = end;
    status->read_records += records;
    return 0;
}
