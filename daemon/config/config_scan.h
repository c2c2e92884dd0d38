/* SPDX-License-Identifier: MIT
 *
 * Where keys stand in a JSON text: what a parsed document no longer tells, and what error messages need.
 */
#ifndef CONFIG_SCAN_H
#define CONFIG_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct config_key_place {
    char *path; /* "tracing.enabled" */
    unsigned line;
};
struct config_places {
    struct config_key_place *items; /* ordered by path, then line: duplicates are neighbours */
    size_t count;
};

enum { CONFIG_DEPTH_MAX = 64, CONFIG_PATH_BYTES = 512 };

/* Line where the text is nested deeper than CONFIG_DEPTH_MAX, or 0. For any text. */
unsigned config_scan_too_deep(const char *text, size_t bytes);

/* Places of all keys in and below those top-level members that are named in sections (NULL ends it). text has passed
 * the JSON parser and is not too deep. -> 0 or -ENOMEM. Paths longer than CONFIG_PATH_BYTES are left out. */
int config_scan(const char *text, size_t bytes, const char *const *sections, struct config_places *out);
void config_places_done(struct config_places *places);

/* First line of path, or 0. */
unsigned config_places_line(const struct config_places *places, const char *path);

#endif
