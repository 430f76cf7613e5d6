/*
 * Whether the peer's certificate will do: chain of trust, name, pinned hashes, in this order.
 * OpenSSL calls mb__tls_verify once a full handshake; a resumed one had it before.
 *
 * A server checks what its validation context says. A client checks more by default (RFC 9110
 * 4.3.4): without a validation context the system's authorities are trusted, and the certificate
 * must have the name that we connect to, unless names or hashes to match are configured. Only
 * `accept_untrusted` switches that off; then everything is still looked at, so that
 * mb_tls_info.peer_verified tells the truth.
 */
#include "net/tls_internal.h"

#include "base/slice.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

bool mb__tls_checks_chain(const mb_tls_settings *settings) {
    const mb_tls_validation *validation = &settings->validation;
    bool has_roots = validation->trusted_ca.kind != MB_TLS_SOURCE_NONE || validation->system_roots;
    if (settings->server) {
        return has_roots;
    }
    /* Pinned hashes stand by themselves where no authority is named. */
    return has_roots || (validation->hash_count == 0 && validation->spki_count == 0);
}

/* -- names ------------------------------------------------------------------------------------ */

bool mb__tls_dns_match(mb_slice pattern, mb_slice name) {
    if (!mb_slice_starts_with(pattern, MB_SLICE_LIT("*."))) {
        return mb_slice_equal_nocase(pattern, name);
    }
    int64_t dot = mb_slice_index(name, '.');
    return dot > 0 &&
           mb_slice_equal_nocase(mb_slice_skip(pattern, 1), mb_slice_skip(name, (size_t)dot));
}

static bool contains(mb_slice text, mb_slice part, bool ignore_case) {
    for (size_t at = 0; at + part.len <= text.len; at++) {
        mb_slice here = mb_slice_of(text.ptr + at, part.len);
        if (ignore_case ? mb_slice_equal_nocase(here, part) : mb_slice_equal(here, part)) {
            return true;
        }
    }
    return false;
}

static bool text_matches(const mb_tls_san_match *match, bool dns, mb_slice san) {
    mb_slice value = match->value;
    bool nocase = match->ignore_case;
    switch (match->kind) {
    case MB_TLS_MATCH_EXACT:
        if (dns) {
            return mb__tls_dns_match(san, value);
        }
        return nocase ? mb_slice_equal_nocase(san, value) : mb_slice_equal(san, value);
    case MB_TLS_MATCH_PREFIX:
        return nocase ? mb_slice_starts_with_nocase(san, value) : mb_slice_starts_with(san, value);
    case MB_TLS_MATCH_SUFFIX:
        return nocase ? mb_slice_ends_with_nocase(san, value) : mb_slice_ends_with(san, value);
    case MB_TLS_MATCH_CONTAINS:
        return contains(san, value, nocase);
    case MB_TLS_MATCH_REGEX:
        return mb_regex_match(match->regex, san);
    }
    return false;
}

static bool san_matches(const mb_tls_san_match *match, const GENERAL_NAME *name) {
    static const int types[] = {
        [MB_TLS_SAN_EMAIL] = GEN_EMAIL,
        [MB_TLS_SAN_DNS] = GEN_DNS,
        [MB_TLS_SAN_URI] = GEN_URI,
        [MB_TLS_SAN_IP] = GEN_IPADD,
    };
    char text[INET6_ADDRSTRLEN];
    if (match->type != MB_TLS_SAN_ANY && types[match->type] != name->type) {
        return false;
    }
    if (name->type == GEN_IPADD) {
        const ASN1_OCTET_STRING *ip = name->d.iPAddress;
        return (ip->length == 4 || ip->length == 16) &&
               inet_ntop(ip->length == 4 ? AF_INET : AF_INET6, ip->data, text, sizeof(text)) !=
                   NULL &&
               text_matches(match, false, mb_slice_from_c(text));
    }
    if (name->type != GEN_EMAIL && name->type != GEN_DNS && name->type != GEN_URI) {
        return false;
    }
    const ASN1_STRING *string = name->d.ia5;
    mb_slice san = {(const char *)ASN1_STRING_get0_data(string),
                    (size_t)ASN1_STRING_length(string)};
    return text_matches(match, name->type == GEN_DNS, san);
}

static bool any_san_matches(const mb_tls_validation *validation, X509 *leaf) {
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        for (uint32_t k = 0; k < validation->san_count && !found; k++) {
            found = san_matches(&validation->sans[k], sk_GENERAL_NAME_value(names, i));
        }
    }
    GENERAL_NAMES_free(names);
    return found;
}

