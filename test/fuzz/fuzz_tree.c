/* SPDX-License-Identifier: MIT
 *
 * A line that an endpoint may send to `aistrace traces`, as a tree on a terminal.
 */
#include <locale.h>

#include "cli/render.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *locale;
    struct render_settings settings = {.width = RENDER_MIN_WIDTH};
    struct tree tree;
    if (!locale)
        locale = setlocale(LC_CTYPE, "C.UTF-8");
    fuzz_check(locale != NULL);
    if (tree_parse((const char *)data, size, &tree) != 0)
        return 0;
    for (int everything = 0; everything < 2; everything++) {
        struct buf out = {0};
        settings.everything = settings.colour = everything;
        fuzz_check(render_trace(&out, &tree, &settings) == 0);
        for (size_t i = 0; i < out.len; i++) /* the only control characters are ours */
            fuzz_check(out.data[i] >= 0x20 || out.data[i] == '\n' || (everything && out.data[i] == '\033'));
        buf_done(&out);
    }
    tree_done(&tree);
    return 0;
}
