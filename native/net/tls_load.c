/*
 * From sources to OpenSSL's objects: certificates, keys, staples, authorities, revocation lists.
 * Called by tls_material.c while a context is loaded and when its files have changed.
 *
 * Files are small and local, so they are read at once. What is wrong is said with the name of the
 * file and what to do; bytes of a source never appear in it, and are wiped when they are done with.
 */
#define _GNU_SOURCE /* secure_getenv */
#include "net/tls_internal.h"

#include "base/alloc.h"
#include "base/slice.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int mb__tls_fault(mb_tls_fault *fault, const char *parent, int64_t index, const char *field,
                  const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault->text, sizeof(fault->text), format, arguments);
    va_end(arguments);
    fault->parent = parent;
    fault->index = index;
    fault->field = field;
    mb__tls_errors_clear();
    return MB_ECONFIG;
}

const char *mb__tls_source_name(const mb_tls_source *source) {
    return source->kind == MB_TLS_SOURCE_INLINE || source->name == NULL ? "the inline value"
                                                                        : source->name;
}

/* -- bytes ------------------------------------------------------------------------------------ */

static int dup_bytes(const mb_allocator *allocator, const char *bytes, size_t length,
                     mb_slice *out) {
    char *copy = mb_alloc(allocator, length + 1);
    if (copy == NULL) {
        return MB_ENOMEM;
    }
    memcpy(copy, length > 0 ? bytes : "", length);
    *out = (mb_slice){copy, length};
    return MB_OK;
}

static int read_fd(const mb_allocator *allocator, int fd, mb_slice *out) {
    char *bytes = mb_alloc(allocator, MB_TLS_FILE_BYTES_MAX + 1);
    if (bytes == NULL) {
        return MB_ENOMEM;
    }
    size_t length = 0;
    ssize_t count = 1;
    while (count > 0 && length <= MB_TLS_FILE_BYTES_MAX) {
        count = read(fd, bytes + length, MB_TLS_FILE_BYTES_MAX + 1 - length);
        length += count > 0 ? (size_t)count : 0;
        count = count < 0 && errno == EINTR ? 1 : count;
    }
    int error = errno;
    int result = count < 0 ? MB_EIO : length > MB_TLS_FILE_BYTES_MAX ? MB_ELIMIT : MB_OK;
    if (result == MB_OK) {
        result = dup_bytes(allocator, bytes, length, out);
    }
    OPENSSL_cleanse(bytes, length);
    mb_free(allocator, bytes, MB_TLS_FILE_BYTES_MAX + 1);
    errno = error;
    return result;
}

static int read_file(const mb_allocator *allocator, const char *name, mb_tls_fault *fault,
                     mb_slice *out) {
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int result = fd < 0 ? MB_EIO : read_fd(allocator, fd, out);
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (result == MB_EIO) {
        return mb__tls_fault(fault, fault->parent, fault->index, fault->field,
                             "\"%s\" cannot be read: %s", name, strerror(error));
    }
    if (result == MB_ELIMIT) {
        return mb__tls_fault(fault, fault->parent, fault->index, fault->field,
                             "\"%s\" is larger than 1 MiB", name);
    }
    return result;
}

int mb__tls_read(const mb_allocator *allocator, const mb_tls_source *source, mb_tls_fault *fault,
                 mb_slice *out) {
    *out = (mb_slice){NULL, 0};
    switch (source->kind) {
    case MB_TLS_SOURCE_NONE:
        return MB_OK;
    case MB_TLS_SOURCE_FILE:
        return read_file(allocator, source->name, fault, out);
    case MB_TLS_SOURCE_INLINE:
        return dup_bytes(allocator, source->bytes.ptr, source->bytes.len, out);
    case MB_TLS_SOURCE_ENVIRONMENT:
        break;
    }
    const char *value = secure_getenv(source->name);
    if (value == NULL) {
        return mb__tls_fault(fault, fault->parent, fault->index, fault->field,
                             "the environment has no variable \"%s\"", source->name);
    }
    return dup_bytes(allocator, value, strlen(value), out);
}

