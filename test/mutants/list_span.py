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
]
