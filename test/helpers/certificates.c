/* SPDX-License-Identifier: MIT
 *
 * certificates authority DIR                         DIR/ca.pem and DIR/ca.key
 * certificates issue DIR NAME USAGE [ALT_NAMES]      DIR/NAME.pem and DIR/NAME.key, signed by it
 *
 * For tests. USAGE is serverAuth or clientAuth; ALT_NAMES such as "DNS:localhost, IP:127.0.0.1". Files are replaced by
 * renaming, first the key.
 */
#include <stdio.h>
#include <string.h>

#include "../support/certificates.h"

static void path_of(char path[256], const char *directory, const char *name, const char *suffix)
{
    snprintf(path, 256, "%s/%s.%s", directory, name, suffix);
}

static void write_both(const char *directory, const char *name, const struct certificate *certificate)
{
    char path[256];
    path_of(path, directory, name, "key");
    certificate_write_key(path, certificate);
    path_of(path, directory, name, "pem");
    certificate_write_chain(path, (const struct certificate *[]){certificate, NULL});
}

int main(int argc, char **argv)
{
    struct certificate authority, issued;
    if (argc == 3 && strcmp(argv[1], "authority") == 0) {
        certificate_make(&(struct certificate_wish){.common_name = "authority", .authority = true}, NULL, &authority);
        write_both(argv[2], "ca", &authority);
    } else if ((argc == 5 || argc == 6) && strcmp(argv[1], "issue") == 0) {
        char path[256], key_path[256];
        path_of(path, argv[2], "ca", "pem");
        path_of(key_path, argv[2], "ca", "key");
        certificate_read(path, key_path, &authority);
        certificate_make(&(struct certificate_wish){.common_name = argv[3],
                                                    .usage = argv[4],
                                                    .alt_names = argc > 5 ? argv[5] : NULL},
                         &authority, &issued);
        write_both(argv[2], argv[3], &issued);
        certificate_done(&issued);
    } else {
        fprintf(stderr, "usage: certificates authority DIR | issue DIR NAME USAGE [ALT_NAMES]\n");
        return 64;
    }
    certificate_done(&authority);
    return 0;
}