static bool has_name(const mb_tls_transport *self, X509 *leaf) {
    if (self->verify_ip) {
        return X509_check_ip_asc(leaf, self->verify_name, 0) == 1;
    }
    return X509_check_host(leaf, self->verify_name, strlen(self->verify_name),
                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                           NULL) == 1;
}

/* NULL: the name will do. */
static const char *name_fault(const mb_tls_transport *self, X509 *leaf, char *text, size_t room) {
    const mb_tls_settings *settings = &self->context->settings;
    const mb_tls_validation *validation = &settings->validation;
    bool pinned = validation->hash_count > 0 || validation->spki_count > 0;
    bool own_name = settings->auto_sni_san_validation || (validation->san_count == 0 && !pinned);
    if (!settings->server && own_name) {
        if (self->verify_name == NULL || self->verify_name[0] == '\0') {
            return "there is no name to verify: set sni";
        }
        if (has_name(self, leaf)) {
            return NULL;
        }
        snprintf(text, room, "the certificate is not for %s", self->verify_name);
        return text;
    }
    if (validation->san_count > 0 && !any_san_matches(validation, leaf)) {
        return "SAN matcher";
    }
    return NULL;
}

/* -- hashes ----------------------------------------------------------------------------------- */

static bool is_among(const uint8_t (*hashes)[MB_TLS_HASH_BYTES], uint32_t count,
                     const unsigned char *hash, unsigned length) {
    for (uint32_t i = 0; i < count && length == MB_TLS_HASH_BYTES; i++) {
        if (memcmp(hashes[i], hash, MB_TLS_HASH_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* With both lists a match in either will do, as in Envoy. */
static bool hash_matches(const mb_tls_validation *validation, X509 *leaf) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (validation->hash_count == 0 && validation->spki_count == 0) {
        return true;
    }
    if (X509_digest(leaf, EVP_sha256(), hash, &length) == 1 &&
        is_among(validation->hashes, validation->hash_count, hash, length)) {
        return true;
    }
    unsigned char *spki = NULL;
    int bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki);
    bool found = bytes > 0 &&
                 EVP_Digest(spki, (size_t)bytes, hash, &length, EVP_sha256(), NULL) == 1 &&
                 is_among(validation->spkis, validation->spki_count, hash, length);
    OPENSSL_free(spki);
    return found;
}

/* -- all of it -------------------------------------------------------------------------------- */

static int ignore_expired(int good, X509_STORE_CTX *store) {
    int error = X509_STORE_CTX_get_error(store);
    if (error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    return good;
}

static bool chain_is_good(mb_tls_transport *self, X509_STORE_CTX *store, char *text, size_t room) {
    const mb_tls_settings *settings = &self->context->settings;
    if (!mb__tls_checks_chain(settings)) {
        return true;
    }
    uint64_t now_us = mb_loop_wall_us(self->context->world.loop);
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(store), (time_t)(now_us / 1000000u));
    if (settings->validation.allow_expired) {
        X509_STORE_CTX_set_verify_cb(store, ignore_expired);
    }
    if (X509_verify_cert(store) == 1) {
        return true;
    }
    int error = X509_STORE_CTX_get_error(store);
    snprintf(text, room, "certificate verification error at depth %d: %s",
             X509_STORE_CTX_get_error_depth(store), X509_verify_cert_error_string(error));
    return false;
}

int mb__tls_verify(X509_STORE_CTX *store, void *material) {
    (void)material;
    char text[300];
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    mb_tls_transport *self = mb__tls_transport_of(ssl);
    const mb_tls_stats *stats = &self->context->stats;
    const mb_tls_validation *validation = &self->context->settings.validation;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    const char *fault = NULL;
    mb_metric *counter = NULL;
    int error = X509_V_OK;
    if (!chain_is_good(self, store, text, sizeof(text))) {
        fault = text;
        counter = stats->fail_verify_error;
        error = X509_STORE_CTX_get_error(store);
    } else if ((fault = name_fault(self, leaf, text, sizeof(text))) != NULL) {
        counter = stats->fail_verify_san;
        error = X509_V_ERR_HOSTNAME_MISMATCH;
    } else if (!hash_matches(validation, leaf)) {
        fault = "hash or public key is none of those configured";
        counter = stats->fail_verify_cert_hash;
        error = X509_V_ERR_CERT_REJECTED;
    }
    if (fault == NULL) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    mb__tls_count(counter);
    if (validation->accept_untrusted) {
        self->unverified = true;
        mb__tls_errors_clear();
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    mb__tls_fail_verify(self, fault);
    X509_STORE_CTX_set_error(store, error != X509_V_OK ? error : X509_V_ERR_UNSPECIFIED);
    return 0;
}
