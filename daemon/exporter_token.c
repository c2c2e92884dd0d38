/* SPDX-License-Identifier: MIT */
#include "exporter_token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Trims in place. -> -EINVAL when nothing is left, or what is left is not visible ASCII. */
static int clean(char *text, size_t bytes)
{
    size_t begin = 0;
    while (begin < bytes && is_space(text[begin]))
        begin++;
    while (bytes > begin && is_space(text[bytes - 1]))
        bytes--;
    for (size_t i = begin; i < bytes; i++)
        if (text[i] < ' ' || text[i] > '~')
            return -EINVAL;
    memmove(text, text + begin, bytes - begin);
    text[bytes - begin] = '\0';
    return bytes > begin ? 0 : -EINVAL;
}

static int read_plain_file(int fd, char *text, size_t room, size_t *bytes)
{
    struct stat st;
    if (fstat(fd, &st))
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    size_t at = 0;
    while (at < room) {
        ssize_t got = read(fd, text + at, room - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        at += (size_t)got;
    }
    *bytes = at;
    return at == room ? -EFBIG : 0;
}

int exporter_token_read(const char *path, char **out)
{
    char *text = calloc(1, EXPORTER_TOKEN_MAX_BYTES + 1);
    if (!text)
        return -ENOMEM;
    size_t bytes = 0;
    int err = 0;
    /* Not blocking: a pipe in its place must not stop the loop. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        err = -errno;
    } else {
        err = read_plain_file(fd, text, EXPORTER_TOKEN_MAX_BYTES + 1, &bytes);
        close(fd);
    }
    if (!err)
        err = clean(text, bytes);
    if (err) {
        explicit_bzero(text, EXPORTER_TOKEN_MAX_BYTES + 1);
        free(text);
        return err;
    }
    *out = text;
    return 0;
}

void exporter_token_free(char *token)
{
    if (!token)
        return;
    explicit_bzero(token, EXPORTER_TOKEN_MAX_BYTES + 1);
    free(token);
}
