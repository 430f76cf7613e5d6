/*
 * Certificates for tests of TLS, made with OpenSSL and kept as PEM in memory; nothing is read from
 * or written to disk but where a test says so.
 */
#ifndef MBTEST_TLS_CERTS_H
#define MBTEST_TLS_CERTS_H

#include <moebridge/common.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define CERT_START_S 1700000000 /* all are valid from here on ... */
#define CERT_END_S 1900000000   /* ... to here, unless told otherwise */

typedef struct cert {
    X509 *x509;
    EVP_PKEY *key;
    mb_slice pem, key_pem;
} cert;

typedef struct cert_options {
    const char *name;   /* CN */
    const char *sans;   /* "DNS:a.test,URI:spiffe://x"; NULL: none */
    const cert *issuer; /* NULL: self-signed */
    bool ca, rsa;       /* rsa: 2048 bits, else P-256 */
    long not_before_s, not_after_s;
    const char *feature; /* value of tlsfeature; NULL: none */
} cert_options;

cert cert_make(const cert_options *options);
void cert_free(cert *self);
/* The key again, encrypted with the password. The caller frees with free(). */
char *cert_encrypted_key(const cert *self, const char *password);
/* A revocation list of `issuer` with one certificate on it, PEM; free(). */
char *cert_crl(const cert *issuer, const cert *revoked);
/* An OCSP response, DER: `subject` is good until `until_s`. free(). */
mb_slice cert_ocsp(const cert *issuer, const cert *subject, long until_s);

#endif
