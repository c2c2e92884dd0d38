/* SPDX-License-Identifier: MIT
 *
 * A request to the admin's HTTP, as it comes in: judged after each byte until there is an answer.
 */
#include "admin/admin_http.h"
#include "base/buf.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int status = 0;
    size_t bytes = 0;
    struct admin_request request = {0};
    struct buf body = {0}, response = {0};
    /* copies of the exact size, so that reading past their ends is seen */
    while (!status && bytes < size) {
        char *copy = malloc(++bytes);
        fuzz_check(copy);
        memcpy(copy, data, bytes);
        status = admin_http_parse(copy, bytes, &request);
        free(copy);
    }
    fuzz_check(status == 0 || status == 200 || status == 400 || status == 404 || status == 405);
    fuzz_check(status != 200 || (bytes >= 16 && data[bytes - 1] == '\n' && request.page <= ADMIN_READYZ));
    fuzz_check(status != 200 || memcmp(data, request.head ? "HEAD /" : "GET /", request.head ? 6 : 5) == 0);
    if (status) {
        fuzz_check(admin_http_response(status, request.head, &body, &response) == 0);
        fuzz_read(response.data, response.len);
    }
    buf_done(&response);
    return 0;
}
