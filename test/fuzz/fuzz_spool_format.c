/* SPDX-License-Identifier: MIT
 *
 * A spool file. Its first byte says what is changed of a sound file: otherwise no checksum would ever hold. 0: nothing,
 * the input is the file; else the input lies over a file of a few records, from that many times 16 bytes on.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "shmring.h"
#include "spool/spool_format.h"

enum { FILE_BYTES = SPOOL_FIRST + 4096, ID = 7, RECORDS = 3 };

static int read_cb(void *user, uint64_t offset, void *to, size_t bytes)
{
    fuzz_check(offset <= FILE_BYTES && bytes <= FILE_BYTES - offset); /* it knows how long the file is */
    memcpy(to, (const uint8_t *)user + offset, bytes);
    return 0;
}

static void make_sound(uint8_t *file)
{
    const struct spool_claim claims[RECORDS] = {{.begin = 0, .end = 480, .spans = 5}};
    uint64_t at = SPOOL_FIRST;
    spool_encode_file_head(file, 1, ID);
    for (uint32_t i = 0; i < RECORDS; i++) {
        struct buf out = {0};
        struct spool_head head = {
            .file_id = ID, .offset = at, .claim_count = i + 1, .span_count = 5, .request_bytes = 100 * i};
        fuzz_check(spool_encode_record(&out, &head, claims) == 0);
        memcpy(file + at, out.data, out.len);
        buf_done(&out);
        at += spool_record_bytes(i + 1, 100 * i);
    }
}

/* What is found lies in the file, in order, apart, and says its own place. */
static void find_all(const struct spool_input *input)
{
    struct spool_found found;
    struct buf claims = {0};
    uint64_t offset = SPOOL_FIRST, before = SPOOL_FIRST;
    int result;
    while ((result = spool_find_record(input, &offset, &claims, &found)) == 1) {
        fuzz_check(found.head.offset >= before && found.head.offset % SPOOL_ALIGN == 0);
        fuzz_check(offset > found.head.offset && offset <= input->bytes);
        fuzz_check(spool_request_offset(&found.head) + found.head.request_bytes <= offset);
        fuzz_check(found.note.settled == 0 || spool_note_holds(&found.note, input->file_id, found.head.offset));
        fuzz_read(found.claims, found.head.claim_count * sizeof(*found.claims));
        before = offset;
    }
    fuzz_check(result == 0);
    buf_done(&claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[FILE_BYTES];
    struct spool_file_head head = {.id = ID};
    size_t from = size > 0 ? data[0] * 16u : 0;
    memset(file, 0, sizeof(file));
    if (from > 0)
        make_sound(file);
    if (from > SPOOL_FIRST / 2)
        from += SPOOL_FIRST / 2; /* among the records */
    if (size > 1)
        memcpy(file + from, data + 1, size - 1 < sizeof(file) - from ? size - 1 : sizeof(file) - from);
    int err = spool_decode_file_head(file, &head);
    fuzz_check(!err || err == -EBADMSG || err == -EPROTONOSUPPORT);
    find_all(&(struct spool_input){read_cb, file, FILE_BYTES, head.id});
    return 0;
}
