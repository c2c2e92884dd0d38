/* SPDX-License-Identifier: MIT */
#include "checksum.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Slicing by four, about a byte per cycle, where the CPU has no instruction for it. */
static uint32_t table[4][256];
static pthread_once_t table_made = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t sum = i;
        for (int bit = 0; bit < 8; bit++)
            sum = (sum >> 1) ^ (sum & 1 ? 0x82f63b78u : 0);
        table[0][i] = sum;
    }
    for (int slice = 1; slice < 4; slice++)
        for (uint32_t i = 0; i < 256; i++)
            table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 255];
}

static uint32_t update_by_table(uint32_t sum, const unsigned char *at, size_t bytes)
{
    pthread_once(&table_made, make_table);
    for (; bytes >= 4; bytes -= 4, at += 4) {
        sum ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        sum = table[3][sum & 255] ^ table[2][(sum >> 8) & 255] ^ table[1][(sum >> 16) & 255] ^ table[0][sum >> 24];
    }
    for (; bytes > 0; bytes--, at++)
        sum = (sum >> 8) ^ table[0][(sum ^ *at) & 255];
    return sum;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t update_by_instruction(uint32_t sum, const unsigned char *at,
                                                                        size_t bytes)
{
    uint64_t wide = sum;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
    }
    for (; bytes > 0; bytes--, at++)
        wide = __builtin_ia32_crc32qi((uint32_t)wide, *at);
    return (uint32_t)wide;
}
#endif

uint32_t checksum_update(uint32_t sum, const void *data, size_t bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~update_by_instruction(~sum, data, bytes);
#endif
    return ~update_by_table(~sum, data, bytes);
}

void checksum_text(uint32_t sum, char out[CHECKSUM_TEXT_BYTES])
{
    snprintf(out, CHECKSUM_TEXT_BYTES, "%08x", sum);
}
