/* SPDX-License-Identifier: MIT
 *
 * Attributes to test with: every type and edge, many at once, random ones.
 */
#ifndef ATTRIBUTE_SETS_H
#define ATTRIBUTE_SETS_H

#include <stddef.h>
#include <stdint.h>

#include "aistrace.h"

enum { EVERY_ATTRIBUTE_MAX = 32, MANY_ATTRIBUTES_MAX = 300 };

/* Text of all planes of Unicode. */
extern const char *const attribute_unicode;

/* One attribute of each type and edge, keys all different. long_text is borrowed. -> how many. */
size_t every_attribute(const char *long_text, struct aistrace_attribute out[EVERY_ATTRIBUTE_MAX]);

/* key.0, key.1, ...: static storage, the same at every call. */
const struct aistrace_attribute *many_attributes(size_t count);

/* A number below `below`, from a seed that advances. */
uint64_t any_number(uint64_t *seed, uint64_t below);

/* Keys come from a small set, so that they repeat. Static storage. */
struct aistrace_attribute any_attribute(uint64_t *seed);

#endif
