/* SPDX-License-Identifier: MIT
 *
 * What a proxy may answer to CONNECT: looked at after each byte, as it comes in, until it is understood or refused.
 */
#include "fuzz.h"
#include "net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* a copy of the exact size, so that reading past its end is seen */
    char *head = malloc(size + 1);
    fuzz_check(head);
    memcpy(head + 1, data, size);
    int answer = 0;
    size_t bytes = 0;
    while (!answer && bytes < size) {
        char why[PROXY_WHY_BYTES] = "";
        answer = proxy_answer(head + 1, ++bytes, why);
        fuzz_check(memchr(why, '\0', sizeof(why)));
        fuzz_check((answer < 0) == (*why != '\0')); /* refused in words, else without any */
    }
    fuzz_check(bytes <= PROXY_HEAD_MAX_BYTES); /* no answer is longer */
    fuzz_check(answer <= 0 || (bytes >= 16 && memcmp(data, "HTTP/1.", 7) == 0 && data[9] == '2'));
    free(head);
    return 0;
}