void mb__tls_unread(const mb_allocator *allocator, mb_slice bytes) {
    if (bytes.ptr != NULL) {
        OPENSSL_cleanse((char *)bytes.ptr, bytes.len);
        mb_free(allocator, (char *)bytes.ptr, bytes.len + 1);
    }
}

/* -- one certificate with its key ------------------------------------------------------------- */

typedef struct loading {
    const mb_tls_world *world;
    const mb_tls_identity *from;
    mb_tls_loaded *into;
    mb_tls_fault *fault; /* parent, index and field are set before bytes are read */
} loading;

static int wrong(const loading *self, const char *what, const mb_tls_source *source) {
    return mb__tls_fault(self->fault, self->fault->parent, self->fault->index, self->fault->field,
                         "%s %s", mb__tls_source_name(source), what);
}

static int read_source(const loading *self, const char *field, const mb_tls_source *source,
                       mb_slice *out) {
    self->fault->field = field;
    return mb__tls_read(self->world->allocator, source, self->fault, out);
}

static int read_chain(const loading *self) {
    const mb_tls_source *source = &self->from->certificate_chain;
    mb_slice bytes;
    int result = read_source(self, "certificate_chain", source, &bytes);
    if (result != MB_OK) {
        return result;
    }
    BIO *bio = BIO_new_mem_buf(bytes.ptr, (int)bytes.len);
    X509 *next = NULL;
    self->into->chain = sk_X509_new_null();
    self->into->leaf = bio != NULL ? PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL) : NULL;
    if (self->into->leaf == NULL) {
        result = wrong(self, "has no certificate in PEM form", source);
    }
    while (result == MB_OK && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (self->into->chain == NULL || sk_X509_push(self->into->chain, next) <= 0) {
            X509_free(next);
            result = MB_ENOMEM;
        }
    }
    unsigned long error = ERR_peek_last_error(); /* "no start line" is the end */
    if (result == MB_OK && error != 0 && ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
        result = wrong(self, "has a certificate that is broken, behind the first one", source);
    }
    mb__tls_errors_clear();
    BIO_free(bio);
    mb__tls_unread(self->world->allocator, bytes);
    return result;
}

typedef struct passphrase {
    mb_slice text;
    bool asked;
} passphrase;

/* Without it OpenSSL would ask the terminal. */
static int on_passphrase(char *out, int room, int writing, void *context) {
    (void)writing;
    passphrase *password = context;
    password->asked = true;
    if (password->text.ptr == NULL || password->text.len > (size_t)room) {
        return -1;
    }
    memcpy(out, password->text.ptr, password->text.len);
    return (int)password->text.len;
}

static int read_key(const loading *self) {
    const mb_tls_source *source = &self->from->private_key;
    const mb_allocator *allocator = self->world->allocator;
    passphrase password = {{NULL, 0}, false};
    mb_slice bytes;
    int result = read_source(self, "password", &self->from->password, &password.text);
    if (result == MB_OK && (result = read_source(self, "private_key", source, &bytes)) == MB_OK) {
        BIO *bio = BIO_new_mem_buf(bytes.ptr, (int)bytes.len);
        self->into->key =
            bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, &password) : NULL;
        if (self->into->key == NULL && password.asked && password.text.ptr == NULL) {
            result = wrong(self, "is encrypted: set password", source);
        } else if (self->into->key == NULL && password.asked) {
            result = wrong(self, "cannot be decrypted with the password", source);
        } else if (self->into->key == NULL) {
            result = wrong(self, "is no private key in PEM form", source);
        }
        BIO_free(bio);
        mb__tls_unread(allocator, bytes);
    }
    mb__tls_unread(allocator, password.text);
    return result;
}

static int check_pair(const loading *self) {
    mb_tls_loaded *into = self->into;
    self->fault->field = "private_key";
    if (X509_check_private_key(into->leaf, into->key) != 1) {
        return mb__tls_fault(self->fault, self->fault->parent, self->fault->index, "private_key",
                             "%s is not the key of the certificate in %s",
                             mb__tls_source_name(&self->from->private_key),
                             mb__tls_source_name(&self->from->certificate_chain));
    }
    int type = EVP_PKEY_get_base_id(into->key);
    into->type = type == EVP_PKEY_RSA || type == EVP_PKEY_RSA_PSS ? MB_TLS_KEY_RSA
                 : type == EVP_PKEY_EC                            ? MB_TLS_KEY_EC
                                                                  : MB_TLS_KEY_OTHER;
    if (type == EVP_PKEY_RSA && EVP_PKEY_get_bits(into->key) < 2048) {
        return wrong(self, "is an RSA key of fewer than 2048 bits", &self->from->private_key);
    }
    return MB_OK;
}

