/* SPDX-License-Identifier: MIT
 *
 * A producer's segment: created as a whole, and linked into the ring directory. Its end is in close.c.
 */
#include "producer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DEFAULT_SLOTS = 128,
    TEMPORARY_BYTES = SHMRING_NAME_BYTES + 1, /* a dot before it */
};
static const uint64_t default_ring_bytes = 1u << 20;
static const uint64_t default_ring_floor_bytes = 64u << 10;

/* A file on its way into the directory. */
struct draft {
    int dir_fd;
    int fd;
    bool named; /* has a temporary name: no O_TMPFILE or no /proc here */
    uint8_t instance[SHMRING_INSTANCE_BYTES];
    char name[SHMRING_NAME_BYTES];
    char temporary[TEMPORARY_BYTES];
};

static uint64_t round_up_to_power(uint64_t bytes)
{
    uint64_t power = SHMRING_RING_MIN;
    while (power < bytes && power < SHMRING_RING_MAX)
        power <<= 1;
    return power;
}

static uint64_t bytes_with_one_slot(uint64_t ring_bytes)
{
    return SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES + ring_bytes;
}

/* Rings of a size that is not asked for are such that all slots can have theirs, and the first has it for certain. */
static uint64_t ring_bytes_of(uint64_t asked, uint32_t slot_count, const struct shmring__left *left)
{
    uint64_t bytes = default_ring_bytes;
    if (asked > 0)
        return round_up_to_power(asked);
    while (bytes > default_ring_floor_bytes && (shmring__room_for(left, slot_count * bytes) != 0 ||
                                                shmring__room_for(left, bytes_with_one_slot(bytes)) != 0))
        bytes >>= 1;
    return bytes;
}

/* Ring sizes, and whether the segment may come into being: with one slot, it must not pass what is left. */
static int choose_sizes(struct shmring *ring, const struct shmring_options *options)
{
    struct shmring__left left;
    uint64_t asked = options->ring_bytes > 0 ? round_up_to_power(options->ring_bytes) : default_ring_bytes;
    int err = shmring__room_look(options->dir, shmring_file_bytes(ring->slot_count, asked), &left);
    if (err)
        return err;
    ring->ring_bytes = ring_bytes_of(options->ring_bytes, ring->slot_count, &left);
    ring->base_bytes = shmring_data_offset(ring->slot_count);
    ring->file_bytes = shmring_file_bytes(ring->slot_count, ring->ring_bytes);
    int64_t most = left.share < left.free ? left.share : left.free;
    ring->room.most = most > 0 ? (uint64_t)most : 0;
    ring->room.memory = left.memory;
    ring->room.held = SHMRING_SLOTS_OFFSET;
    return shmring__room_for(&left, bytes_with_one_slot(ring->ring_bytes));
}

static int random_bytes(uint8_t *out, size_t bytes)
{
    ssize_t n;
    do
        n = getrandom(out, bytes, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == bytes ? 0 : -EIO;
}

/* All zeros when the kernel does not tell. */
static void read_boot_id(uint8_t out[16])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    char text[64];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    unsigned nibble = 0;
    memset(out, 0, 16);
    for (ssize_t i = 0; i < n && nibble < 32; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            continue;
        out[nibble / 2] = (uint8_t)(out[nibble / 2] << 4 | digit);
        nibble++;
    }
    if (fd >= 0)
        close(fd);
}

