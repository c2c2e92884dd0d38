/* SPDX-License-Identifier: MIT
 *
 * The reference file and its documentation against the table of keys: all are there, at their defaults.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config/config_schema.h"
#include "support/test.h"

static char *text_of(const char *path)
{
    FILE *file = fopen(path, "r");
    ck_assert_msg(file, "%s", path);
    char *text = calloc(1, 1 << 16);
    ck_assert_uint_lt(fread(text, 1, (1 << 16) - 1, file), (1 << 16) - 1);
    fclose(file);
    return text;
}

/* The value at a key's path. */
static const json_t *value_at(const json_t *root, const char *path)
{
    char copy[128], *save;
    snprintf(copy, sizeof(copy), "%s", path);
    for (char *part = strtok_r(copy, ".", &save); part; part = strtok_r(NULL, ".", &save))
        root = json_object_get(root, part);
    return root;
}

static size_t leaves(const json_t *value)
{
    size_t count = 0;
    const char *key;
    json_t *item;
    if (!json_is_object(value) || json_object_size(value) == 0)
        return 1;
    json_object_foreach((json_t *)(uintptr_t)value, key, item) count += leaves(item);
    return count;
}

/* The default of a key as the documentation writes it, from the row `| `key` | `default` | ...` of its section. */
static void documented(const char *text, const char *path, char out[128])
{
    char heading[64], row[128];
    snprintf(heading, sizeof(heading), "\n## `%.*s`", (int)strcspn(path, "."), path);
    snprintf(row, sizeof(row), "\n| `%s` | `", strchr(path, '.') + 1);
    const char *begin = strstr(text, heading);
    ck_assert_msg(begin, "no section %s", heading);
    const char *end = strstr(begin + 1, "\n## ");
    const char *at = strstr(begin, row);
    ck_assert_msg(at && at < end, "%s is not documented in its section", path);
    at += strlen(row);
    snprintf(out, 128, "%.*s", (int)strcspn(at, "`"), at);
}

TEST(every_key_is_in_the_reference_and_in_the_documentation_at_its_default)
{
    json_t *root = json_load_file("conf/aistraced.json", JSON_REJECT_DUPLICATES, NULL);
    char *text = text_of("conf/README.md");
    ck_assert_ptr_nonnull(root);
    for (size_t row = 0; row < config_key_count; row++) {
        const json_t *value = value_at(root, config_keys[row].path);
        ck_assert_msg(value, "%s is not in the reference", config_keys[row].path);
        char *dumped = json_dumps(value, JSON_ENCODE_ANY), told[128];
        documented(text, config_keys[row].path, told);
        ck_assert_msg(strcmp(dumped, told) == 0, "%s: %s in the reference, %s in the documentation",
                      config_keys[row].path, dumped, told);
        if (config_keys[row].preset && !json_is_string(value))
            ck_assert_str_eq(dumped, config_keys[row].preset);
        else if (config_keys[row].preset)
            ck_assert_str_eq(json_string_value(value), config_keys[row].preset);
        free(dumped);
    }
    ck_assert_uint_eq(leaves(root), config_key_count);
    json_decref(root);
    free(text);
}

TEST(variables_and_flags_are_documented)
{
    char *text = text_of("conf/README.md");
    for (size_t row = 0; row < config_key_count; row++) {
        const struct config_key *key = &config_keys[row];
        ck_assert_msg(!key->env || strstr(text, key->env), "%s", key->env);
        ck_assert_msg(!key->flag || strstr(text, key->flag), "%s", key->flag);
        ck_assert_msg(!key->spelling || strstr(text, key->spelling), "%s", key->spelling);
    }
    free(text);
}

TEST(the_reference_means_the_same_as_an_empty_configuration)
{
    struct config *reference, *empty;
    struct buf errors = {0}, with = {0}, without = {0};
    clearenv();
    ck_assert_int_eq(
        config_load(&(struct config_flags){.file = "conf/aistraced.json"}, NULL, NULL, &reference, &errors), 0);
    ck_assert_int_eq(config_load(&(struct config_flags){0}, NULL, NULL, &empty, &errors), 0);
    ck_assert_int_eq(config_print(reference, &with) | config_print(empty, &without), 0);
    ck_assert_int_eq(buf_append(&with, "", 1) | buf_append(&without, "", 1), 0);
    char *save_a, *save_b;
    char *a = strtok_r((char *)with.data, "\n", &save_a), *b = strtok_r((char *)without.data, "\n", &save_b);
    for (; a && b; a = strtok_r(NULL, "\n", &save_a), b = strtok_r(NULL, "\n", &save_b)) {
        ck_assert_ptr_nonnull(strstr(a, "  (file)"));
        *strstr(a, "  (file)") = '\0';
        *strstr(b, "  (default)") = '\0';
        ck_assert_str_eq(a, b);
    }
    ck_assert(!a && !b);
    config_unref(reference);
    config_unref(empty);
    buf_done(&with);
    buf_done(&without);
}
