/* SPDX-License-Identifier: MIT
 *
 * Memory that is missing while the configuration is loaded.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config/config_schema.h"
#include "config/config_value.h"
#include "support/failing.h"
#include "support/test.h"
/* With calls that fail. */
#include "config/config_endpoint.c"

/* Reads the files: what it is given is whole. */
static int check_endpoint(void *user, struct config *config, struct buf *faults)
{
    (void)user;
    (void)faults;
    ck_assert_ptr_nonnull(config->host);
    ck_assert_ptr_nonnull(config->port);
    return 0;
}

TEST(an_endpoint_without_memory_for_it_is_no_configuration)
{
    const struct config_flags flags = {.endpoint = "localhost:4317"};
    struct config *config = NULL;
    struct buf errors = {0};
    clearenv();
    for (unsigned part = 0; part < 2; part++) { /* host, port */
        fail_call("strdup", part, ENOMEM);
        ck_assert_int_eq(config_load(&flags, check_endpoint, NULL, &config, &errors), -ENOMEM);
        ck_assert(failed());
    }
    ck_assert_int_eq(config_load(&flags, check_endpoint, NULL, &config, &errors), 0);
    config_unref(config);
    buf_done(&errors);
}
