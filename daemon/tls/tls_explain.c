/* SPDX-License-Identifier: MIT */
#include "tls_explain.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_BYTES = 160, TIME_BYTES = 64 };

static const char REMEDY_CA[] = "give the certificate of the authority that signed it in aistraced.ca_file";
static const char REMEDY_CHAIN[] = "the server has to send its certificate with the intermediate ones";

/* Why a certificate is refused, and what to do. */
static const struct {
    int error;
    const char *text;
    const char *remedy;
} refusals[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "is signed by an unknown authority", NULL},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "is signed by an unknown authority", NULL},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "is signed by an unknown authority", NULL},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "is signed by an authority that is not trusted", NULL},
    {X509_V_ERR_CERT_UNTRUSTED, "is not trusted", NULL},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "is self-signed", "give this very certificate in aistraced.ca_file"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "has a signature that is not its issuer's", REMEDY_CA},
    {X509_V_ERR_INVALID_CA, "is used as an authority and is none", REMEDY_CHAIN},
    {X509_V_ERR_INVALID_PURPOSE, "is not made for a server", "it needs the extended key usage serverAuth"},
    {X509_V_ERR_PATH_LENGTH_EXCEEDED, "has more authorities beneath it than it allows", REMEDY_CHAIN},
    {X509_V_ERR_PERMITTED_VIOLATION, "is for a name that its authority may not vouch for", REMEDY_CHAIN},
    {X509_V_ERR_EXCLUDED_VIOLATION, "is for a name that its authority may not vouch for", REMEDY_CHAIN},
    {X509_V_ERR_EE_KEY_TOO_SMALL, "has a key that is too weak", "RSA needs 2,048 bits"},
    {X509_V_ERR_CA_KEY_TOO_SMALL, "has a key that is too weak", "RSA needs 2,048 bits"},
    {X509_V_ERR_CA_MD_TOO_WEAK, "is signed with a broken hash", "have it signed with SHA-256"},
};

/* Why a handshake failed, or the peer sent an alert, and what to do. */
static const struct {
    int reason;
    const char *text;
} failures[] = {
    {SSL_R_WRONG_VERSION_NUMBER, "it does not speak TLS: if it is a plaintext endpoint, write exporter_endpoint with "
                                 "http://"},
    {SSL_R_HTTP_REQUEST, "it does not speak TLS: if it is a plaintext endpoint, write exporter_endpoint with http://"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "it speaks only TLS older than 1.2: update the server"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "it speaks only TLS older than 1.2: update the server"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
     "it asks for a client certificate: give aistraced.cert_file and aistraced.key_file"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "it refuses our certificate, or the lack of one: check aistraced.cert_file"},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, "it refuses our certificate, aistraced.cert_file: of the wrong kind"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "it refuses our certificate, aistraced.cert_file: revoked"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "it refuses our certificate, aistraced.cert_file: expired"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "it refuses our certificate: check aistraced.cert_file"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "it does not know the authority of our certificate, aistraced.cert_file"},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED, "it denies access to our certificate: check aistraced.cert_file"},
    {SSL_R_TLSV1_UNRECOGNIZED_NAME, "it has no certificate for this name: check the host in exporter_endpoint"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "it refuses the handshake: it may want a client certificate "
                                          "(aistraced.cert_file and aistraced.key_file) or share no cipher with us"},
    {SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY, "it wants stronger ciphers than we share"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL,
     "it does not speak HTTP/2 (ALPN h2): exporter_endpoint must name a gRPC port (OTLP: 4317)"},
    {SSL_R_EE_KEY_TOO_SMALL, "its certificate has a key that is too weak: RSA needs 2,048 bits"},
    {SSL_R_DH_KEY_TOO_SMALL, "its Diffie-Hellman key is too weak: update the server"},
};

