/* SPDX-License-Identifier: MIT
 *
 * What the fuzz targets share. Each is one file with libFuzzer's entry; `make fuzz` runs them all.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input. */
static inline void fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

/* Moves up to `bytes` of the input to out. */
static inline void fuzz_take(const uint8_t **data, size_t *size, void *out, size_t bytes)
{
    size_t n = bytes < *size ? bytes : *size;

    if (n > 0)
        memcpy(out, *data, n);
    *data += n;
    *size -= n;
}

/* Touches every byte, so that a sanitizer sees it. */
static inline void fuzz_read(const void *memory, size_t bytes)
{
    const volatile uint8_t *at = memory;

    while (bytes-- > 0)
        (void)*at++;
}

/* Takes one HTTP/2 frame of the input: type, flags, stream, two bytes of length, payload. The type wraps into what
 * there is; 0xf0 and above: the payload alone, without a head. -> its bytes in out (room for 9 + FUZZ_FRAME_MAX), 0 at
 * the end. */
enum { FUZZ_FRAME_MAX = 1023 };
static inline size_t fuzz_frame(const uint8_t **data, size_t *size, uint8_t *out)
{
    uint8_t head[5] = {0};

    if (*size < sizeof(head))
        return 0;
    fuzz_take(data, size, head, sizeof(head));
    size_t asked = (size_t)(head[3] | head[4] << 8) & FUZZ_FRAME_MAX;
    size_t bytes = asked < *size ? asked : *size;
    if (head[0] >= 0xf0) {
        fuzz_take(data, size, out, bytes);
        return bytes;
    }
    memset(out, 0, 9);
    out[1] = (uint8_t)(bytes >> 8);
    out[2] = (uint8_t)bytes;
    out[3] = head[0] % 11;
    out[4] = head[1];
    out[8] = head[2];
    fuzz_take(data, size, out + 9, bytes);
    return 9 + bytes;
}

#endif
