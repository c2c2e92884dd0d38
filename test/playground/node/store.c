/* SPDX-License-Identifier: MIT */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checksum.h"
#include "names.h"

enum {
    COMPONENT_BYTES = 200,
    PATH_BYTES = NAMES_OBJECT_ENCODED_BYTES + 256,
    TEMPORARY_BYTES = 128,
    READ_BYTES = 256 * 1024
};

static const uint64_t footer_magic = 0x315446534941u; /* "AISFT1" */

struct footer {
    uint64_t magic;
    uint64_t bytes;
    uint32_t checksum;
    uint32_t check; /* checksum of the fields above */
};

struct store {
    int dir;
};

struct store_put {
    int bucket;
    int file;
    uint64_t bytes;
    uint32_t checksum;
    char temporary[TEMPORARY_BYTES];
    char path[PATH_BYTES];
};

static int object_path(const char *object, char path[PATH_BYTES])
{
    char encoded[NAMES_OBJECT_ENCODED_BYTES];
    int bytes = names_encode(object, false, encoded, sizeof(encoded));
    size_t length = 0;
    if (bytes <= 0)
        return bytes < 0 ? bytes : -EINVAL;
    for (int i = 0, in_component = 0; i < bytes; i++) {
        if (in_component >= COMPONENT_BYTES) {
            path[length++] = '+';
            path[length++] = '/';
            in_component = 0;
        }
        if (encoded[i] == '.' && in_component == 0) { /* hidden files are ours, and "..": never */
            memcpy(path + length, "%2E", 3);
            length += 3;
            in_component += 3;
        } else {
            path[length++] = encoded[i];
            in_component++;
        }
    }
    path[length] = '\0';
    return 0;
}

static int open_bucket(struct store *store, const char *bucket)
{
    int fd = openat(store->dir, bucket, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static void remove_temporaries(DIR *bucket)
{
    struct dirent *entry;
    while ((entry = readdir(bucket)))
        if (strncmp(entry->d_name, ".put-", 5) == 0)
            unlinkat(dirfd(bucket), entry->d_name, 0);
}

static int sweep_bucket(void *arg, const char *bucket)
{
    int fd = open_bucket(arg, bucket);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir) {
        remove_temporaries(dir);
        closedir(dir);
    } else if (fd >= 0) {
        close(fd);
    }
    return 0;
}

int store_open(const char *dir, struct store **out)
{
    struct store *store = malloc(sizeof(*store));
    if (!store)
        return -ENOMEM;
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        goto fail;
    store->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->dir < 0)
        goto fail;
    store_buckets(store, sweep_bucket, store);
    *out = store;
    return 0;
fail:
    free(store);
    return -errno;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    close(store->dir);
    free(store);
}

int store_bucket_create(struct store *store, const char *bucket)
{
    return mkdirat(store->dir, bucket, 0755) < 0 ? -errno : 0;
}

