/*
 * What TLS is configured with: plain data that config/ fills in and net/tls_*.c reads. Names and
 * meanings are those of Envoy's CommonTlsContext, DownstreamTlsContext and UpstreamTlsContext.
 */
#ifndef MB_NET_TLS_SETTINGS_H
#define MB_NET_TLS_SETTINGS_H

#include "base/regex.h"

/* Where bytes come from. Files are read here and not by who wrote the configuration, so that they
 * can be watched, and so that keys do not travel in documents that somebody may print. */
typedef enum mb_tls_source_kind {
    MB_TLS_SOURCE_NONE = 0,
    MB_TLS_SOURCE_FILE,       /* `name` */
    MB_TLS_SOURCE_INLINE,     /* `bytes` */
    MB_TLS_SOURCE_ENVIRONMENT /* `name` */
} mb_tls_source_kind;

typedef struct mb_tls_source {
    mb_tls_source_kind kind;
    const char *name; /* NUL-terminated */
    mb_slice bytes;
} mb_tls_source;

/* One certificate with its key. */
typedef struct mb_tls_identity {
    mb_tls_source certificate_chain, private_key, password, ocsp_staple;
} mb_tls_identity;

typedef enum mb_tls_san_type {
    MB_TLS_SAN_ANY = 0, /* of whatever type: the deprecated match_subject_alt_names */
    MB_TLS_SAN_EMAIL,
    MB_TLS_SAN_DNS,
    MB_TLS_SAN_URI,
    MB_TLS_SAN_IP
} mb_tls_san_type;

typedef enum mb_tls_match_kind {
    MB_TLS_MATCH_EXACT = 0, /* for DNS: with the wildcards of the certificate */
    MB_TLS_MATCH_PREFIX,
    MB_TLS_MATCH_SUFFIX,
    MB_TLS_MATCH_CONTAINS,
    MB_TLS_MATCH_REGEX
} mb_tls_match_kind;

typedef struct mb_tls_san_match {
    mb_tls_san_type type;
    mb_tls_match_kind kind;
    bool ignore_case;
    mb_slice value;
    mb_regex *regex; /* kind REGEX; owned by the settings */
} mb_tls_san_match;

#define MB_TLS_HASH_BYTES 32 /* SHA-256 */

typedef struct mb_tls_validation {
    bool present; /* a validation_context was given */
    mb_tls_source trusted_ca, crl;
    bool system_roots;
    mb_tls_san_match *sans; /* one of them must match; none: see tls_verify.c */
    uint32_t san_count;
    const uint8_t (*hashes)[MB_TLS_HASH_BYTES]; /* of the certificate */
    const uint8_t (*spkis)[MB_TLS_HASH_BYTES];  /* of its public key */
    uint32_t hash_count, spki_count;
    bool allow_expired;
    bool accept_untrusted;
    bool crl_leaf_only;
    uint32_t max_depth; /* 0: 100 */
} mb_tls_validation;

typedef enum mb_tls_ocsp_policy {
    MB_TLS_OCSP_LENIENT = 0,
    MB_TLS_OCSP_STRICT,
    MB_TLS_OCSP_MUST
} mb_tls_ocsp_policy;

#define MB_TLS_TICKET_KEY_BYTES 80 /* name 16, HMAC 32, AES 32, as Envoy's */

typedef struct mb_tls_settings {
    bool server;
    uint16_t min_version, max_version; /* 0x0301 (TLS 1.0) to 0x0304; 0: the default */
    /* OpenSSL's spelling, "a:b:c"; "" the default. Suites of TLS 1.3 are not configured. */
    const char *cipher_suites, *curves, *signature_algorithms;
    mb_slice alpn; /* in wire form: each name behind its length (RFC 7301 3.1) */
    mb_tls_identity *identities;
    uint32_t identity_count;
    mb_tls_validation validation;
    /* server */
    bool require_client_certificate, require_sni, prefer_client_ciphers;
    bool full_scan_on_sni_mismatch;
    bool no_stateless_resumption; /* tickets */
    bool no_stateful_resumption;
    uint64_t session_timeout_s; /* 0: two hours */
    mb_tls_ocsp_policy ocsp_policy;
    mb_tls_source *ticket_keys; /* MB_TLS_TICKET_KEY_BYTES each; the first one seals */
    uint32_t ticket_key_count;  /* 0: our own, that rotate */
    /* client */
    const char *sni; /* "": the endpoint's name */
    bool auto_host_sni, auto_sni_san_validation;
    uint32_t max_session_keys; /* sessions kept for resumption; 0: none */
} mb_tls_settings;

#endif
