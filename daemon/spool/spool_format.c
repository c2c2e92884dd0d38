/* SPDX-License-Identifier: MIT */
#include "spool_format.h"

#include <errno.h>
#include <string.h>

#include "shmring.h"

enum { SEARCH_BYTES = 64 << 10 };

static uint64_t align_up(uint64_t bytes)
{
    return (bytes + SPOOL_ALIGN - 1) & ~(uint64_t)(SPOOL_ALIGN - 1);
}

static uint64_t lead_bytes(size_t claim_count)
{
    return sizeof(struct spool_head) + sizeof(struct spool_note) + claim_count * sizeof(struct spool_claim);
}

uint64_t spool_record_bytes(size_t claim_count, size_t request_bytes)
{
    return align_up(lead_bytes(claim_count) + request_bytes);
}

uint64_t spool_request_offset(const struct spool_head *head)
{
    return head->offset + lead_bytes(head->claim_count);
}

/* ---- the file's head ---- */

static uint32_t file_head_crc(const struct spool_file_head *head)
{
    size_t from = offsetof(struct spool_file_head, sequence);
    return shmring_crc32c(SPOOL_VERSION, (const uint8_t *)head + from, sizeof(*head) - from);
}

void spool_encode_file_head(uint8_t page[SPOOL_FIRST], uint64_t sequence, uint64_t id)
{
    struct spool_file_head head = {.version = SPOOL_VERSION, .sequence = sequence, .id = id};
    memcpy(head.magic, SPOOL_FILE_MAGIC, sizeof(head.magic));
    head.crc = file_head_crc(&head);
    memset(page, 0, SPOOL_FIRST);
    memcpy(page, &head, sizeof(head));
    memcpy(page + SPOOL_HEAD_STRIDE, &head, sizeof(head));
}

int spool_decode_file_head(const uint8_t page[SPOOL_FIRST], struct spool_file_head *out)
{
    bool found = false, foreign = false;
    for (size_t at = 0; at < SPOOL_FIRST; at += SPOOL_HEAD_STRIDE) {
        struct spool_file_head head;
        memcpy(&head, page + at, sizeof(head));
        if (memcmp(head.magic, SPOOL_FILE_MAGIC, sizeof(head.magic)) != 0)
            continue;
        if (head.crc != file_head_crc(&head) || head.version != SPOOL_VERSION) {
            foreign |= head.version != SPOOL_VERSION;
            continue;
        }
        if (!found || head.sequence > out->sequence)
            *out = head;
        found = true;
    }
    if (found)
        return 0;
    return foreign ? -EPROTONOSUPPORT : -EBADMSG;
}

/* ---- records ---- */

static uint32_t head_crc(const struct spool_head *head, const void *claims)
{
    uint32_t crc = shmring_crc32c(0, head, offsetof(struct spool_head, crc));
    return shmring_crc32c(crc, claims, head->claim_count * sizeof(struct spool_claim));
}

int spool_encode_record(struct buf *out, const struct spool_head *head, const struct spool_claim *claims)
{
    struct spool_head whole = *head;
    memcpy(whole.magic, SPOOL_RECORD_MAGIC, sizeof(whole.magic));
    memset(whole.reserved, 0, sizeof(whole.reserved));
    whole.crc = head_crc(&whole, claims);
    int err = buf_reserve(out, lead_bytes(head->claim_count));
    if (err)
        return err;
    const struct spool_note none = {0};
    buf_append(out, &whole, sizeof(whole));
    buf_append(out, &none, sizeof(none));
    return buf_append(out, claims, head->claim_count * sizeof(*claims));
}

void spool_seal_record(uint8_t *record, uint32_t request_crc)
{
    struct spool_head head;
    memcpy(&head, record, sizeof(head));
    head.request_crc = request_crc;
    head.crc = head_crc(&head, record + lead_bytes(0));
    memcpy(record, &head, sizeof(head));
}

static uint32_t note_crc(const struct spool_note *note, uint64_t file_id, uint64_t offset)
{
    const uint64_t place[] = {file_id, offset};
    return shmring_crc32c(shmring_crc32c(0, place, sizeof(place)), note, offsetof(struct spool_note, crc));
}