int store_bucket_check(struct store *store, const char *bucket)
{
    struct stat st;
    if (fstatat(store->dir, bucket, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOENT;
}

static DIR *open_dir(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

int store_buckets(struct store *store, store_bucket_cb *cb, void *arg)
{
    DIR *dir = open_dir(store->dir, ".");
    int err = 0;
    if (!dir)
        return -errno;
    struct dirent *entry;
    while (!err && (entry = readdir(dir)))
        if (names_bucket_valid(entry->d_name))
            err = cb(arg, entry->d_name);
    closedir(dir);
    return err;
}

static int read_footer(int fd, struct store_object *info)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    struct footer footer;
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(footer) ||
        pread(fd, &footer, sizeof(footer), st.st_size - (off_t)sizeof(footer)) != sizeof(footer) ||
        footer.magic != footer_magic || footer.bytes != (uint64_t)st.st_size - sizeof(footer) ||
        footer.check != checksum_update(0, &footer, offsetof(struct footer, check)))
        return -EIO;
    *info = (struct store_object){
        .bytes = footer.bytes,
        .checksum = footer.checksum,
        .atime_ns = st.st_atim.tv_sec * INT64_C(1000000000) + st.st_atim.tv_nsec,
    };
    return 0;
}

struct walk {
    store_object_cb *cb; /* NULL: only count */
    void *arg;
    uint64_t files;
    char encoded[NAMES_OBJECT_ENCODED_BYTES + 256];
};

static int walk_file(struct walk *walk, int dir, const char *file, size_t length)
{
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0; /* deleted meanwhile */
    struct store_object info;
    int err = read_footer(fd, &info);
    close(fd);
    char object[NAMES_OBJECT_BYTES];
    if (err || names_decode(walk->encoded, length, object, sizeof(object)) <= 0)
        return 0;
    return walk->cb(walk->arg, object, &info);
}

static int walk_dir(struct walk *walk, int at, const char *name, size_t length)
{
    DIR *dir = open_dir(at, name);
    int err = 0;
    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    struct dirent *entry;
    while (!err && (entry = readdir(dir))) {
        size_t bytes = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || length + bytes >= sizeof(walk->encoded))
            continue;
        memcpy(walk->encoded + length, entry->d_name, bytes);
        if (entry->d_name[bytes - 1] == '+') {
            err = walk_dir(walk, dirfd(dir), entry->d_name, length + bytes - 1);
            continue;
        }
        walk->files++;
        if (walk->cb)
            err = walk_file(walk, dirfd(dir), entry->d_name, length + bytes);
    }
    closedir(dir);
    return err;
}

int store_objects(struct store *store, const char *bucket, store_object_cb *cb, void *arg)
{
    struct walk walk = {.cb = cb, .arg = arg};
    int err = store_bucket_check(store, bucket);
    return err ? err : walk_dir(&walk, store->dir, bucket, 0);
}

struct counting {
    struct store *store;
    uint64_t objects;
};

/* By their names alone: reading every footer would take long. */
static int count_bucket(void *arg, const char *bucket)
{
    struct counting *counting = arg;
    struct walk walk = {0};
    int err = walk_dir(&walk, counting->store->dir, bucket, 0);
    counting->objects += walk.files;
    return err;
}

int store_count(struct store *store, uint64_t *objects)
{
    struct counting counting = {.store = store};
    int err = store_buckets(store, count_bucket, &counting);
    if (!err)
        *objects = counting.objects;
    return err;
}

/* ---- checksums ---- */

/* Sums up the file's first bytes. */
static int sum_file(int fd, uint64_t bytes, uint32_t *sum)
{
    unsigned char *data = malloc(READ_BYTES);
    uint64_t at = 0;
    uint32_t found = 0;
    if (!data)
        return -ENOMEM;
    while (at < bytes) {
        size_t want = bytes - at < READ_BYTES ? (size_t)(bytes - at) : READ_BYTES;
        ssize_t n = pread(fd, data, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int err = n < 0 ? -errno : -EIO;
            free(data);
            return err;
        }
        found = checksum_update(found, data, (size_t)n);
        at += (uint64_t)n;
    }
    free(data);
    *sum = found;
    return 0;
}

static int verify(int fd, uint64_t bytes, uint32_t expected, uint32_t *found)
{
    uint32_t sum = 0;
    int err = sum_file(fd, bytes, &sum);
    if (err || sum == expected)
        return err;
    *found = sum;
    return -EBADMSG;
}

int store_verify(int fd, const struct store_object *info, uint32_t *found)
{
    return verify(fd, info->bytes, info->checksum, found);
}

int store_put_verify(struct store_put *put, uint32_t *found)
{
    return verify(put->file, put->bytes, put->checksum, found);
}

uint32_t store_put_checksum(const struct store_put *put)
{
    return put->checksum;
}

/* ---- objects ---- */

