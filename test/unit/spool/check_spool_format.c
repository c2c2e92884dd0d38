/* SPDX-License-Identifier: MIT
 *
 * The bytes of a spool file, without a file: what is found after damage.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shmring.h"
#include "spool/spool_format.h"
#include "support/test.h"

enum { RECORDS = 4, FILE_BYTES = SPOOL_FIRST + 8192, ID = 0x1122 };

static uint8_t file[FILE_BYTES];
static size_t used;
static uint64_t offsets[RECORDS + 1];

static size_t reads_until_error = SIZE_MAX;

static int read_memory(void *user, uint64_t offset, void *to, size_t bytes)
{
    if (reads_until_error != SIZE_MAX && reads_until_error-- == 0)
        return -EINTR;
    if (offset + bytes > FILE_BYTES)
        return -EIO;
    memcpy(to, (const uint8_t *)user + offset, bytes);
    return 0;
}

static struct spool_input input_of(uint8_t *data)
{
    return (struct spool_input){read_memory, data, FILE_BYTES, ID};
}

/* Record i has i + 1 claims, and a request of 100 (i + 1) bytes of the letter i. */
static void append_record(unsigned i, bool settled)
{
    struct spool_claim claims[RECORDS] = {{.begin = 1000 * i, .end = 1000 * i + 500, .spans = i + 1}};
    uint8_t request[100 * RECORDS];
    uint32_t bytes = 100 * (i + 1);
    memset(request, 'a' + (int)i, bytes);
    struct spool_head head = {.file_id = ID,
                              .offset = used,
                              .claim_count = i + 1,
                              .span_count = i + 1,
                              .request_bytes = bytes,
                              .request_crc = shmring_crc32c(0, request, bytes)};
    struct buf out = {0};
    ck_assert_int_eq(spool_encode_record(&out, &head, claims), 0);
    memcpy(file + used, out.data, out.len);
    memcpy(file + used + out.len, request, bytes);
    ck_assert_uint_eq(used + out.len, spool_request_offset(&head));
    buf_done(&out);
    if (settled) {
        struct spool_note note = {.exported = i, .rejected = 1};
        spool_encode_note(&note, ID, used);
        memcpy(file + used + sizeof(head), &note, sizeof(note));
    }
    offsets[i] = used;
    used += spool_record_bytes(i + 1, bytes);
}

static void set_up(void)
{
    spool_encode_file_head(file, 7, ID);
    used = SPOOL_FIRST;
    for (unsigned i = 0; i < RECORDS; i++)
        append_record(i, i == 1);
    offsets[RECORDS] = used;
}

FIXTURE(set_up, NULL);

static bool request_whole(const uint8_t *data, const struct spool_head *head)
{
    return shmring_crc32c(0, data + spool_request_offset(head), head->request_bytes) == head->request_crc;
}

/* -> bit i: record i was found, with its request whole */
static unsigned found_records(uint8_t *data, unsigned *gaps)
{
    struct spool_input input = input_of(data);
    struct spool_found found;
    struct buf claims = {0};
    uint64_t offset = SPOOL_FIRST;
    unsigned seen = 0;
    int result;
    *gaps = 0;
    while ((result = spool_find_record(&input, &offset, &claims, &found)) == 1) {
        unsigned i = found.head.span_count - 1;
        ck_assert_uint_lt(i, RECORDS);
        ck_assert_uint_eq(found.head.offset, offsets[i]);
        ck_assert_uint_eq(found.claims[0].begin, 1000 * i);
        *gaps += found.after_gap;
        if (request_whole(data, &found.head))
            seen |= 1u << i;
    }
    ck_assert_int_eq(result, 0);
    buf_done(&claims);
    return seen;
}

static unsigned count(unsigned bits)
{
    return (unsigned)__builtin_popcount(bits);
}

TEST(records_are_found_in_order_with_notes_and_claims)
{
    struct spool_input input = input_of(file);
    struct spool_found found;
    struct buf claims = {0};
    uint64_t offset = SPOOL_FIRST;
    for (unsigned i = 0; i < RECORDS; i++) {
        ck_assert_int_eq(spool_find_record(&input, &offset, &claims, &found), 1);
        ck_assert_uint_eq(found.head.claim_count, i + 1);
        ck_assert(!found.after_gap);
        ck_assert_uint_eq(found.note.settled != 0, i == 1);
        ck_assert_uint_eq(found.note.exported, i == 1 ? 1 : 0);
        ck_assert_uint_eq(offset, offsets[i + 1]);
    }
    ck_assert_int_eq(spool_find_record(&input, &offset, &claims, &found), 0);
    buf_done(&claims);
}

