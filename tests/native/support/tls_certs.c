/*
 * See tls_certs.h.
 */
#include "support/tls_certs.h"

#include "mbtest.h"
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

static mb_slice take_bio(BIO *bio) {
    char *bytes;
    long length = BIO_get_mem_data(bio, &bytes);
    char *copy = malloc((size_t)length + 1);
    MB_CHECK(copy != NULL);
    memcpy(copy, bytes, (size_t)length);
    copy[length] = '\0';
    BIO_free(bio);
    return (mb_slice){copy, (size_t)length};
}

static void add_extension(X509 *x509, const X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, (X509 *)issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    MB_CHECK(extension != NULL);
    MB_CHECK(X509_add_ext(x509, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void set_serial(X509 *x509) {
    BIGNUM *number = BN_new();
    MB_CHECK(number != NULL && BN_rand(number, 64, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1);
    ASN1_INTEGER *serial = BN_to_ASN1_INTEGER(number, NULL);
    MB_CHECK(X509_set_serialNumber(x509, serial) == 1);
    ASN1_INTEGER_free(serial);
    BN_free(number);
}

cert cert_make(const cert_options *options) {
    cert made = {.x509 = X509_new()};
    made.key = options->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    MB_CHECK(made.x509 != NULL && made.key != NULL);
    const cert *issuer = options->issuer != NULL ? options->issuer : &made;
    X509_set_version(made.x509, X509_VERSION_3);
    set_serial(made.x509);
    long from = options->not_before_s != 0 ? options->not_before_s : CERT_START_S;
    long until = options->not_after_s != 0 ? options->not_after_s : CERT_END_S;
    ASN1_TIME_set(X509_getm_notBefore(made.x509), from);
    ASN1_TIME_set(X509_getm_notAfter(made.x509), until);
    X509_NAME *name = X509_get_subject_name(made.x509);
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"moebridge", -1, -1,
                               0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)options->name, -1,
                               -1, 0);
    X509_set_issuer_name(made.x509, X509_get_subject_name(issuer->x509));
    X509_set_pubkey(made.x509, made.key);
    add_extension(made.x509, issuer->x509, NID_basic_constraints,
                  options->ca ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(made.x509, issuer->x509, NID_subject_key_identifier, "hash");
    if (options->sans != NULL) {
        add_extension(made.x509, issuer->x509, NID_subject_alt_name, options->sans);
    }
    if (options->feature != NULL) {
        add_extension(made.x509, issuer->x509, NID_tlsfeature, options->feature);
    }
    MB_CHECK(X509_sign(made.x509, issuer->key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    MB_CHECK(PEM_write_bio_X509(bio, made.x509) == 1);
    made.pem = take_bio(bio);
    bio = BIO_new(BIO_s_mem());
    MB_CHECK(PEM_write_bio_PrivateKey(bio, made.key, NULL, NULL, 0, NULL, NULL) == 1);
    made.key_pem = take_bio(bio);
    return made;
}

void cert_free(cert *self) {
    X509_free(self->x509);
    EVP_PKEY_free(self->key);
    free((char *)self->pem.ptr);
    free((char *)self->key_pem.ptr);
    *self = (cert){0};
}

char *cert_encrypted_key(const cert *self, const char *password) {
    BIO *bio = BIO_new(BIO_s_mem());
    MB_CHECK(PEM_write_bio_PKCS8PrivateKey(bio, self->key, EVP_aes_128_cbc(), password,
                                           (int)strlen(password), NULL, NULL) == 1);
    return (char *)take_bio(bio).ptr;
}

char *cert_crl(const cert *issuer, const cert *revoked) {
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, CERT_START_S);
    ASN1_TIME *until = ASN1_TIME_set(NULL, CERT_END_S);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x509));
    X509_CRL_set1_lastUpdate(crl, from);
    X509_CRL_set1_nextUpdate(crl, until);
    X509_REVOKED *entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, (ASN1_INTEGER *)X509_get0_serialNumber(revoked->x509));
    X509_REVOKED_set_revocationDate(entry, from);
    MB_CHECK(X509_CRL_add0_revoked(crl, entry) == 1);
    X509_CRL_sort(crl);
    MB_CHECK(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    MB_CHECK(PEM_write_bio_X509_CRL(bio, crl) == 1);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    X509_CRL_free(crl);
    return (char *)take_bio(bio).ptr;
}

mb_slice cert_ocsp(const cert *issuer, const cert *subject, long until_s) {
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, subject->x509, issuer->x509);
    ASN1_TIME *from = ASN1_GENERALIZEDTIME_set(NULL, CERT_START_S);
    ASN1_TIME *until = ASN1_GENERALIZEDTIME_set(NULL, until_s);
    MB_CHECK(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, until) !=
             NULL);
    MB_CHECK(OCSP_basic_sign(basic, issuer->x509, issuer->key, EVP_sha256(), NULL, 0) == 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *der = NULL;
    int length = i2d_OCSP_RESPONSE(response, &der);
    MB_CHECK(length > 0);
    char *copy = malloc((size_t)length);
    MB_CHECK(copy != NULL);
    memcpy(copy, der, (size_t)length);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return (mb_slice){copy, (size_t)length};
}
