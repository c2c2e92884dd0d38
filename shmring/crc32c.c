/* SPDX-License-Identifier: MIT */
#include "shmring.h"

/* Four bits at a time: pages are checked once per attach, and sixteen words stay readable. */
static const uint32_t nibbles[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t shmring_crc32c(uint32_t seed, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint32_t crc = ~seed;

    while (bytes-- > 0) {
        crc ^= *at++;
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return ~crc;
}
