/* SPDX-License-Identifier: MIT
 *
 * The playground's own modules: names, checksum, the choice of a target, the store.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "playground/cli/latency.c"
#include "playground/node/checksum.c"
#include "playground/node/cluster.c"
#include "playground/node/names.c"
#include "playground/node/store.c"
#include "support/directory.h"
#include "support/test.h"

TEST(names_survive_encoding)
{
    char every[256];
    char encoded[3 * 256];
    char decoded[256];
    int bytes;

    for (int i = 0; i < 255; i++)
        every[i] = (char)(i + 1);
    every[255] = '\0';
    for (int keep_slashes = 0; keep_slashes < 2; keep_slashes++) {
        bytes = names_encode(every, keep_slashes, encoded, sizeof(encoded));
        ck_assert_int_gt(bytes, 255);
        ck_assert_int_eq(strchr(encoded, '/') != NULL, keep_slashes);
        ck_assert_int_eq(names_decode(encoded, (size_t)bytes, decoded, sizeof(decoded)), 255);
        ck_assert_str_eq(decoded, every);
    }
}

TEST(names_bad_escapes_and_overlong_are_refused)
{
    static const char *const bad[] = {"%", "%4", "%zz", "%4g", "a%00b", "abc%"};
    char out[4];

    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_int_eq(names_decode(bad[i], strlen(bad[i]), (char[64]){0}, 64), -EINVAL);
    ck_assert_int_eq(names_decode("%41", 2, out, sizeof(out)), -EINVAL); /* its end is outside */
    ck_assert_int_eq(names_decode("abc", 3, out, sizeof(out)), 3);
    ck_assert_int_eq(names_decode("abcd", 4, out, sizeof(out)), -ENAMETOOLONG);
    ck_assert_int_eq(names_encode("abc", false, out, sizeof(out)), 3);
    ck_assert_int_eq(names_encode("a/", false, out, sizeof(out)), -ENAMETOOLONG);
    ck_assert_int_eq(names_decode("", 0, out, 0), -ENAMETOOLONG);
}

TEST(bucket_names_are_narrow)
{
    static const char *const good[] = {"a", "nnn", "A-b_c.9"};
    static const char *const bad[] = {"", ".", "..", ".a", "a/b", "a b", "a~", "\xc3\xa4", "a%"};
    char longest[66];

    for (size_t i = 0; i < COUNT(good); i++)
        ck_assert(names_bucket_valid(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert(!names_bucket_valid(bad[i]));
    memset(longest, 'x', 65);
    longest[65] = '\0';
    ck_assert(!names_bucket_valid(longest));
    ck_assert(names_bucket_valid(longest + 1));
}

TEST(checksum_is_the_same_with_and_without_the_instruction)
{
    unsigned char data[257];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(i * 131 + 7);
    for (size_t bytes = 0; bytes <= sizeof(data); bytes++)
        ck_assert_uint_eq(checksum_update(0x1234u, data, bytes), ~update_by_table(~0x1234u, data, bytes));
}

TEST(checksum_is_crc32c_however_it_is_fed)
{
    static const char text[] = "123456789";
    char out[CHECKSUM_TEXT_BYTES];

    ck_assert_uint_eq(checksum_update(0, text, 9), 0xe3069283u);
    for (size_t cut = 0; cut <= 9; cut++)
        ck_assert_uint_eq(checksum_update(checksum_update(0, text, cut), text + cut, 9 - cut), 0xe3069283u);
    checksum_text(0xabcu, out);
    ck_assert_str_eq(out, "00000abc");
}

enum { OBJECTS = 3000 };

static void count_targets(const struct cluster *cluster, size_t counts[], const struct cluster_peer *chosen[OBJECTS])
{
    for (int i = 0; i < OBJECTS; i++) {
        char object[32];
        snprintf(object, sizeof(object), "shard-%04d.tar", i);
        chosen[i] = cluster_target(cluster, "nnn", object);
        counts[chosen[i] - cluster->targets]++;
    }
}

TEST(latency_quantiles_are_within_a_thirty_second)
{
    static struct latency latency, other;
    static const double shares[] = {0, 0.001, 0.5, 0.9, 0.99, 1};

    ck_assert_uint_eq(latency_quantile_ns(&latency, 0.5), 0);
    for (uint64_t ns = 1; ns <= 100000; ns++)
        latency_add(ns % 2 ? &latency : &other, ns * 1000);
    latency_merge(&latency, &other);
    ck_assert_uint_eq(latency.count, 100000);
    for (size_t i = 0; i < COUNT(shares); i++) {
        double exact = shares[i] * 1e8 > 1000 ? shares[i] * 1e8 : 1000;
        double told = (double)latency_quantile_ns(&latency, shares[i]);
        ck_assert(told >= exact && told <= exact * (1 + 1.0 / 32) + 1);
    }
}

TEST(latency_buckets_follow_each_other)
{
    static const uint64_t edges[] = {0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 1u << 20, (1u << 20) - 1, UINT64_MAX};

    for (size_t i = 0; i + 1 < LATENCY_BUCKETS; i++) {
        ck_assert_uint_eq(bucket_of(end_of(i)), i);
        ck_assert_uint_eq(bucket_of(end_of(i) + 1), i + 1);
    }
    for (size_t i = 0; i < COUNT(edges); i++) {
        ck_assert_uint_lt(bucket_of(edges[i]), LATENCY_BUCKETS);
        ck_assert_uint_ge(end_of(bucket_of(edges[i])), edges[i]);
    }
}

TEST(targets_share_alike_and_one_less_moves_only_its_own)
{
    static struct cluster cluster = {.target_count = 4};
    static const struct cluster_peer *before[OBJECTS], *after[OBJECTS];
    size_t counts[4] = {0};
    size_t fewer[4] = {0};

    for (int i = 0; i < 4; i++)
        snprintf(cluster.targets[i].id, sizeof(cluster.targets[i].id), "t%d", i + 1);
    count_targets(&cluster, counts, before);
    for (int i = 0; i < 4; i++)
        ck_assert(counts[i] > OBJECTS / 5 && counts[i] < OBJECTS * 3 / 10);
    cluster.target_count = 3;
    count_targets(&cluster, fewer, after);
    for (int i = 0; i < OBJECTS; i++)
        ck_assert(before[i] == after[i] || before[i] == &cluster.targets[3]);
}

TEST(cluster_map_errors_name_the_place)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"{", ":1:"},
        {"{}", "cluster_map.proxies"},
        {"{\"cluster_map\":{\"proxies\":[{\"id\":\"p1\",\"host\":\"h\",\"port\":1}]}}", "cluster_map.targets"},
        {"{\"cluster_map\":{\"proxies\":[{\"id\":\"p1\",\"host\":\"h\",\"port\":0}]}}", "cluster_map.proxies[0]"},
        {"{\"cluster_map\":{\"proxies\":[{\"id\":\"../p\",\"host\":\"h\",\"port\":1}]}}", "cluster_map.proxies[0]"},
    };
    static struct cluster cluster;
    char file[TEST_DIRECTORY_BYTES + 8], error[512];
    test_directory(file, "cluster");
    strcat(file, "/map");
    for (size_t i = 0; i < COUNT(cases); i++) {
        FILE *out = fopen(file, "w");
        fputs(cases[i].text, out);
        fclose(out);
        ck_assert_int_eq(cluster_load(file, &cluster, error, sizeof(error)), -EINVAL);
        ck_assert_msg(strstr(error, cases[i].error), "%s", error);
    }
    unlink(file);
    ck_assert_int_eq(cluster_load(file, &cluster, error, sizeof(error)), -EINVAL);
}