void spool_encode_note(struct spool_note *note, uint64_t file_id, uint64_t offset)
{
    note->settled = SPOOL_SETTLED;
    memset(note->reserved, 0, sizeof(note->reserved));
    note->crc = note_crc(note, file_id, offset);
}

bool spool_note_holds(const struct spool_note *note, uint64_t file_id, uint64_t offset)
{
    return note->settled == SPOOL_SETTLED && note->crc == note_crc(note, file_id, offset);
}

/* ---- looking for records ---- */

static bool plausible(const struct spool_input *input, const struct spool_head *head, uint64_t offset)
{
    return memcmp(head->magic, SPOOL_RECORD_MAGIC, sizeof(head->magic)) == 0 && head->file_id == input->file_id &&
           head->offset == offset && head->claim_count <= SPOOL_CLAIMS_MAX &&
           spool_record_bytes(head->claim_count, head->request_bytes) <= input->bytes - offset;
}

/* -> 1: a record; 0: none */
static int decode_at(const struct spool_input *input, uint64_t offset, struct buf *claims, struct spool_found *found)
{
    struct spool_head head;
    if (input->bytes - offset < lead_bytes(0))
        return 0;
    int err = input->read_cb(input->user, offset, &head, sizeof(head));
    if (err || !plausible(input, &head, offset))
        return err;
    size_t bytes = head.claim_count * sizeof(struct spool_claim);
    claims->len = 0;
    err = buf_reserve(claims, bytes + sizeof(found->note));
    if (err)
        return err;
    err = input->read_cb(input->user, offset + sizeof(head), claims->data, sizeof(found->note) + bytes);
    if (err)
        return err;
    struct spool_note note;
    memcpy(&note, claims->data, sizeof(note));
    const uint8_t *at = claims->data + sizeof(note);
    if (head.crc != head_crc(&head, at))
        return 0;
    if (!spool_note_holds(&note, input->file_id, offset))
        note = (struct spool_note){0};
    *found = (struct spool_found){.head = head, .note = note, .claims = (const void *)at};
    return 1;
}
static_assert(sizeof(struct spool_note) % _Alignof(struct spool_claim) == 0, "claims are aligned behind the note");

/* The first record of the window, which lies at `at`. *offset moves to it. -> 1, 0: none, or -errno */
static int find_in(const struct spool_input *input, uint64_t at, const struct buf *window, uint64_t *offset,
                   struct buf *claims, struct spool_found *found)
{
    for (size_t i = 0; i < window->len; i += SPOOL_ALIGN) {
        struct spool_head head;
        memcpy(&head, window->data + i, sizeof(head));
        if (!plausible(input, &head, at + i))
            continue;
        int result = decode_at(input, at + i, claims, found);
        *offset = at + i;
        if (result != 0)
            return result;
    }
    return 0;
}

/* There is no record where one should be: finds the next one. As find_in. */
static int search(const struct spool_input *input, uint64_t *offset, struct buf *claims, struct spool_found *found)
{
    struct buf window = {0};
    int result = buf_reserve(&window, SEARCH_BYTES);
    for (uint64_t at = *offset; result == 0 && at + SPOOL_ALIGN <= input->bytes; at += window.len) {
        uint64_t left = (input->bytes - at) & ~(uint64_t)(SPOOL_ALIGN - 1);
        window.len = left < SEARCH_BYTES ? (size_t)left : SEARCH_BYTES;
        result = input->read_cb(input->user, at, window.data, window.len);
        if (!result)
            result = find_in(input, at, &window, offset, claims, found);
    }
    buf_done(&window);
    return result;
}

int spool_find_record(const struct spool_input *input, uint64_t *offset, struct buf *claims, struct spool_found *found)
{
    uint64_t at = *offset;
    int result = at < input->bytes ? decode_at(input, at, claims, found) : 0;
    bool gap = result == 0;
    if (gap && at < input->bytes)
        result = search(input, &at, claims, found);
    if (result != 1)
        return result;
    found->after_gap = gap;
    *offset = at + spool_record_bytes(found->head.claim_count, found->head.request_bytes);
    return 1;
}