static int draft_open(struct draft *draft)
{
    int err = random_bytes(draft->instance, sizeof(draft->instance));
    if (err)
        return err;
    shmring_instance_name(draft->instance, draft->name);
    draft->temporary[0] = '.';
    memcpy(draft->temporary + 1, draft->name, sizeof(draft->name));

    struct stat st;
    if (fstat(draft->dir_fd, &st) < 0)
        return -errno;
    /* In a directory shared by several users the group bits become the mask of its default ACL, which admits the
     * consumer; they must not be taken away here. */
    mode_t mode = st.st_mode & S_IRWXG ? 0660 : 0600;
    draft->fd = -1;
    if (access("/proc/self/fd", X_OK) == 0)
        draft->fd = openat(draft->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (draft->fd < 0) {
        draft->fd = openat(draft->dir_fd, draft->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        draft->named = draft->fd >= 0;
    }
    return draft->fd < 0 ? shmring__open_error() : 0;
}

static int draft_link(struct draft *draft)
{
    if (draft->named)
        return renameat(draft->dir_fd, draft->temporary, draft->dir_fd, draft->name) < 0 ? -errno : 0;
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", draft->fd);
    return linkat(AT_FDCWD, path, draft->dir_fd, draft->name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static void draft_drop(struct draft *draft)
{
    if (draft->named) /* nothing is there after a rename */
        unlinkat(draft->dir_fd, draft->temporary, 0);
    if (draft->fd >= 0)
        close(draft->fd);
    close(draft->dir_fd);
}

static int set_length(int fd, uint64_t file_bytes)
{
    struct rlimit limit;
    /* ftruncate over the limit sends SIGXFSZ, whose default action is to kill the host */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < file_bytes)
        return -EFBIG;
    return ftruncate(fd, (off_t)file_bytes) < 0 ? -errno : 0;
}

static void write_header(uint8_t *base, const struct shmring_options *options, uint32_t slot_count, uint64_t ring_bytes,
                         const uint8_t *instance)
{
    struct shmring_header *header = (struct shmring_header *)base;
    memcpy(header->magic, SHMRING_MAGIC, sizeof(header->magic));
    header->abi_major = SHMRING_ABI_MAJOR;
    header->abi_minor = SHMRING_ABI_MINOR;
    header->header_bytes = SHMRING_PAGE;
    memcpy(header->instance, instance, sizeof(header->instance));
    read_boot_id(header->boot_id);
    header->clock = SHMRING_CLOCK_UNIX_NS;
    header->mode = SHMRING_MODE_DROP_NEWEST;
    header->slot_count = slot_count;
    header->slot_stride = SHMRING_SLOT_STRIDE;
    header->ring_bytes = ring_bytes;
    header->first_position = options->first_position;
    header->data_offset = shmring_data_offset(slot_count);
    header->file_bytes = shmring_file_bytes(slot_count, ring_bytes);
    header->resource_bytes = options->resource_bytes;
    if (options->resource_bytes > 0)
        memcpy(base + SHMRING_RESOURCE_OFFSET, options->resource, options->resource_bytes);
    header->resource_crc = shmring_crc32c(0, base + SHMRING_RESOURCE_OFFSET, options->resource_bytes);
    header->pid = (uint32_t)getpid();
    header->crc = shmring_crc32c(0, header, offsetof(struct shmring_header, crc));
}

/* For what is done by name later: rights and the working directory may change. */
static int remember_name(struct shmring *ring, const struct draft *draft, const char *dir)
{
    struct stat st;
    if (fstat(draft->fd, &st) < 0)
        return -errno;
    ring->dev = ring->room.dev = st.st_dev;
    ring->ino = st.st_ino;
    memcpy(ring->name, draft->name, sizeof(ring->name));
    ring->room.dir = realpath(dir, NULL);
    if (!ring->room.dir)
        return -errno;
    size_t bytes = strlen(ring->room.dir) + 1 + sizeof(ring->name);
    ring->path = malloc(bytes);
    if (!ring->path)
        return -ENOMEM;
    snprintf(ring->path, bytes, "%s/%s", ring->room.dir, ring->name);
    return 0;
}

static int fill_draft(struct shmring *ring, const struct shmring_options *options, struct draft *draft)
{
    int err = set_length(draft->fd, ring->file_bytes);
    if (err)
        return err;
    if (flock(draft->fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    err = remember_name(ring, draft, options->dir);
    if (!err)
        err = shmring__map(ring, draft->fd);
    if (err)
        return err;
    ring->counters = (struct shmring_counters *)(ring->base + SHMRING_COUNTERS_OFFSET);
    write_header(ring->base, options, ring->slot_count, ring->ring_bytes, draft->instance);
    struct shmring_control *control = (struct shmring_control *)(ring->base + SHMRING_CONTROL_OFFSET);
    atomic_store_explicit(&control->flags, options->control_flags, memory_order_relaxed);
    atomic_store_explicit(&control->sampling_threshold, options->sampling_threshold, memory_order_relaxed);
    return draft_link(draft);
}

static void undo(struct shmring *ring)
{
    if (ring)
        shmring__unmap(ring);
    shmring_abandon(ring);
}

static int create_in(int dir_fd, const struct shmring_options *options, struct shmring **out)
{
    struct draft draft = {.dir_fd = dir_fd, .fd = -1};
    uint32_t slot_count = options->slot_count > 0 ? options->slot_count : DEFAULT_SLOTS;
    struct shmring *ring = calloc(1, sizeof(*ring) + slot_count * sizeof(ring->writers[0]));
    int err = -ENOMEM;
    if (!ring)
        goto done;
    ring->slot_count = slot_count;
    ring->first_position = options->first_position;
    ring->in_memory = shmring__dir_in_memory(dir_fd);
    err = choose_sizes(ring, options);
    if (err)
        goto done;
    err = draft_open(&draft);
    if (err)
        goto done;
    err = fill_draft(ring, options, &draft);
done:
    draft_drop(&draft);
    if (err)
        undo(ring);
    else
        *out = ring;
    return err;
}

int shmring_create(const struct shmring_options *options, struct shmring **out)
{
    if (!options->dir || options->slot_count > SHMRING_SLOTS_MAX || options->first_position % SHMRING_ALIGN != 0 ||
        (!options->resource && options->resource_bytes > 0))
        return -EINVAL;
    if (options->resource_bytes > SHMRING_RESOURCE_MAX)
        return -E2BIG;
    int dir_fd = shmring_dir_open(options->dir, options->trusted_uid);
    return dir_fd < 0 ? dir_fd : create_in(dir_fd, options, out);
}

void shmring_abandon(struct shmring *ring)
{
    if (!ring)
        return;
    for (uint32_t slot = 0; slot < ring->slots; slot++)
        free(ring->writers[slot]);
    free(ring->path);
    free(ring->room.dir);
    free(ring);
}

bool shmring_in_memory(const struct shmring *ring)
{
    return ring->in_memory;
}

const char *shmring_name(const struct shmring *ring)
{
    return ring->name;
}

const struct shmring_control *shmring_control(const struct shmring *ring)
{
    return (const struct shmring_control *)(ring->base + SHMRING_CONTROL_OFFSET);
}

void shmring_count_drops(struct shmring *ring, enum shmring_drop reason, uint64_t count)
{
    atomic_fetch_add_explicit(&ring->counters->dropped[reason], count, memory_order_relaxed);
}