/* -- staples ---------------------------------------------------------------------------------- */

static int64_t seconds_of(const ASN1_GENERALIZEDTIME *time) {
    struct tm parts;
    return time != NULL && ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : INT64_MAX;
}

/* When the response ends; false: it is no good response, or for another certificate. */
static bool read_response(const mb_tls_loaded *into, mb_slice bytes, int64_t *until_s) {
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)bytes.len);
    OCSP_BASICRESP *basic =
        response != NULL && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL
            ? OCSP_response_get1_basic(response)
            : NULL;
    bool good = false;
    for (int i = 0; basic != NULL && i < OCSP_resp_count(basic) && !good; i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;
        ASN1_GENERALIZEDTIME *next = NULL;
        OCSP_id_get0_info(NULL, NULL, NULL, &serial,
                          (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single));
        if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(into->leaf)) == 0) {
            (void)OCSP_single_get0_status(single, NULL, NULL, NULL, &next);
            *until_s = seconds_of(next);
            good = true;
        }
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    return good;
}

/* RFC 7633: the certificate is not to be used without a staple. */
static bool wants_staple(const X509 *leaf) {
    TLS_FEATURE *features = X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_ASN1_INTEGER_num(features) && !found; i++) {
        found = ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == TLSEXT_TYPE_status_request;
    }
    TLS_FEATURE_free(features);
    return found;
}

static int read_staple(const loading *self, mb_tls_ocsp_policy policy) {
    const mb_tls_source *source = &self->from->ocsp_staple;
    mb_tls_loaded *into = self->into;
    mb_slice bytes;
    int result = read_source(self, "ocsp_staple", source, &bytes);
    if (result != MB_OK) {
        return result;
    }
    if (bytes.len == 0) {
        mb__tls_unread(self->world->allocator, bytes);
        if (policy == MB_TLS_OCSP_MUST) {
            return wrong(self, "is required by ocsp_staple_policy MUST_STAPLE", source);
        }
        return wants_staple(into->leaf)
                   ? wrong(self, "is required: the certificate is must-staple", source)
                   : MB_OK;
    }
    if (!read_response(into, bytes, &into->staple_until_s)) {
        result = wrong(self, "is no successful OCSP response (DER) for the certificate", source);
    } else if ((into->staple = OPENSSL_memdup(bytes.ptr, bytes.len)) == NULL) {
        result = MB_ENOMEM;
    } else {
        into->staple_bytes = bytes.len;
    }
    mb__tls_errors_clear();
    mb__tls_unread(self->world->allocator, bytes);
    return result;
}

int mb__tls_load_identity(const mb_tls_world *world, const mb_tls_settings *settings,
                          uint32_t index, mb_tls_loaded *out, mb_tls_fault *fault) {
    *fault = (mb_tls_fault){.parent = "tls_certificates", .index = index};
    const loading self = {world, &settings->identities[index], out, fault};
    int result = read_chain(&self);
    if (result == MB_OK) {
        result = read_key(&self);
    }
    if (result == MB_OK) {
        result = check_pair(&self);
    }
    return result == MB_OK ? read_staple(&self, settings->ocsp_policy) : result;
}

void mb__tls_unload(mb_tls_loaded *loaded) {
    X509_free(loaded->leaf);
    sk_X509_pop_free(loaded->chain, X509_free);
    EVP_PKEY_free(loaded->key);
    OPENSSL_free(loaded->staple);
    *loaded = (mb_tls_loaded){0};
}

