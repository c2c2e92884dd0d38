# SPDX-License-Identifier: MIT
from mutants import Mutant

DECODE = "span/check_record_decode"

MUTANTS = [
    Mutant("daemon/span/record_decode.c", """            return false;
        attributes++;
""", """            return false;
        attributes--;
""", DECODE, "bools and arrays do not count towards the limit of attributes"),
    Mutant("daemon/span/record_decode.c", """                return refuse(walk, "a number that is not 8 bytes");
            attributes++;
""", """                return refuse(walk, "a number that is not 8 bytes");
""", DECODE, "numbers do not count towards the limit of attributes"),
    Mutant("daemon/span/record_decode.c", "[AISTRACE_ITEM_SERVICE] = {SCOPE_RESOURCE, false,",
           "[AISTRACE_ITEM_SERVICE] = {SCOPE_RESOURCE, true,", DECODE, "a service with a key passes"),
    Mutant("daemon/span/record_decode.c", "[AISTRACE_ITEM_ROLE] = {SCOPE_RESOURCE, false,",
           "[AISTRACE_ITEM_ROLE] = {SCOPE_RESOURCE, true,", DECODE, "a role with a key passes"),
    Mutant("daemon/span/record_decode.c", "is_zero_trace_id(link.trace_id) || load(link.span_id) == 0",
           "is_zero_trace_id(link.trace_id) && load(link.span_id) == 0", DECODE, "a link with half of its ids passes"),
    Mutant("daemon/span/record_decode.c", "bytes < sizeof(fixed) || bytes > UINT32_MAX", "bytes < sizeof(fixed)", DECODE,
           "a record over 4 GiB is read"),
    Mutant("daemon/span/record_decode.c", """    if (bytes > UINT32_MAX) {
        *problem = "a resource""", """    if (false) {
        *problem = "a resource""", DECODE, "a resource over 4 GiB is read"),
    Mutant("daemon/span/otlp_resource.c", "        if (item.value_bytes == 0)\n            continue;\n", "", "span/check_otlp_encode",
           "an empty role gives a service without a name"),
    Mutant("daemon/span/otlp_encode.c", "    } else if (bytes == 0) {\n        return true;\n", "", "span/check_otlp_encode", "an attribute without a key goes out"),
    Mutant("daemon/span/otlp_encode.c", "        counted.fixed.dropped_attributes += count_keyless(span->items, source.limit);\n", "",
           "span/check_otlp_encode", "attributes without a key vanish uncounted"),
    Mutant("daemon/span/otlp_encode.c", "    else\n        out = put_unknown(out, EVENT_NAME);\n", "", "span/check_otlp_encode", "an event without a name goes out"),
]
