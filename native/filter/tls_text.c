/*
 * See tls_text.h. Certificates are read at the first question about them (net/tls_info.c).
 */
#include "filter/tls_text.h"

static const mb_slice nothing = {"", 0};

void mb_tls_name_append(mb_slice name, mb_text *out) {
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\') {
            mb_text_format(out, "%%%02X", c);
        } else {
            mb_text_byte(out, (char)c);
        }
    }
}

static bool append_names(const mb_slice *names, uint32_t count, mb_text *out) {
    for (uint32_t i = 0; i < count; i++) {
        mb_text_c(out, i > 0 ? "," : "");
        mb_tls_name_append(names[i], out);
    }
    return count > 0;
}

static bool append_list(const mb_tls_certificate *from, mb_tls_text what, mb_text *out) {
    switch (what) {
    case MB_TLS_TEXT_PEER_URI_SAN:
    case MB_TLS_TEXT_LOCAL_URI_SAN:
        return append_names(from->uri_sans, from->uri_san_count, out);
    case MB_TLS_TEXT_PEER_DNS_SAN:
    case MB_TLS_TEXT_LOCAL_DNS_SAN:
        return append_names(from->dns_sans, from->dns_san_count, out);
    case MB_TLS_TEXT_PEER_IP_SAN:
        return append_names(from->ip_sans, from->ip_san_count, out);
    case MB_TLS_TEXT_PEER_EMAIL_SAN:
        return append_names(from->email_sans, from->email_san_count, out);
    default:
        return false;
    }
}

static mb_slice certificate_text(const mb_tls_certificate *from, mb_tls_text what) {
    switch (what) {
    case MB_TLS_TEXT_PEER_SUBJECT:
    case MB_TLS_TEXT_LOCAL_SUBJECT:
        return from->subject;
    case MB_TLS_TEXT_PEER_ISSUER:
        return from->issuer;
    case MB_TLS_TEXT_PEER_SERIAL:
        return from->serial;
    case MB_TLS_TEXT_PEER_SHA256:
        return from->sha256;
    case MB_TLS_TEXT_PEER_CERT:
        return from->pem;
    default:
        return nothing;
    }
}

static mb_slice connection_text(const mb_tls_info *tls, mb_tls_text what) {
    switch (what) {
    case MB_TLS_TEXT_VERSION:
        return tls->version;
    case MB_TLS_TEXT_CIPHER:
        return tls->cipher;
    case MB_TLS_TEXT_ALPN:
        return tls->alpn;
    default:
        return nothing;
    }
}

bool mb_tls_text_append(const mb_tls_info *tls, mb_tls_text what, mb_text *out) {
    char id[MB_TLS_SESSION_ID_BYTES];
    if (tls == NULL) {
        return false;
    }
    if (what == MB_TLS_TEXT_SNI) { /* the client's bytes */
        mb_tls_name_append(tls->sni, out);
        return tls->sni.len > 0;
    }
    mb_slice text = what == MB_TLS_TEXT_SESSION_ID ? (mb_slice){id, mb_tls_session_id(tls, id)}
                                                   : connection_text(tls, what);
    if (text.len == 0 && what >= MB_TLS_TEXT_PEER_SUBJECT) {
        const mb_tls_certificate *from =
            what >= MB_TLS_TEXT_LOCAL_SUBJECT ? mb_tls_local(tls) : mb_tls_peer(tls);
        if (from == NULL) {
            return false;
        }
        if (append_list(from, what, out)) {
            return true;
        }
        text = certificate_text(from, what);
    }
    mb_text_append(out, text);
    return text.len > 0;
}
