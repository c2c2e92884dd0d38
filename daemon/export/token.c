/* SPDX-License-Identifier: MIT */
#include "token.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/secret.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Removes white space around the text, in place. */
static int clean(char *text, size_t bytes)
{
    size_t begin = 0;
    while (begin < bytes && is_space(text[begin]))
        begin++;
    while (bytes > begin && is_space(text[bytes - 1]))
        bytes--;
    for (size_t i = begin; i < bytes; i++)
        if (text[i] < ' ' || text[i] > '~')
            return -EILSEQ;
    memmove(text, text + begin, bytes - begin);
    text[bytes - begin] = '\0';
    return bytes > begin ? 0 : -ENODATA;
}

int token_read(const char *path, char **out)
{
    size_t bytes;
    char *text = secret_new(TOKEN_MAX_BYTES + 1);
    if (!text)
        return -ENOMEM;
    int err = file_read(path, (uint8_t *)text, TOKEN_MAX_BYTES + 1, &bytes);
    if (!err)
        err = clean(text, bytes);
    if (err)
        secret_free(text);
    else
        *out = text;
    return err;
}

const char *token_problem(int err)
{
    switch (err) {
    case -ENODATA:
        return "the file is empty; it has to hold the token";
    case -EILSEQ:
        return "the file holds bytes that a request header cannot carry; a token is visible ASCII in one line";
    case -EFBIG:
        return "larger than 8 KiB";
    default:
        return file_problem(err);
    }
}

bool token_exposed(const char *path)
{
    struct stat st;
    return !stat(path, &st) && st.st_mode & (S_IRGRP | S_IROTH);
}
