/* SPDX-License-Identifier: MIT */
#ifndef AISTRACE_RESOURCE_H
#define AISTRACE_RESOURCE_H

#include <stdint.h>

#include "aistrace.h"
#include "shmring_format.h"

struct aistrace__resource {
    uint32_t bytes;
    uint32_t pid_offset; /* of the value of process.pid, which a forked child replaces; 0: left out */
    uint32_t attributes; /* at most AISTRACE_MAX_ATTRIBUTES */
    uint8_t data[SHMRING_RESOURCE_MAX];
};

/* Composes the segment's resource: role or service, the library's attributes, then the caller's. What is over
 * AISTRACE_MAX_ATTRIBUTES or SHMRING_RESOURCE_MAX, or has no key or no known type, is left out, which a debug line
 * tells.
 * -> -EINVAL: neither or both of role and service_name, or a name that alone does not fit. */
int aistrace__resource_compose(const struct aistrace_options *options, struct aistrace__resource *out);

/* Makes the resource this process's own. */
void aistrace__resource_set_pid(struct aistrace__resource *resource);

#endif
