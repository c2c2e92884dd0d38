/* SPDX-License-Identifier: MIT
 *
 * Where the spool goes and how large it may become, from files that stand for a machine's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "spool/spool_place.h"
#include "support/directory.h"
#include "support/test.h"

static char root[TEST_DIRECTORY_BYTES];

static void set_up(void)
{
    test_directory(root, "place");
}

static void tear_down(void)
{
    test_directory_remove(root);
}

FIXTURE(set_up, tear_down);

static struct spool_place found(const char *spool_dir, const char *state_directory, uint64_t max_bytes, bool given)
{
    const struct config config = {
        .spool_dir = (char *)spool_dir, .ring_dir = root, .spool_max_bytes = max_bytes, .spool_max_bytes_given = given};
    struct spool_place place;
    ck_assert_int_eq(spool_place_find(&config, state_directory, &place), 0);
    return place;
}

TEST(the_configured_directory_comes_first_then_systemds_then_the_rings)
{
    char path[128];
    struct spool_place place = found("/var/x", "/var/lib/a", 5, true);
    ck_assert_str_eq(place.path, "/var/x");
    ck_assert(place.named && !place.in_memory);
    ck_assert_uint_eq(place.max_bytes, 5);
    free(place.path);
    place = found("", "/var/lib/a:/var/lib/b", 5, true);
    ck_assert_str_eq(place.path, "/var/lib/a/spool");
    ck_assert(!place.named && !place.in_memory);
    free(place.path);
    place = found("", "", 5, true);
    snprintf(path, sizeof(path), "%s/spool", root);
    ck_assert_str_eq(place.path, path);
    ck_assert(!place.named && place.in_memory);
    free(place.path);
}

TEST(memory_is_bounded_also_when_more_is_asked_for)
{
    struct spool_place place = found("", NULL, 1ull << 40, true);
    ck_assert_uint_le(place.max_bytes, SPOOL_MEMORY_MAX_BYTES);
    free(place.path);
    place = found(root, NULL, 1ull << 50, true); /* whoever names a place knows it */
    ck_assert_uint_eq(place.max_bytes, 1ull << 50);
    free(place.path);
    place = found(root, NULL, 1ull << 60, false);
    ck_assert_uint_lt(place.max_bytes, 1ull << 60);
    free(place.path);
}