static int make_parents(int bucket, char *path)
{
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int err = mkdirat(bucket, path, 0755) < 0 ? errno : 0;
        *slash = '/';
        if (err && err != EEXIST)
            return -err;
    }
    return 0;
}

int store_put_begin(struct store *store, const char *bucket, const char *object, struct store_put **out)
{
    struct store_put *put = calloc(1, sizeof(*put));
    if (!put)
        return -ENOMEM;
    int err = object_path(object, put->path);
    put->bucket = err ? err : open_bucket(store, bucket);
    if (put->bucket < 0) {
        err = put->bucket;
        free(put);
        return err;
    }
    /* The address of live memory is a name that no other write of this process has. */
    snprintf(put->temporary, sizeof(put->temporary), ".put-%d-%p", getpid(), (void *)put);
    put->file = openat(put->bucket, put->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (put->file < 0) {
        err = -errno;
        close(put->bucket);
        free(put);
        return err;
    }
    *out = put;
    return 0;
}

static int write_all(int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t n = write(fd, at, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

int store_put_write(struct store_put *put, const void *data, size_t bytes)
{
    int err = write_all(put->file, data, bytes);
    if (err)
        return err;
    put->checksum = checksum_update(put->checksum, data, bytes);
    put->bytes += bytes;
    return 0;
}

static void put_free(struct store_put *put)
{
    close(put->file);
    close(put->bucket);
    free(put);
}

int store_put_commit(struct store_put *put, struct store_object *info)
{
    struct footer footer = {.magic = footer_magic, .bytes = put->bytes, .checksum = put->checksum};
    footer.check = checksum_update(0, &footer, offsetof(struct footer, check));
    int err = write_all(put->file, &footer, sizeof(footer));
    if (!err)
        err = make_parents(put->bucket, put->path);
    struct store_object committed;
    if (!err)
        err = read_footer(put->file, &committed);
    if (!err && renameat(put->bucket, put->temporary, put->bucket, put->path) < 0)
        err = -errno;
    if (err) {
        store_put_abort(put);
        return err;
    }
    *info = committed;
    put_free(put);
    return 0;
}

void store_put_abort(struct store_put *put)
{
    if (!put)
        return;
    unlinkat(put->bucket, put->temporary, 0);
    put_free(put);
}

/* -> the bucket's directory and the object's path within, or -errno */
static int locate(struct store *store, const char *bucket, const char *object, char path[PATH_BYTES])
{
    int err = object_path(object, path);
    return err ? err : open_bucket(store, bucket);
}

int store_get(struct store *store, const char *bucket, const char *object, struct store_object *info)
{
    char path[PATH_BYTES];
    int dir = locate(store, bucket, object, path);
    if (dir < 0)
        return dir;
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct store_object found;
    int err = fd < 0 ? -errno : read_footer(fd, &found);
    close(dir);
    if (err) {
        if (fd >= 0)
            close(fd);
        return err;
    }
    *info = found;
    return fd;
}

int store_delete(struct store *store, const char *bucket, const char *object)
{
    char path[PATH_BYTES];
    int dir = locate(store, bucket, object, path);
    if (dir < 0)
        return dir;
    int err = unlinkat(dir, path, 0) < 0 ? -errno : 0;
    close(dir);
    return err;
}

int store_evict(struct store *store, const char *bucket, const char *object, int fd)
{
    char path[PATH_BYTES];
    int dir = locate(store, bucket, object, path);
    if (dir < 0)
        return dir;
    int err = 0;
    struct stat damaged, named;
    if (fstat(fd, &damaged) < 0 || fstatat(dir, path, &named, AT_SYMLINK_NOFOLLOW) < 0)
        err = -errno;
    else if (damaged.st_dev != named.st_dev || damaged.st_ino != named.st_ino)
        err = -ENOENT;
    else if (unlinkat(dir, path, 0) < 0)
        err = -errno;
    close(dir);
    return err;
}
