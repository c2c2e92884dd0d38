/* SPDX-License-Identifier: MIT
 *
 * Buckets and objects on disk. A bucket is a directory; an object is one file: its bytes, then a footer with size and
 * checksum. An object is written to a temporary file and renamed into place, so readers see the old or the new one.
 *
 * An object's file is its name, percent-encoded; names longer than a file name may be are cut into directories whose
 * names end in `+`, which no encoded name contains. So every name has exactly one path, and none leaves its bucket.
 */
#ifndef STORE_H
#define STORE_H

#include <stddef.h>
#include <stdint.h>

struct store;
struct store_put;

struct store_object {
    uint64_t bytes;
    uint32_t checksum;
    int64_t atime_ns;
};

/* Creates dir when missing and removes what interrupted writes left. -> 0 or -errno. */
int store_open(const char *dir, struct store **out);
void store_close(struct store *store);

int store_bucket_create(struct store *store, const char *bucket); /* -EEXIST */
int store_bucket_check(struct store *store, const char *bucket);  /* 0, -ENOENT */

typedef int store_bucket_cb(void *arg, const char *bucket);
typedef int store_object_cb(void *arg, const char *object, const struct store_object *info);
/* In no order. A callback's nonzero answer ends the walk and is returned. */
int store_buckets(struct store *store, store_bucket_cb *cb, void *arg);
int store_objects(struct store *store, const char *bucket, store_object_cb *cb, void *arg);

/* A write ends with exactly one of commit and abort; both free it. Commit fills *info on success. */
int store_put_begin(struct store *store, const char *bucket, const char *object, struct store_put **out);
int store_put_write(struct store_put *put, const void *data, size_t bytes);
int store_put_commit(struct store_put *put, struct store_object *info);
/* The checksum of the bytes that were given. */
uint32_t store_put_checksum(const struct store_put *put);
/* Reads them back from the file. -> 0; -EBADMSG: they are others, with this checksum; -errno. */
int store_put_verify(struct store_put *put, uint32_t *found);
void store_put_abort(struct store_put *put);

/* -> a descriptor whose first info->bytes bytes are the object; the caller closes it. -ENOENT; -EIO: no valid footer.
 */
int store_get(struct store *store, const char *bucket, const char *object, struct store_object *info);
/* Reads the object that store_get opened. -> 0; -EBADMSG: its bytes have this checksum and not info's; -errno. */
int store_verify(int fd, const struct store_object *info, uint32_t *found);
/* Removes a damaged object, unless the name is by now another object's than fd's. -> 0 or -errno. */
int store_evict(struct store *store, const char *bucket, const char *object, int fd);
/* How many objects there are in all buckets. */
int store_count(struct store *store, uint64_t *objects);
int store_delete(struct store *store, const char *bucket, const char *object);

#endif