LOOP_TEST(a_changed_byte_costs_at_most_its_record, 3)
{
    static uint8_t data[FILE_BYTES];
    static const uint8_t masks[] = {0xff, 0x01, 0x80};
    for (size_t at = 0; at < used; at++) {
        memcpy(data, file, sizeof(data));
        data[at] ^= masks[_i];
        struct spool_file_head head;
        unsigned gaps;
        ck_assert_int_eq(spool_decode_file_head(data, &head), 0);
        ck_assert_uint_eq(head.id, ID);
        unsigned seen = found_records(data, &gaps);
        ck_assert_msg(count(seen) >= RECORDS - 1, "byte %zu: %x", at, seen);
        for (unsigned i = 0; i < RECORDS; i++)
            if (at < offsets[i] || at >= offsets[i + 1])
                ck_assert_msg(seen & 1u << i, "byte %zu costs record %u", at, i);
    }
}

/* A daemon that died while it wrote: the file ends in zeros, or in what a former use left. */
LOOP_TEST(every_prefix_opens_and_holds_every_whole_record, 2)
{
    static uint8_t data[FILE_BYTES], former[FILE_BYTES];
    memset(former, 0, sizeof(former));
    if (_i) {
        memcpy(former, file, sizeof(former));
        for (unsigned i = 0; i < RECORDS; i++) {
            uint64_t id = ID + 1;
            memcpy(former + offsets[i] + offsetof(struct spool_head, file_id), &id, sizeof(id));
            spool_seal_record(former + offsets[i], 0);
        }
    }
    for (size_t bytes = SPOOL_FIRST; bytes <= used; bytes++) {
        memcpy(data, file, bytes);
        memcpy(data + bytes, former + bytes, sizeof(data) - bytes);
        unsigned gaps, seen = found_records(data, &gaps);
        for (unsigned i = 0; i < RECORDS; i++) {
            bool whole = offsets[i + 1] <= bytes;
            ck_assert_msg(!whole || seen & 1u << i, "%zu bytes: record %u is gone", bytes, i);
        }
        ck_assert_uint_eq(gaps, 0);
    }
}

TEST(a_torn_note_counts_as_none)
{
    struct spool_note note = {.exported = 3};
    spool_encode_note(&note, ID, 4096);
    ck_assert(spool_note_holds(&note, ID, 4096));
    ck_assert(!spool_note_holds(&note, ID, 8192));
    ck_assert(!spool_note_holds(&note, ID + 1, 4096));
    for (size_t at = 0; at < sizeof(note); at++) {
        struct spool_note torn = note;
        ((uint8_t *)&torn)[at] ^= 0x10;
        ck_assert(!spool_note_holds(&torn, ID, 4096));
    }
}

static void bytes_are(const uint8_t *data, size_t bytes, const char *hex)
{
    ck_assert_uint_eq(strlen(hex), 2 * bytes);
    for (size_t i = 0; i < bytes; i++) {
        char digits[3];
        snprintf(digits, sizeof(digits), "%02x", data[i]);
        ck_assert_msg(memcmp(digits, hex + 2 * i, 2) == 0, "byte %zu is %s, not %.2s", i, digits, hex + 2 * i);
    }
}

/* What every version has written and will read, computed apart from this program. */
TEST(the_bytes_are_those_of_version_1)
{
    static const uint64_t id = 0x1122334455667788, at = SPOOL_FIRST;
    static const char request[] = "a request";
    static const uint8_t zeros[SPOOL_FIRST];
    uint8_t page[SPOOL_FIRST];
    memset(page, 0xff, sizeof(page));
    spool_encode_file_head(page, 7, id);
    bytes_are(page, 32, "61697373706f6f6c0100000090b8f14607000000000000008877665544332211");
    ck_assert_mem_eq(page + SPOOL_HEAD_STRIDE, page, 32);
    ck_assert_mem_eq(page + 32, zeros, SPOOL_HEAD_STRIDE - 32);
    ck_assert_mem_eq(page + SPOOL_HEAD_STRIDE + 32, zeros, SPOOL_FIRST - SPOOL_HEAD_STRIDE - 32);

    struct spool_head head;
    memset(&head, 0xff, sizeof(head)); /* reserved bytes are written as zeros */
    head.file_id = id;
    head.offset = at;
    head.claim_count = 1;
    head.span_count = 5;
    head.request_bytes = sizeof(request) - 1;
    head.request_crc = 0;
    struct spool_claim claim = {.begin = 1000, .end = 2500, .slot = 3, .spans = 5, .sampled_out = 2};
    for (uint8_t i = 0; i < sizeof(claim.instance); i++)
        claim.instance[i] = 0xa0 + i;
    for (uint32_t i = 0; i < SPOOL_REASONS; i++)
        claim.dropped[i] = i + 1;
    struct buf record = {0};
    ck_assert_int_eq(spool_encode_record(&record, &head, &claim), 0);
    spool_seal_record(record.data, shmring_crc32c(0, request, sizeof(request) - 1));
    ck_assert_uint_eq(spool_request_offset(&head), at + record.len);
    bytes_are(record.data, record.len,
              "6169737370616e738877665544332211001000000000000001000000050000000900000081b1c22c0000000000000000"
              "00000000000000000000000028d5fb14" /* then the note's place */
              "0000000000000000000000000000000000000000000000000000000000000000"
              "0000000000000000000000000000000000000000000000000000000000000000"
              "a0a1a2a3a4a5a6a7a8a9aaabacadaeafe803000000000000c4090000000000000300000005000000"
              "02000000010000000200000003000000040000000500000006000000070000000800000000000000");
    buf_done(&record);

    struct spool_note note;
    memset(&note, 0xff, sizeof(note));
    note.exported = 3;
    note.rejected = note.dropped = 1;
    note.reason = 4;
    spool_encode_note(&note, id, at);
    bytes_are((const uint8_t *)&note, sizeof(note),
              "7374746c030000000100000001000000040000000000000000000000000000000000000000000000"
              "00000000000000000000000000000000000000001bb8c8c9");
}

