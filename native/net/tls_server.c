/*
 * What is special of a server: the certificate by SNI (RFC 6066 3), ALPN (RFC 7301), staples,
 * whether clients show certificates, and how sessions are resumed.
 *
 * Which certificate: the exact name, then the wildcard of its parent domain, then the first
 * configured. Of one name there may be an RSA and an ECDSA certificate; OpenSSL takes the one
 * that the client's signature algorithms allow.
 */
#include "net/tls_internal.h"

#include "base/slice.h"
#include <openssl/evp.h>

/* Sessions that are kept for clients without tickets (TLS 1.2); the oldest goes. */
#define STATEFUL_SESSIONS_MAX 1024

/* -- which certificate ------------------------------------------------------------------------ */

/* NULL: none has that name. */
static const mb_tls_choice *find_choice(const mb_tls_material *material, const char *sni) {
    char name[256];
    size_t length = sni != NULL ? strlen(sni) : 0;
    if (length == 0 || length >= sizeof(name)) {
        return NULL;
    }
    for (size_t i = 0; i < length; i++) {
        name[i] = mb_ascii_lower(sni[i]);
    }
    const mb_tls_choice *found = mb_map_get(&material->names, (mb_slice){name, length});
    int64_t dot = mb_slice_index((mb_slice){name, length}, '.');
    if (found == NULL && dot > 0) {
        name[dot - 1] = '*';
        size_t from = (size_t)dot - 1;
        found = mb_map_get(&material->names, (mb_slice){name + from, length - from});
    }
    return found;
}

static int on_certificate(SSL *ssl, void *argument) {
    (void)argument;
    const mb_tls_material *material = mb__tls_transport_of(ssl)->material;
    const mb_tls_choice *choice =
        find_choice(material, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    if (choice == NULL || memcmp(choice, &material->fallback, sizeof(*choice)) == 0) {
        return 1; /* the one that the SSL_CTX has */
    }
    SSL_certs_clear(ssl);
    for (int i = 0; i < MB_TLS_KEY_TYPES; i++) {
        const mb_tls_loaded *loaded = choice->by_type[i];
        if (loaded != NULL &&
            SSL_use_cert_and_key(ssl, loaded->leaf, loaded->key, loaded->chain, 1) != 1) {
            return 0;
        }
    }
    return 1;
}

/* require_sni: no handshake without a name that one of our certificates has. */
static int on_server_name(SSL *ssl, int *alert, void *argument) {
    (void)argument;
    const mb_tls_transport *self = mb__tls_transport_of(ssl);
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (self->context->settings.require_sni && find_choice(self->material, sni) == NULL) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return sni != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* -- ALPN ------------------------------------------------------------------------------------- */

/* The first of ours that the client offers; none in common: the handshake goes on without. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                   const unsigned char *offered, unsigned length, void *argument) {
    (void)argument;
    mb_slice ours = mb__tls_transport_of(ssl)->context->settings.alpn;
    for (size_t i = 0; i < ours.len; i += 1 + (unsigned char)ours.ptr[i]) {
        unsigned char bytes = (unsigned char)ours.ptr[i];
        for (unsigned k = 0; k + offered[k] < length; k += 1u + offered[k]) {
            if (offered[k] == bytes && memcmp(offered + k + 1, ours.ptr + i + 1, bytes) == 0) {
                *out = offered + k + 1;
                *out_length = bytes;
                return SSL_TLSEXT_ERR_OK;
            }
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* -- staples ---------------------------------------------------------------------------------- */

/* Called when the client asks for one and the certificate is chosen. */
static int on_status(SSL *ssl, void *argument) {
    (void)argument;
    mb_tls_transport *self = mb__tls_transport_of(ssl);
    const mb_tls_stats *stats = &self->context->stats;
    const mb_tls_loaded *used = NULL;
    const X509 *leaf = SSL_get_certificate(ssl);
    for (uint32_t i = 0; i < self->context->settings.identity_count && used == NULL; i++) {
        used = self->material->identities[i].leaf == leaf ? &self->material->identities[i] : NULL;
    }
    mb__tls_count(stats->ocsp_staple_requests);
    if (used == NULL || used->staple == NULL) {
        mb__tls_count(stats->ocsp_staple_omitted);
        return SSL_TLSEXT_ERR_NOACK;
    }
    int64_t now_s = (int64_t)(mb_loop_wall_us(self->context->world.loop) / 1000000u);
    if (used->staple_until_s < now_s) {
        bool lenient = self->context->settings.ocsp_policy == MB_TLS_OCSP_LENIENT;
        mb__tls_count(lenient ? stats->ocsp_staple_omitted : stats->ocsp_staple_failed);
        return lenient ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    unsigned char *copy = OPENSSL_memdup(used->staple, used->staple_bytes);
    if (copy == NULL) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)used->staple_bytes); /* takes it */
    mb__tls_count(stats->ocsp_staple_responses);
    return SSL_TLSEXT_ERR_OK;
}

/* -- sessions --------------------------------------------------------------------------------- */

static void digest_certificate(EVP_MD_CTX *digest, const X509 *certificate) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (X509_digest(certificate, EVP_sha256(), hash, &length) == 1) {
        (void)EVP_DigestUpdate(digest, hash, length);
    }
}

