/* SPDX-License-Identifier: MIT
 *
 * crc32c, the checksum type that objects carry. Streaming: start with 0, feed each piece the previous result.
 */
#ifndef CHECKSUM_H
#define CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define CHECKSUM_TYPE "crc32c"
enum { CHECKSUM_TEXT_BYTES = 9 }; /* 8 hex digits and NUL */

uint32_t checksum_update(uint32_t sum, const void *data, size_t bytes);
void checksum_text(uint32_t sum, char out[CHECKSUM_TEXT_BYTES]);

#endif
