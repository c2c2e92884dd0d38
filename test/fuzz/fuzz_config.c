/* SPDX-License-Identifier: MIT
 *
 * The configuration file.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/config.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    char path[64];
    struct buf text = {0}, errors = {0};
    struct config *config = NULL;
    if (file < 0)
        fuzz_check(clearenv() == 0 && (file = memfd_create("config", MFD_CLOEXEC)) >= 0);
    fuzz_check(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    if (config_load(&(struct config_flags){.file = path}, NULL, NULL, &config, &errors) == 0) {
        fuzz_check(config_print(config, &text) == 0 && text.len > 0);
        config_unref(config);
    } else {
        fuzz_check(errors.len > 0);
    }
    buf_done(&text);
    buf_done(&errors);
    return 0;
}
