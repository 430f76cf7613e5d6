/*
 * What a handshake agreed on (mb_tls_info), made at the first question and kept in the transport.
 */
#include "net/tls_internal.h"

#include "base/slice.h"

static mb_slice view(const char *text) {
    return text != NULL ? mb_slice_from_c(text) : (mb_slice){"", 0};
}

const mb_tls_info *mb__tls_info(mb_tls_transport *self) {
    mb_tls_info *info = &self->info;
    if (self->info_made) {
        return info;
    }
    const unsigned char *alpn = NULL;
    unsigned alpn_length = 0;
    SSL_get0_alpn_selected(self->ssl, &alpn, &alpn_length);
    const X509 *peer = SSL_get0_peer_certificate(self->ssl);
    info->version = view(SSL_get_version(self->ssl));
    info->cipher = view(SSL_get_cipher_name(self->ssl));
    info->alpn = (mb_slice){alpn_length > 0 ? (const char *)alpn : "", alpn_length};
    info->sni = view(SSL_get_servername(self->ssl, TLSEXT_NAMETYPE_host_name));
    info->session_reused = SSL_session_reused(self->ssl) != 0;
    info->peer_presented = peer != NULL;
    info->peer_verified = peer != NULL && !self->unverified &&
                          SSL_get_verify_mode(self->ssl) != SSL_VERIFY_NONE &&
                          SSL_get_verify_result(self->ssl) == X509_V_OK &&
                          mb__tls_checks_chain(&self->context->settings);
    info->owner = self;
    self->info_made = true;
    return info;
}

const mb_tls_certificate *mb_tls_peer(const mb_tls_info *info) {
    mb_tls_transport *self = info->owner;
    X509 *leaf = SSL_get0_peer_certificate(self->ssl);
    if (self->peer == NULL && leaf != NULL) {
        self->peer = mb__tls_certificate_new(self->context->world.allocator, leaf,
                                             SSL_get_peer_cert_chain(self->ssl));
        mb__tls_errors_clear();
    }
    return mb__tls_certificate_view(self->peer);
}

const mb_tls_certificate *mb_tls_local(const mb_tls_info *info) {
    mb_tls_transport *self = info->owner;
    X509 *leaf = SSL_get_certificate(self->ssl);
    if (self->local == NULL && leaf != NULL) {
        self->local = mb__tls_certificate_new(self->context->world.allocator, leaf, NULL);
        mb__tls_errors_clear();
    }
    return mb__tls_certificate_view(self->local);
}

size_t mb_tls_session_id(const mb_tls_info *info, char out[MB_TLS_SESSION_ID_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    const mb_tls_transport *self = info->owner;
    const SSL_SESSION *session = SSL_get_session(self->ssl);
    unsigned length = 0;
    const unsigned char *id = session != NULL ? SSL_SESSION_get_id(session, &length) : NULL;
    size_t written = 0;
    for (unsigned i = 0; id != NULL && i < length && written < MB_TLS_SESSION_ID_BYTES; i++) {
        out[written++] = digits[id[i] >> 4];
        out[written++] = digits[id[i] & 15];
    }
    return written;
}