int mb__tls_load_ticket_key(const mb_allocator *allocator, const mb_tls_settings *settings,
                            uint32_t index, uint8_t out[MB_TLS_TICKET_KEY_BYTES],
                            mb_tls_fault *fault) {
    mb_slice bytes;
    *fault = (mb_tls_fault){.parent = "session_ticket_keys", .index = index};
    int result = mb__tls_read(allocator, &settings->ticket_keys[index], fault, &bytes);
    if (result == MB_OK && bytes.len != MB_TLS_TICKET_KEY_BYTES) {
        result = mb__tls_fault(fault, "session_ticket_keys", index, NULL,
                               "%s must have 80 bytes, as of \"openssl rand 80\"",
                               mb__tls_source_name(&settings->ticket_keys[index]));
    } else if (result == MB_OK) {
        memcpy(out, bytes.ptr, MB_TLS_TICKET_KEY_BYTES);
    }
    mb__tls_unread(allocator, bytes);
    return result;
}

/* -- authorities ------------------------------------------------------------------------------ */

typedef bool (*add_fn)(SSL_CTX *ssl_ctx, BIO *bio, bool server);

static bool add_authority(SSL_CTX *ssl_ctx, BIO *bio, bool server) {
    X509 *next = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (next == NULL) {
        return false;
    }
    bool added = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl_ctx), next) == 1;
    if (added && server) { /* what clients are told that their certificate may be from */
        added = SSL_CTX_add_client_CA(ssl_ctx, next) == 1;
    }
    X509_free(next);
    return added;
}

static bool add_crl(SSL_CTX *ssl_ctx, BIO *bio, bool server) {
    (void)server;
    X509_CRL *next = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
    bool added = next != NULL && X509_STORE_add_crl(SSL_CTX_get_cert_store(ssl_ctx), next) == 1;
    X509_CRL_free(next);
    return added;
}

/* All that a source has; at least one. */
static int add_all(const mb_allocator *allocator, const mb_tls_source *source, const char *field,
                   const char *what, add_fn add, bool server, SSL_CTX *ssl_ctx,
                   mb_tls_fault *fault) {
    mb_slice bytes;
    *fault = (mb_tls_fault){.parent = "validation_context", .index = -1, .field = field};
    int result = mb__tls_read(allocator, source, fault, &bytes);
    if (result != MB_OK) {
        return result;
    }
    BIO *bio = BIO_new_mem_buf(bytes.ptr, (int)bytes.len);
    int count = 0;
    while (bio != NULL && add(ssl_ctx, bio, server)) {
        count++;
    }
    if (bio == NULL) {
        result = MB_ENOMEM;
    } else if (count == 0) {
        result = mb__tls_fault(fault, "validation_context", -1, field, "%s has no %s in PEM form",
                               mb__tls_source_name(source), what);
    } else if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        result = mb__tls_fault(fault, "validation_context", -1, field, "%s: number %d is no %s: %s",
                               mb__tls_source_name(source), count + 1, what, mb__tls_reason());
    }
    mb__tls_errors_clear();
    BIO_free(bio);
    mb__tls_unread(allocator, bytes);
    return result;
}

int mb__tls_load_authorities(const mb_allocator *allocator, const mb_tls_settings *settings,
                             SSL_CTX *ssl_ctx, mb_tls_fault *fault) {
    const mb_tls_validation *validation = &settings->validation;
    int result = MB_OK;
    if (validation->trusted_ca.kind != MB_TLS_SOURCE_NONE) {
        result = add_all(allocator, &validation->trusted_ca, "trusted_ca", "certificate",
                         add_authority, settings->server, ssl_ctx, fault);
    }
    bool system = validation->system_roots ||
                  (!settings->server && validation->trusted_ca.kind == MB_TLS_SOURCE_NONE);
    if (result == MB_OK && system && SSL_CTX_set_default_verify_paths(ssl_ctx) != 1) {
        result = MB_ENOMEM;
    }
    if (result == MB_OK && validation->crl.kind != MB_TLS_SOURCE_NONE) {
        unsigned long flags = X509_V_FLAG_CRL_CHECK;
        flags |= validation->crl_leaf_only ? 0 : X509_V_FLAG_CRL_CHECK_ALL;
        X509_STORE_set_flags(SSL_CTX_get_cert_store(ssl_ctx), flags);
        result = add_all(allocator, &validation->crl, "crl", "revocation list", add_crl, false,
                         ssl_ctx, fault);
    }
    X509_STORE_set_flags(SSL_CTX_get_cert_store(ssl_ctx),
                         X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    return result;
}
