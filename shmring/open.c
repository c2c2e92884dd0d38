/* SPDX-License-Identifier: MIT
 *
 * Opening a segment for the consumer: checks the file completely before anything of it is mapped or believed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reader.h"

static const int open_flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

static int open_in(int dir_fd, const char *name)
{
    struct open_how how = {
        .flags = (uint64_t)open_flags,
        .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | RESOLVE_BENEATH,
    };

    if (strchr(name, '/'))
        return -EBADMSG;
    int fd = (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) /* before Linux 5.6, or a seccomp filter */
        fd = openat(dir_fd, name, open_flags);
    if (fd >= 0)
        return fd;
    return errno == ELOOP || errno == EXDEV || errno == EISDIR || errno == ENXIO ? -EBADMSG : -errno;
}

int shmring__read_exactly(int fd, void *out, size_t bytes, uint64_t offset)
{
    uint8_t *at = out;
    while (bytes > 0) {
        ssize_t n = pread(fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EBADMSG;
        at += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int check_file(int dir_fd, int fd, struct stat *st)
{
    struct stat dir;
    if (fstat(dir_fd, &dir) < 0 || fstat(fd, st) < 0)
        return -errno;
    return S_ISREG(st->st_mode) && st->st_dev == dir.st_dev ? 0 : -EBADMSG;
}

static bool all_zero(const void *memory, size_t bytes)
{
    const uint8_t *at = memory;
    while (bytes > 0 && *at == 0)
        at++, bytes--;
    return bytes == 0;
}

/* In a segment of another major version only these fields have a known place. */
static int check_version(const struct shmring_header *header)
{
    if (memcmp(header->magic, SHMRING_MAGIC, sizeof(header->magic)) != 0)
        return -EBADMSG;
    return header->abi_major == SHMRING_ABI_MAJOR ? 0 : -EPROTONOSUPPORT;
}

static bool geometry_sound(const struct shmring_header *header, uint64_t file_bytes)
{
    return header->header_bytes == SHMRING_PAGE && header->slot_stride == SHMRING_SLOT_STRIDE &&
           header->slot_count >= 1 && header->slot_count <= SHMRING_SLOTS_MAX &&
           header->ring_bytes >= SHMRING_RING_MIN && header->ring_bytes <= SHMRING_RING_MAX &&
           (header->ring_bytes & (header->ring_bytes - 1)) == 0 && header->first_position % SHMRING_ALIGN == 0 &&
           header->data_offset == shmring_data_offset(header->slot_count) &&
           header->file_bytes == shmring_file_bytes(header->slot_count, header->ring_bytes) &&
           header->file_bytes == file_bytes && header->resource_bytes <= SHMRING_RESOURCE_MAX;
}

/* One instance, one name: a second link to a segment must not be drained a second time. */
static bool name_matches(const char *name, const uint8_t instance[SHMRING_INSTANCE_BYTES])
{
    char expected[SHMRING_NAME_BYTES];
    shmring_instance_name(instance, expected);
    return strcmp(name, expected) == 0;
}

/* A producer that makes holes sets the feature and then the checksum, in a file that has its name already: in between
 * the two do not agree. */
static bool checksum_holds(const struct shmring_header *header)
{
    struct shmring_header other = *header;
    other.incompat_features ^= SHMRING_INCOMPAT_HOLES;
    return header->crc == shmring_crc32c(0, header, offsetof(struct shmring_header, crc)) ||
           header->crc == shmring_crc32c(0, &other, offsetof(struct shmring_header, crc));
}

static int check_header(const struct shmring_header *header, const char *name, uint64_t file_bytes)
{
    int err = check_version(header);
    if (err)
        return err;
    if (!checksum_holds(header))
        return -EBADMSG;
    if ((header->incompat_features & ~SHMRING_INCOMPAT_HOLES) != 0 || header->mode != SHMRING_MODE_DROP_NEWEST ||
        header->clock != SHMRING_CLOCK_UNIX_NS)
        return -EPROTONOSUPPORT;
    return geometry_sound(header, file_bytes) && name_matches(name, header->instance) ? 0 : -EBADMSG;
}

static int read_header(int fd, const char *name, uint64_t file_bytes, struct shmring_header *header)
{
    int err = file_bytes < SHMRING_PAGE ? -EBADMSG : shmring__read_exactly(fd, header, sizeof(*header), 0);
    bool unwritten = file_bytes < SHMRING_PAGE || (!err && all_zero(header->magic, sizeof(header->magic)));
    /* our producers link finished files; another producer may still be writing the header while it holds the lock */
    if (unwritten)
        return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -EAGAIN : -EBADMSG;
    return err ? err : check_header(header, name, file_bytes);
}

static int read_resource(int fd, const struct shmring_header *header, uint8_t **out)
{
    uint8_t *resource = malloc(header->resource_bytes + 1);
    int err =
        !resource ? -ENOMEM : shmring__read_exactly(fd, resource, header->resource_bytes, SHMRING_RESOURCE_OFFSET);
    if (!err && header->resource_crc != shmring_crc32c(0, resource, header->resource_bytes))
        err = -EBADMSG;
    if (err)
        free(resource);
    else
        *out = resource;
    return err;
}

static int open_file(int dir_fd, int fd, const char *name, struct shmring_reader **out)
{
    struct stat st = {0};
    struct shmring_header header = {0};
    uint8_t *resource = NULL;
    int err = check_file(dir_fd, fd, &st);
    if (!err)
        err = read_header(fd, name, (uint64_t)st.st_size, &header);
    if (!err)
        err = read_resource(fd, &header, &resource);
    if (err)
        return err;
    struct shmring_reader *reader = calloc(1, sizeof(*reader) + header.slot_count * sizeof(reader->slots[0]));
    if (!reader) {
        free(resource);
        return -ENOMEM;
    }
    reader->header = header;
    reader->resource = resource;
    reader->fd = fd;
    reader->uid = st.st_uid;
    *out = reader;
    return 0;
}

int shmring__open(int dir_fd, const char *name, struct shmring_reader **out)
{
    int fd = open_in(dir_fd, name);
    if (fd < 0)
        return fd;
    int err = open_file(dir_fd, fd, name, out);
    if (err)
        close(fd);
    return err;
}
