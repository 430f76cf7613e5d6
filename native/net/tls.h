/*
 * TLS: a transport over another one, and what it is configured with (OpenSSL 3).
 *
 * An mb_tls_context is one TLS side of one filter chain (server) or cluster (client): its settings,
 * and the certificates, keys and authorities made of them. When files that it names change it loads
 * them again; handshakes that begin afterwards use the new ones, connections keep what they have.
 * A file that cannot be used keeps the old one, with a log line and a counter.
 *
 * Life: mb_tls_context_new, fill in the settings, mb_tls_context_load, then makers. Refcounted;
 * every transport holds one reference. Worker only. Nothing here ever writes a key or a password
 * anywhere: faults name the field or the file.
 */
#ifndef MB_NET_TLS_H
#define MB_NET_TLS_H

#include "base/arena.h"
#include "base/stats.h"
#include "event/loop.h"
#include "net/tls_settings.h"
#include "net/transport.h"

typedef struct mb_tls_context mb_tls_context;

/* A certificate in the words of configurations, logs and x-forwarded-client-cert. */
typedef struct mb_tls_certificate {
    mb_slice subject, issuer; /* RFC 2253 */
    mb_slice serial, sha256;  /* lower-case hex */
    const mb_slice *uri_sans, *dns_sans, *ip_sans, *email_sans;
    uint32_t uri_san_count, dns_san_count, ip_san_count, email_san_count;
    int64_t not_before_s, not_after_s; /* seconds since 1970-01-01 UTC */
    mb_slice pem;                      /* URL-encoded PEM */
    mb_slice chain; /* of all that the peer sent, its own first; local: as `pem` */
} mb_tls_certificate;

/* What a handshake agreed on. Lives in the transport: valid until that is freed. */
struct mb_tls_info {
    mb_slice version; /* "TLSv1.3" */
    mb_slice cipher;  /* OpenSSL's name: "TLS_AES_128_GCM_SHA256" */
    mb_slice alpn;    /* empty: none was agreed on */
    mb_slice sni;     /* as the client asked; empty: it did not */
    bool session_reused;
    bool peer_presented; /* the peer has shown a certificate */
    bool peer_verified;  /* and it passed every check; false where checks were switched off */
    void *owner;         /* tls_info.c's */
};

/* The peer's certificate, our own. Made at the first question; valid as the info. NULL: there is
 * none, or out of memory. */
const mb_tls_certificate *mb_tls_peer(const mb_tls_info *info);
const mb_tls_certificate *mb_tls_local(const mb_tls_info *info);
#define MB_TLS_SESSION_ID_BYTES 64
/* The session's id in lower-case hex; returns its length, 0 when there is none. */
size_t mb_tls_session_id(const mb_tls_info *info, char out[MB_TLS_SESSION_ID_BYTES]);

/* -- contexts -------------------------------------------------------------------------------- */

typedef struct mb_tls_world {
    const mb_allocator *allocator;
    mb_arena_pool *arenas;
    mb_loop *loop; /* its clock says what is expired; its timers watch files */
    mb_logger logger;
} mb_tls_world;

/* What is wrong with settings, in Envoy's names: `parent[index].field: text`. */
typedef struct mb_tls_fault {
    const char *parent; /* NULL: the common context itself */
    const char *field;  /* NULL: the element */
    int64_t index;      /* of an element of `parent`; -1: it is none */
    char text[512];
} mb_tls_fault;

/* One reference. NULL: out of memory. */
mb_tls_context *mb_tls_context_new(const mb_tls_world *world);
mb_tls_context *mb_tls_context_ref(mb_tls_context *context);
void mb_tls_context_unref(mb_tls_context *context); /* NULL is allowed */
/* To be filled in before `load`, out of `*arena`, which lives as long as the context. */
mb_tls_settings *mb_tls_context_settings(mb_tls_context *context, mb_arena **arena);
/* Reads the files, makes all and begins to watch. MB_OK; MB_ECONFIG with `*fault`; MB_ENOMEM (also
 * where OpenSSL has none). */
int mb_tls_context_load(mb_tls_context *context, mb_tls_fault *fault);
/* Counts from now on as <prefix>ssl.* (prefix "listener.0.0.0.0_443." or "cluster.name."). MB_OK,
 * MB_ENOMEM, MB_EINVAL. */
int mb_tls_context_count_as(mb_tls_context *context, mb_stats *stats, mb_slice prefix);
/* Looks at the files now; what the timer does each second. */
void mb_tls_context_poll_files(mb_tls_context *context);

/* -- transports ------------------------------------------------------------------------------ */

/* The maker of a server's connections; valid as long as the context. */
const mb_transport_maker *mb_tls_server_maker(mb_tls_context *context);

/* The maker of connections to one upstream host; a member of the host. */
typedef struct mb_tls_client_maker {
    mb_transport_maker maker; /* first */
    mb_tls_context *context;  /* one reference */
    const char *server_name;  /* SNI; "" none. Owned, as is `verify_name` */
    const char *verify_name;  /* the name that the certificate must have; "" none */
    bool verify_ip;           /* it is an address */
    /* Offered where the settings have none, in wire form; borrowed. What is to be spoken may differ
     * by connection: change it in a copy of the maker. */
    mb_slice alpn;
} mb_tls_client_maker;

/* `hostname`: the endpoint's, may be empty; `ip`: its address as text, for hosts without a name.
 * Takes a reference. MB_OK or MB_ENOMEM (then there is nothing to undo). */
int mb_tls_client_maker_init(mb_tls_client_maker *maker, mb_tls_context *context, mb_slice hostname,
                             mb_slice ip);
void mb_tls_client_maker_fini(mb_tls_client_maker *maker);

/* Over any transport, which is taken also on failure. NULL: out of memory. */
mb_transport *mb_tls_server_new(mb_tls_context *context, mb_transport *under);
mb_transport *mb_tls_client_new(const mb_tls_client_maker *maker, mb_transport *under);

#endif