/* ---- store ---- */

static char directory[TEST_DIRECTORY_BYTES];
static struct store *store;

static void store_setup(void)
{
    test_directory(directory, "store");
    ck_assert_int_eq(store_open(directory, &store), 0);
    ck_assert_int_eq(store_bucket_create(store, "b"), 0);
}

static void store_teardown(void)
{
    store_close(store);
    test_directory_remove(directory);
}

FIXTURE(store_setup, store_teardown);

static void put(const char *object, const char *text)
{
    struct store_object info;
    struct store_put *writer;

    ck_assert_int_eq(store_put_begin(store, "b", object, &writer), 0);
    for (const char *at = text; *at; at++)
        ck_assert_int_eq(store_put_write(writer, at, 1), 0);
    ck_assert_int_eq(store_put_commit(writer, &info), 0);
    ck_assert_uint_eq(info.bytes, strlen(text));
    ck_assert_uint_eq(info.checksum, checksum_update(0, text, strlen(text)));
}

static int count_object(void *arg, const char *object, const struct store_object *info)
{
    (void)object, (void)info;
    ++*(int *)arg;
    return 0;
}

static int objects(void)
{
    int count = 0;

    ck_assert_int_eq(store_objects(store, "b", count_object, &count), 0);
    return count;
}

TEST(store_shows_the_old_object_until_commit)
{
    struct store_object info;
    struct store_put *writer;
    char text[4] = "";
    int fd;

    put("x", "old");
    ck_assert_int_eq(store_put_begin(store, "b", "x", &writer), 0);
    ck_assert_int_eq(store_put_write(writer, "newer", 5), 0);
    fd = store_get(store, "b", "x", &info);
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_eq(info.bytes, 3);
    ck_assert_int_eq(read(fd, text, 3), 3);
    ck_assert_str_eq(text, "old");
    close(fd);
    ck_assert_int_eq(objects(), 1);
    store_put_abort(writer);
    ck_assert_int_eq(objects(), 1);
    put("x", "newer");
    fd = store_get(store, "b", "x", &info);
    ck_assert_uint_eq(info.bytes, 5);
    close(fd);
}

