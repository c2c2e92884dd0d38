/* SPDX-License-Identifier: MIT */
#include "page.h"

#include <string.h>

static const struct page_file *find_name(const char *name)
{
    for (size_t i = 0; i < page_file_count; i++) {
        if (strcmp(page_files[i].name, name) == 0)
            return &page_files[i];
    }
    return NULL;
}

const struct page_file *page_find(const char *path)
{
    static const char parts[] = "/page/", trace[] = "/trace/";
    if (strncmp(path, parts, sizeof(parts) - 1) == 0)
        return find_name(path + sizeof(parts) - 1);
    if (strcmp(path, "/") == 0 || strcmp(path, "/search") == 0 || strncmp(path, trace, sizeof(trace) - 1) == 0)
        return find_name("index.html");
    return NULL;
}

const char *page_type(const struct page_file *file)
{
    static const struct {
        const char *ending, *type;
    } types[] = {{".html", "text/html; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".js", "text/javascript; charset=utf-8"},
                 {".svg", "image/svg+xml"}};
    const char *ending = strrchr(file->name, '.');
    for (size_t i = 0; ending && i < sizeof(types) / sizeof(*types); i++) {
        if (strcmp(ending, types[i].ending) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}
