/* SPDX-License-Identifier: MIT
 *
 * The name of a segment's file.
 */
#include <string.h>

#include "shmring.h"

void shmring_instance_name(const uint8_t instance[SHMRING_INSTANCE_BYTES], char name[SHMRING_NAME_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHMRING_INSTANCE_BYTES; i++) {
        *name++ = digits[instance[i] >> 4];
        *name++ = digits[instance[i] & 15];
    }
    memcpy(name, SHMRING_SUFFIX, sizeof(SHMRING_SUFFIX));
}
