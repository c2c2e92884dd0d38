/* SPDX-License-Identifier: MIT
 *
 * The checksum by table, for processors without the instruction, is the one by instruction: includes the source as such
 * a processor would run it.
 */
#include <string.h>

#define __builtin_cpu_supports(feature) 0
#define shmring_crc32c                  crc_by_table
#include "crc32c.c"
#undef shmring_crc32c

#include "support/test.h"

uint32_t shmring_crc32c(uint32_t seed, const void *data, size_t bytes);

static uint8_t text[4096];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 167 + i / 256);
}

FIXTURE(fill, NULL);

TEST(table_gives_the_known_values)
{
    ck_assert_uint_eq(crc_by_table(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(crc_by_table(crc_by_table(0, "1234", 4), "56789", 5), 0xe3069283);
    ck_assert_uint_eq(crc_by_table(0, "", 0), 0);
}

TEST(table_and_instruction_agree_for_every_byte_length_and_place)
{
    for (unsigned byte = 0; byte < 256; byte++)
        ck_assert_uint_eq(crc_by_table(byte, &(uint8_t){(uint8_t)byte}, 1),
                          shmring_crc32c(byte, &(uint8_t){(uint8_t)byte}, 1));
    for (size_t at = 0; at < 9; at++)
        for (size_t bytes = 0; bytes < 70; bytes++)
            ck_assert_uint_eq(crc_by_table(7, text + at, bytes), shmring_crc32c(7, text + at, bytes));
    ck_assert_uint_eq(crc_by_table(0, text, sizeof(text)), shmring_crc32c(0, text, sizeof(text)));
}