/* A session made under other certificates or authorities must not be resumed: resuming skips what
 * they would be checked for. */
static bool set_session_context(mb_tls_material *material) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool good = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;
    for (uint32_t i = 0; good && i < material->settings->identity_count; i++) {
        digest_certificate(digest, material->identities[i].leaf);
    }
    STACK_OF(X509_OBJECT) *trusted =
        X509_STORE_get0_objects(SSL_CTX_get_cert_store(material->ssl_ctx));
    for (int i = 0; good && i < sk_X509_OBJECT_num(trusted); i++) {
        const X509 *certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i));
        if (certificate != NULL) {
            digest_certificate(digest, certificate);
        }
    }
    const mb_tls_validation *validation = &material->settings->validation;
    const uint8_t flags[] = {material->settings->require_client_certificate,
                             validation->accept_untrusted, validation->allow_expired};
    good = good && EVP_DigestUpdate(digest, flags, sizeof(flags)) == 1 &&
           EVP_DigestUpdate(digest, validation->hashes,
                            (size_t)validation->hash_count * MB_TLS_HASH_BYTES) == 1 &&
           EVP_DigestFinal_ex(digest, hash, &length) == 1 &&
           SSL_CTX_set_session_id_context(material->ssl_ctx, hash, length) == 1;
    EVP_MD_CTX_free(digest);
    return good;
}

static bool set_sessions(mb_tls_material *material) {
    const mb_tls_settings *settings = material->settings;
    SSL_CTX *ssl_ctx = material->ssl_ctx;
    if (settings->no_stateful_resumption) {
        SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
    } else {
        SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_SERVER);
        SSL_CTX_sess_set_cache_size(ssl_ctx, STATEFUL_SESSIONS_MAX);
    }
    if (settings->no_stateless_resumption) {
        SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
        if (settings->no_stateful_resumption) {
            SSL_CTX_set_num_tickets(ssl_ctx, 0);
        }
    } else {
        mb__tls_tickets_use(ssl_ctx);
    }
    return set_session_context(material);
}

/* -- all of it -------------------------------------------------------------------------------- */

static int check_settings(const mb_tls_settings *settings, mb_tls_fault *fault) {
    const mb_tls_validation *validation = &settings->validation;
    if (settings->identity_count == 0) {
        return mb__tls_fault(fault, NULL, -1, "tls_certificates", "a server needs a certificate");
    }
    if (validation->san_count > 0 && !mb__tls_checks_chain(settings)) {
        return mb__tls_fault(fault, "validation_context", -1, "match_typed_subject_alt_names",
                             "names in certificates that nobody vouches for prove nothing: set "
                             "trusted_ca");
    }
    return MB_OK;
}

int mb__tls_server_configure(mb_tls_context *context, mb_tls_material *material,
                             mb_tls_fault *fault) {
    (void)context;
    const mb_tls_settings *settings = material->settings;
    SSL_CTX *ssl_ctx = material->ssl_ctx;
    int result = check_settings(settings, fault);
    if (result != MB_OK) {
        return result;
    }
    int mode = settings->validation.present || settings->require_client_certificate
                   ? SSL_VERIFY_PEER
                   : SSL_VERIFY_NONE;
    mode |= settings->require_client_certificate ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(ssl_ctx, mode, NULL);
    if (!settings->prefer_client_ciphers) {
        SSL_CTX_set_options(ssl_ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    }
    SSL_CTX_set_cert_cb(ssl_ctx, on_certificate, NULL);
    SSL_CTX_set_tlsext_servername_callback(ssl_ctx, on_server_name);
    SSL_CTX_set_tlsext_status_cb(ssl_ctx, on_status);
    if (settings->alpn.len > 0) {
        SSL_CTX_set_alpn_select_cb(ssl_ctx, on_alpn, NULL);
    }
    return set_sessions(material) ? MB_OK : MB_ENOMEM;
}

mb_transport *mb_tls_server_new(mb_tls_context *context, mb_transport *under) {
    mb_tls_transport *self = mb__tls_transport_new(context, under);
    if (self == NULL) {
        return NULL;
    }
    SSL_set_accept_state(self->ssl);
    return &self->transport;
}