TEST(store_keeps_every_name_apart)
{
    static const char *const names[] = {"a", "a/b", "a/b/", "a+", "a%2Fb", ".", "..", "../x", "+/", "a\nb", "%"};
    enum { NAMES = COUNT(names) };
    char longest[NAMES_OBJECT_BYTES];
    struct store_object info;

    for (size_t i = 0; i < NAMES; i++)
        put(names[i], names[i]);
    for (size_t bytes = 190; bytes < NAMES_OBJECT_BYTES; bytes += bytes < 210 ? 1 : 100) {
        memset(longest, bytes % 2 ? '.' : '/', bytes);
        longest[bytes] = '\0';
        put(longest, "");
        ck_assert_int_eq(store_delete(store, "b", longest), 0);
    }
    ck_assert_int_eq(objects(), NAMES);
    for (size_t i = 0; i < NAMES; i++) {
        int fd = store_get(store, "b", names[i], &info);
        ck_assert_int_ge(fd, 0);
        ck_assert_uint_eq(info.checksum, checksum_update(0, names[i], strlen(names[i])));
        close(fd);
        ck_assert_int_eq(store_delete(store, "b", names[i]), 0);
        ck_assert_int_eq(store_get(store, "b", names[i], &info), -ENOENT);
    }
    ck_assert_int_eq(objects(), 0);
}

TEST(store_refuses_what_is_not_there)
{
    struct store_object info;
    struct store_put *writer;
    int count = 0;

    ck_assert_int_eq(store_bucket_create(store, "b"), -EEXIST);
    ck_assert_int_eq(store_bucket_check(store, "c"), -ENOENT);
    ck_assert_int_eq(store_put_begin(store, "c", "x", &writer), -ENOENT);
    ck_assert_int_eq(store_get(store, "c", "x", &info), -ENOENT);
    ck_assert_int_eq(store_delete(store, "b", "x"), -ENOENT);
    ck_assert_int_eq(store_objects(store, "c", count_object, &count), -ENOENT);
}

TEST(store_finds_damage_and_sweeps_what_a_crash_left)
{
    struct store_object info;
    struct store_put *writer;
    char path[256];

    put("x", "hello");
    snprintf(path, sizeof(path), "%s/b/x", directory);
    ck_assert_int_eq(truncate(path, 20), 0);
    ck_assert_int_eq(store_get(store, "b", "x", &info), -EIO);
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_int_eq(store_get(store, "b", "x", &info), -EIO);
    ck_assert_int_eq(objects(), 0);

    ck_assert_int_eq(store_put_begin(store, "b", "y", &writer), 0);
    snprintf(path, sizeof(path), "%s/b/%s", directory, writer->temporary);
    ck_assert_int_eq(access(path, F_OK), 0);
    store_close(store);
    ck_assert_int_eq(store_open(directory, &store), 0);
    ck_assert_int_eq(access(path, F_OK), -1);
    store_put_abort(writer);
}

/* Changes the byte at offset of object x's file. */
static void damage(off_t offset)
{
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/b/x", directory);
    fd = open(path, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, "!", 1, offset), 1);
    close(fd);
}

TEST(store_verifies_and_evicts_what_is_damaged)
{
    struct store_object info;
    uint32_t found = 0;
    int fd, newer;

    put("x", "hello");
    fd = store_get(store, "b", "x", &info);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(store_verify(fd, &info, &found), 0);
    damage(4);
    ck_assert_int_eq(store_verify(fd, &info, &found), -EBADMSG);
    ck_assert_uint_eq(found, checksum_update(0, "hell!", 5));

    put("x", "newer"); /* the damaged file is no longer the object */
    ck_assert_int_eq(store_evict(store, "b", "x", fd), -ENOENT);
    newer = store_get(store, "b", "x", &info);
    ck_assert_int_ge(newer, 0);
    ck_assert_int_eq(store_evict(store, "b", "x", newer), 0);
    ck_assert_int_eq(store_get(store, "b", "x", &info), -ENOENT);
    close(newer);
    close(fd);
}

TEST(store_reads_back_what_it_was_given)
{
    struct store_put *writer;
    uint32_t found = 0;

    ck_assert_int_eq(store_put_begin(store, "b", "x", &writer), 0);
    for (int i = 0; i < 10000; i++)
        ck_assert_int_eq(store_put_write(writer, "0123456789abcdefghijklmnopqrstuvwxyz", 36), 0);
    ck_assert_int_eq(store_put_verify(writer, &found), 0);
    ck_assert_int_eq(pwrite(writer->file, "!", 1, 300000), 1);
    ck_assert_int_eq(store_put_verify(writer, &found), -EBADMSG);
    ck_assert_uint_ne(found, store_put_checksum(writer));
    ck_assert_int_eq(ftruncate(writer->file, 5), 0);
    ck_assert_int_eq(store_put_verify(writer, &found), -EIO);
    store_put_abort(writer);
}

TEST(store_counts_the_objects_of_all_buckets)
{
    uint64_t count = 99;

    ck_assert_int_eq(store_count(store, &count), 0);
    ck_assert_uint_eq(count, 0);
    put("x", "1");
    put("a/b", "2");
    ck_assert_int_eq(store_bucket_create(store, "empty"), 0);
    ck_assert_int_eq(store_count(store, &count), 0);
    ck_assert_uint_eq(count, 2);
}