/* The names a certificate is for, as many as fit. */
static void list_names(X509 *certificate, char text[NAMES_BYTES])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    BIO *out = BIO_new(BIO_s_mem());
    for (int i = 0; out && names && i < sk_GENERAL_NAME_num(names); i++) {
        if (i)
            BIO_puts(out, ", ");
        GENERAL_NAME_print(out, sk_GENERAL_NAME_value(names, i));
    }
    int got = out ? BIO_read(out, text, NAMES_BYTES - 1) : 0;
    text[got > 0 ? got : 0] = '\0';
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    BIO_free(out);
    GENERAL_NAMES_free(names);
}

static void print_time(const ASN1_TIME *time, char text[TIME_BYTES])
{
    BIO *out = BIO_new(BIO_s_mem());
    int got = out && ASN1_TIME_print(out, time) ? BIO_read(out, text, TIME_BYTES - 1) : 0;
    text[got > 0 ? got : 0] = '\0';
    BIO_free(out);
}

static const char *whose(int depth)
{
    return depth > 0 ? "a certificate above the server's" : "the server's certificate";
}

static void explain_name(const struct tls_refusal *refusal, const char *host, char why[TLS_WHY_BYTES])
{
    char names[NAMES_BYTES] = "";
    if (refusal->certificate)
        list_names(refusal->certificate, names);
    if (*names)
        snprintf(why, TLS_WHY_BYTES,
                 "the server's certificate is not for %s but for %s: name the host in exporter_endpoint as the "
                 "certificate does, or have one made for %s",
                 host, names, host);
    else
        snprintf(why, TLS_WHY_BYTES,
                 "the server's certificate is not for %s: it names no host in subjectAltName, which alone counts; have "
                 "one made with it",
                 host);
}

static void explain_time(const struct tls_refusal *refusal, char why[TLS_WHY_BYTES])
{
    char text[TIME_BYTES] = "";
    bool expired = refusal->error == X509_V_ERR_CERT_HAS_EXPIRED;
    if (refusal->certificate)
        print_time(expired ? X509_get0_notAfter(refusal->certificate) : X509_get0_notBefore(refusal->certificate),
                   text);
    snprintf(why, TLS_WHY_BYTES,
             expired ? "%s has expired (%s): renew it, or check this machine's clock"
                     : "%s is not valid yet (from %s): check this machine's clock",
             whose(refusal->depth), text);
}

static const char *authority_remedy(bool own_ca)
{
    return own_ca
               ? "aistraced.ca_file does not hold the authority that signed it, or the server does not send its "
                 "intermediate certificates"
               : "give the authority that signed it in aistraced.ca_file; if it is in the system's store, the server "
                 "does not send its intermediate certificates";
}

void tls_explain_refusal(const struct tls_refusal *refusal, const char *host, bool own_ca, char why[TLS_WHY_BYTES])
{
    switch (refusal->error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        explain_name(refusal, host, why);
        return;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        explain_time(refusal, why);
        return;
    default:
        break;
    }
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (refusals[i].error != refusal->error)
            continue;
        const char *remedy = refusals[i].remedy ? refusals[i].remedy : authority_remedy(own_ca);
        snprintf(why, TLS_WHY_BYTES, "%s %s: %s", whose(refusal->depth), refusals[i].text, remedy);
        return;
    }
    snprintf(why, TLS_WHY_BYTES, "%s is refused: %s", whose(refusal->depth),
             X509_verify_cert_error_string(refusal->error));
}

const char *tls_reason(void)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(error);
    ERR_clear_error();
    return reason ? reason : "no reason given";
}

void tls_explain_failure(bool established, char why[TLS_WHY_BYTES])
{
    unsigned long error = ERR_peek_last_error();
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == failures[i].reason) {
            snprintf(why, TLS_WHY_BYTES, "TLS: %s", failures[i].text);
            ERR_clear_error();
            return;
        }
    }
    snprintf(why, TLS_WHY_BYTES, "TLS %s: %s", established ? "connection" : "handshake", tls_reason());
}