TEST(records_are_aligned)
{
    static const struct {
        size_t claims, request, bytes;
    } cases[] = {{0, 0, 128}, {0, 1, 192}, {0, 64, 192}, {0, 65, 256}, {1, 100, 320}, {4, 0, 448}, {4, 1, 512}};
    for (size_t i = 0; i < COUNT(cases); i++)
        ck_assert_uint_eq(spool_record_bytes(cases[i].claims, cases[i].request), cases[i].bytes);
}

TEST(of_two_heads_the_newer_counts)
{
    struct spool_file_head head;
    uint8_t other[SPOOL_FIRST];
    spool_encode_file_head(other, 8, ID + 1);
    memcpy(file, other, sizeof(head)); /* begun anew, and died between the copies */
    ck_assert_int_eq(spool_decode_file_head(file, &head), 0);
    ck_assert_uint_eq(head.id, ID + 1);
    memset(file, 0, sizeof(head));
    ck_assert_int_eq(spool_decode_file_head(file, &head), 0);
    ck_assert_uint_eq(head.id, ID);
    memset(file + SPOOL_HEAD_STRIDE, 0, sizeof(head));
    ck_assert_int_eq(spool_decode_file_head(file, &head), -EBADMSG);
}

TEST(another_version_is_left_alone)
{
    struct spool_file_head head;
    for (size_t at = 0; at < SPOOL_FIRST; at += SPOOL_HEAD_STRIDE)
        file[at + offsetof(struct spool_file_head, version)]++;
    ck_assert_int_eq(spool_decode_file_head(file, &head), -EPROTONOSUPPORT);
}

TEST(a_request_cannot_pass_for_a_record)
{
    unsigned gaps;
    uint64_t inner = offsets[3] + SPOOL_ALIGN * 8;
    memcpy(file + inner, file + offsets[0], SPOOL_ALIGN * 4); /* a record's bytes, elsewhere */
    file[offsets[3]] ^= 1;
    ck_assert_uint_eq(found_records(file, &gaps), 7);
}

/* The first record is damaged, so that its place, the window searched, and the next one are read. */
TEST(what_cannot_be_read_is_told)
{
    struct spool_found found;
    struct buf claims = {0};
    size_t n = 0;
    file[offsets[0]] ^= 1;
    for (int result = 0; result != 1; n++) {
        struct spool_input input = input_of(file);
        uint64_t offset = SPOOL_FIRST;
        reads_until_error = n;
        result = spool_find_record(&input, &offset, &claims, &found);
        if (result != 1) {
            ck_assert_int_eq(result, -EINTR);
            ck_assert_uint_eq(offset, SPOOL_FIRST);
        }
        ck_assert_uint_lt(n, 10);
    }
    ck_assert_uint_eq(n, 5);
    buf_done(&claims);
}

/* No more room than for half of a head, and none at all. */
LOOP_TEST(the_last_record_may_end_with_the_file, 3)
{
    static const size_t rooms[] = {0, SPOOL_ALIGN, SPOOL_ALIGN / 2};
    struct spool_input input = {read_memory, file, used + rooms[_i], ID};
    struct spool_found found;
    struct buf claims = {0};
    uint64_t offset = SPOOL_FIRST;
    for (unsigned i = 0; i < RECORDS; i++)
        ck_assert_int_eq(spool_find_record(&input, &offset, &claims, &found), 1);
    ck_assert_int_eq(spool_find_record(&input, &offset, &claims, &found), 0);
    ck_assert_uint_eq(offset, used);
    input.bytes = used - 1;
    offset = offsets[RECORDS - 1];
    ck_assert_int_eq(spool_find_record(&input, &offset, &claims, &found), 0); /* it passes the end */
    buf_done(&claims);
}

LOOP_TEST(impossible_lengths_are_no_records, 3)
{
    static const uint32_t lengths[] = {UINT32_MAX, FILE_BYTES, FILE_BYTES - SPOOL_FIRST};
    unsigned gaps;
    memcpy(file + offsets[0] + offsetof(struct spool_head, request_bytes), &lengths[_i], 4);
    ck_assert_uint_eq(found_records(file, &gaps), 14);
    memcpy(file + offsets[1] + offsetof(struct spool_head, claim_count), &lengths[_i], 4);
    ck_assert_uint_eq(found_records(file, &gaps), 12);
    ck_assert_uint_eq(gaps, 1);
}
