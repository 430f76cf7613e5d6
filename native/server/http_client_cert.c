/*
 * x-forwarded-client-cert: what the upstream is told of the certificate that the client showed, and
 * of those that were shown to proxies in front. Called by http_request.c for each request.
 *
 * By default the header is taken off: whoever could write it could be anybody. It is believed only
 * from a client that has itself shown a certificate, or where `always_forward_only` says so.
 * Values are the certificate's, so they are somebody's bytes: names are percent-encoded where they
 * could end the value (RFC 3986 2.1); subjects have the escapes of RFC 2253 and stand in quotes.
 * Source: Envoy, "x-forwarded-client-cert" and set_current_client_cert_details.
 */
#include "server/http_client_cert.h"

#include "filter/arena_text.h"
#include "filter/tls_text.h"

#define HEADER_BYTES_MAX (256u * 1024u) /* a chain in PEM is long */

static void begin(mb_text *out, size_t from, const char *key) {
    if (out->len > from) {
        mb_text_byte(out, ';');
    }
    mb_text_c(out, key);
    mb_text_byte(out, '=');
}

static void append_name(mb_text *out, size_t from, const char *key, mb_slice name) {
    begin(out, from, key);
    mb_tls_name_append(name, out);
}

static void append_quoted(mb_text *out, size_t from, const char *key, mb_slice text) {
    begin(out, from, key);
    mb_text_byte(out, '"');
    mb_text_append(out, text);
    mb_text_byte(out, '"');
}

/* The element for our own client. */
static void append_element(mb_text *out, const mb_client_cert_config *config,
                           const mb_tls_certificate *local, const mb_tls_certificate *peer) {
    size_t from = out->len;
    for (uint32_t i = 0; local != NULL && i < local->uri_san_count; i++) {
        append_name(out, from, "By", local->uri_sans[i]);
    }
    append_name(out, from, "Hash", peer->sha256);
    if (config->cert) {
        append_quoted(out, from, "Cert", peer->pem);
    }
    if (config->chain) {
        append_quoted(out, from, "Chain", peer->chain);
    }
    if (config->subject) { /* there even where it is empty */
        append_quoted(out, from, "Subject", peer->subject);
    }
    if (config->uri && peer->uri_san_count == 0) {
        begin(out, from, "URI");
    }
    for (uint32_t i = 0; config->uri && i < peer->uri_san_count; i++) {
        append_name(out, from, "URI", peer->uri_sans[i]);
    }
    for (uint32_t i = 0; config->dns && i < peer->dns_san_count; i++) {
        append_name(out, from, "DNS", peer->dns_sans[i]);
    }
}

static int set_header(mb_stream *stream, const mb_client_cert_config *config) {
    mb_headers *headers = &stream->headers[MB_REQUEST];
    const mb_tls_certificate *peer = mb_tls_peer(stream->info.tls);
    mb_arena_text made;
    if (peer == NULL) {
        return MB_ENOMEM;
    }
    mb_arena_text_init(&made, headers->arena, HEADER_BYTES_MAX);
    if (config->kind == MB_CLIENT_CERT_APPEND_FORWARD) {
        mb_slice before = mb_headers_value(headers, MB_TOKEN_X_FORWARDED_CLIENT_CERT);
        mb_text_append(&made.text, before);
        mb_text_c(&made.text, before.len > 0 ? "," : "");
    }
    append_element(&made.text, config, mb_tls_local(stream->info.tls), peer);
    if (made.text.status != MB_OK) {
        return MB_ENOMEM;
    }
    return mb_headers_set_token(headers, MB_TOKEN_X_FORWARDED_CLIENT_CERT,
                                mb_text_view(&made.text));
}

int mb__http_client_cert(mb_stream *stream, const mb_client_cert_config *config) {
    mb_headers *headers = &stream->headers[MB_REQUEST];
    const mb_tls_info *tls = stream->info.tls;
    if (config->kind == MB_CLIENT_CERT_ALWAYS_FORWARD_ONLY) {
        return MB_OK;
    }
    if (config->kind == MB_CLIENT_CERT_SANITIZE || tls == NULL || !tls->peer_presented) {
        mb_headers_remove_token(headers, MB_TOKEN_X_FORWARDED_CLIENT_CERT);
        return MB_OK;
    }
    return config->kind == MB_CLIENT_CERT_FORWARD_ONLY ? MB_OK : set_header(stream, config);
}
