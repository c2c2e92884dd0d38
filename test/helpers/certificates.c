/* SPDX-License-Identifier: MIT
 *
 * certificates authority DIR                         DIR/ca.pem and DIR/ca.key
 * certificates issue DIR NAME USAGE [ALT_NAMES [WORD=VALUE]...]
 *                                                    DIR/NAME.pem and DIR/NAME.key, signed by it
 *
 * For tests. USAGE is serverAuth or clientAuth; ALT_NAMES such as "DNS:localhost, IP:127.0.0.1", or "". Words: by, the
 * NAME of another signer, or "self"; with_signer, whose certificate then goes into NAME.pem as well; from and until,
 * seconds from now; rsa, bits; digest; authority; constraints; cn. Files are replaced by renaming, first the key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/certificates.h"

static void path_of(char path[256], const char *directory, const char *name, const char *suffix)
{
    snprintf(path, 256, "%s/%s.%s", directory, name, suffix);
}

static void write_both(const char *directory, const char *name, const struct certificate *certificate,
                       const struct certificate *chain)
{
    char path[256];
    path_of(path, directory, name, "key");
    certificate_write_key(path, certificate);
    path_of(path, directory, name, "pem");
    certificate_write_chain(path, (const struct certificate *[]){certificate, chain, NULL});
}

struct issue {
    struct certificate_wish wish;
    const char *by;
    bool with_signer;
};

/* -> false: no such word */
static bool take_word(struct issue *issue, const char *word)
{
    const char *value = strchr(word, '=');
    size_t length = value ? (size_t)(value++ - word) : 0;
    const struct {
        const char *name;
        const char **text;
        long *number;
    } words[] = {{"by", &issue->by, NULL},
                 {"digest", &issue->wish.digest, NULL},
                 {"constraints", &issue->wish.constraints, NULL},
                 {"cn", &issue->wish.common_name, NULL},
                 {"from", NULL, &issue->wish.from_s},
                 {"until", NULL, &issue->wish.until_s}};
    for (size_t i = 0; length && i < sizeof(words) / sizeof(*words); i++) {
        if (strlen(words[i].name) != length || strncmp(words[i].name, word, length) != 0)
            continue;
        if (words[i].text)
            *words[i].text = value;
        else
            *words[i].number = atol(value);
        return true;
    }
    if (strncmp(word, "rsa=", 4) == 0)
        issue->wish.rsa_bits = atoi(word + 4);
    else if (strcmp(word, "authority") == 0)
        issue->wish.authority = true;
    else if (strcmp(word, "with_signer") == 0)
        issue->with_signer = true;
    else
        return false;
    return true;
}

static void issue_one(const char *directory, const char *name, const struct issue *issue)
{
    struct certificate signer, issued;
    char path[256], key_path[256];
    bool self = strcmp(issue->by, "self") == 0;
    path_of(path, directory, self ? "ca" : issue->by, "pem");
    path_of(key_path, directory, self ? "ca" : issue->by, "key");
    certificate_read(path, key_path, &signer);
    certificate_make(&issue->wish, self ? NULL : &signer, &issued);
    write_both(directory, name, &issued, issue->with_signer ? &signer : NULL);
    certificate_done(&issued);
    certificate_done(&signer);
}

static int usage(void)
{
    fprintf(stderr, "usage: certificates authority DIR | issue DIR NAME USAGE [ALT_NAMES [WORD=VALUE]...]\n");
    return 64;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "authority") == 0) {
        struct certificate authority;
        certificate_make(&(struct certificate_wish){.common_name = "authority", .authority = true}, NULL, &authority);
        write_both(argv[2], "ca", &authority, NULL);
        certificate_done(&authority);
        return 0;
    }
    if (argc < 5 || strcmp(argv[1], "issue") != 0)
        return usage();
    struct issue issue = {.wish = {.common_name = argv[3], .usage = argv[4]}, .by = "ca"};
    if (argc > 5 && *argv[5])
        issue.wish.alt_names = argv[5];
    for (int i = 6; i < argc; i++)
        if (!take_word(&issue, argv[i]))
            return usage();
    issue_one(argv[2], argv[3], &issue);
    return 0;
}
