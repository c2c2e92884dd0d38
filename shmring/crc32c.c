/* SPDX-License-Identifier: MIT
 *
 * The checksum of headers, resources and spool records: CRC-32C, by the processor's instruction where it has one.
 */
#include <string.h>

#include "shmring.h"

/* Four bits at a time: sixteen words are a readable table, and most processors have the instruction. */
static const uint32_t nibbles[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

#if defined(__x86_64__)
static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t bytes)
{
    for (; bytes >= sizeof(uint64_t); at += sizeof(uint64_t), bytes -= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        crc = (uint32_t)__builtin_ia32_crc32di(crc, word);
    }
    while (bytes-- > 0)
        crc = __builtin_ia32_crc32qi(crc, *at++);
    return crc;
}
#else
static bool has_instruction(void)
{
    return false;
}

static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t bytes)
{
    (void)at, (void)bytes;
    return crc;
}
#endif

uint32_t shmring_crc32c(uint32_t seed, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint32_t crc = ~seed;
    if (has_instruction())
        return ~by_instruction(crc, at, bytes);
    while (bytes-- > 0) {
        crc ^= *at++;
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return ~crc;
}
