/*
 * What is told of a TLS connection as text: for access logs (format_operators.c) and for filters
 * (host.c).
 */
#ifndef MB_FILTER_TLS_TEXT_H
#define MB_FILTER_TLS_TEXT_H

#include "net/tls.h"

typedef enum mb_tls_text {
    MB_TLS_TEXT_VERSION,
    MB_TLS_TEXT_CIPHER,
    MB_TLS_TEXT_ALPN,
    MB_TLS_TEXT_SNI,
    MB_TLS_TEXT_SESSION_ID, /* hex */
    MB_TLS_TEXT_PEER_SUBJECT,
    MB_TLS_TEXT_PEER_ISSUER,
    MB_TLS_TEXT_PEER_SERIAL,
    MB_TLS_TEXT_PEER_SHA256,
    MB_TLS_TEXT_PEER_URI_SAN, /* lists: "a,b"; what could be taken for the comma is escaped */
    MB_TLS_TEXT_PEER_DNS_SAN,
    MB_TLS_TEXT_PEER_IP_SAN,
    MB_TLS_TEXT_PEER_EMAIL_SAN,
    MB_TLS_TEXT_PEER_CERT, /* URL-encoded PEM */
    MB_TLS_TEXT_LOCAL_SUBJECT,
    MB_TLS_TEXT_LOCAL_URI_SAN,
    MB_TLS_TEXT_LOCAL_DNS_SAN
} mb_tls_text;

/* Appends it. False: it is unset, and nothing was appended. `tls` may be NULL. */
bool mb_tls_text_append(const mb_tls_info *tls, mb_tls_text what, mb_text *out);
/* A name of a certificate, percent-encoded where it is not a visible character, or one of `",;\`:
 * what it is put into cannot be broken by it. */
void mb_tls_name_append(mb_slice name, mb_text *out);

#endif
