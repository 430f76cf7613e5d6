/*
 * What the files of TLS share.
 *
 *   tls_context.c    life of a context, makers, watching files
 *   tls_material.c   settings -> SSL_CTX; tls_load.c: files -> certificates, keys, authorities
 *   tls_server.c     which certificate, ALPN, staples; tls_tickets.c: keys of session tickets
 *   tls_client.c     names, sessions that may be resumed
 *   tls_verify.c     whether the peer's certificate will do
 *   tls_transport.c  the transport; tls_bio.c: what OpenSSL reads from and writes to
 *   tls_info.c, tls_certificate.c, tls_error.c, tls_stats.c   what is told of a connection
 *
 * Ownership: transport -> context and material; context -> newest material. Settings are the
 * context's, so a material lives no longer than its context. OpenSSL allocates by itself: where it
 * cannot, its call fails, and that is a failed handshake or MB_ENOMEM.
 */
#ifndef MB_NET_TLS_INTERNAL_H
#define MB_NET_TLS_INTERNAL_H

#include "base/map.h"
#include "net/tls.h"
#include <openssl/ssl.h>

/* -- tls_load.c ------------------------------------------------------------------------------- */

/* How OpenSSL tells keys apart when a server has several certificates of one name. */
typedef enum mb_tls_key_type {
    MB_TLS_KEY_RSA = 0,
    MB_TLS_KEY_EC,
    MB_TLS_KEY_OTHER,
    MB_TLS_KEY_TYPES
} mb_tls_key_type;

typedef struct mb_tls_loaded {
    X509 *leaf;
    STACK_OF(X509) * chain; /* without the leaf */
    EVP_PKEY *key;
    mb_tls_key_type type;
    unsigned char *staple; /* DER, or NULL */
    size_t staple_bytes;
    int64_t staple_until_s; /* INT64_MAX: without end */
} mb_tls_loaded;

#define MB_TLS_FILE_BYTES_MAX (1024u * 1024u)

/* Reads one source whole; the caller frees it with mb__tls_unread. MB_OK, or MB_ECONFIG with
 * `fault->text`, or MB_ENOMEM. */
int mb__tls_read(const mb_allocator *allocator, const mb_tls_source *source, mb_tls_fault *fault,
                 mb_slice *out);
void mb__tls_unread(const mb_allocator *allocator, mb_slice bytes); /* wipes it too */
/* "certificate file" for messages: the name of a file or variable, never inline bytes. */
const char *mb__tls_source_name(const mb_tls_source *source);
int mb__tls_load_identity(const mb_tls_world *world, const mb_tls_settings *settings,
                          uint32_t index, mb_tls_loaded *out, mb_tls_fault *fault);
void mb__tls_unload(mb_tls_loaded *loaded);
int mb__tls_load_ticket_key(const mb_allocator *allocator, const mb_tls_settings *settings,
                            uint32_t index, uint8_t out[MB_TLS_TICKET_KEY_BYTES],
                            mb_tls_fault *fault);
/* Adds authorities and revocation lists to the store of `ssl_ctx`. */
int mb__tls_load_authorities(const mb_allocator *allocator, const mb_tls_settings *settings,
                             SSL_CTX *ssl_ctx, mb_tls_fault *fault);
int mb__tls_fault(mb_tls_fault *fault, const char *parent, int64_t index, const char *field,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* -- tls_material.c --------------------------------------------------------------------------- */

/* Which certificates a server name may be answered with: one of each type of key, or NULL. */
typedef struct mb_tls_choice {
    const mb_tls_loaded *by_type[MB_TLS_KEY_TYPES];
} mb_tls_choice;

typedef struct mb_tls_material {
    uint32_t refs;
    const mb_allocator *allocator;
    const mb_tls_settings *settings; /* the context's */
    SSL_CTX *ssl_ctx;
    mb_tls_loaded *identities;                       /* settings->identity_count */
    uint8_t (*ticket_keys)[MB_TLS_TICKET_KEY_BYTES]; /* settings->ticket_key_count */
    mb_tls_choice fallback;                          /* for names that none has */
    mb_map names;   /* lower-case name, "*.x" for wildcards -> mb_tls_choice * */
    mb_arena arena; /* of names and choices */
} mb_tls_material;

int mb__tls_material_new(mb_tls_context *context, mb_tls_material **out, mb_tls_fault *fault);
mb_tls_material *mb__tls_material_ref(mb_tls_material *material);
void mb__tls_material_unref(mb_tls_material *material);

/* -- the context ------------------------------------------------------------------------------ */

#define MB_TLS_TICKET_KEYS_OWN 2

typedef struct mb_tls_tickets {
    uint8_t keys[MB_TLS_TICKET_KEYS_OWN][MB_TLS_TICKET_KEY_BYTES]; /* the first one seals */
    uint64_t rotate_at_us;                                         /* 0: there is no key yet */
} mb_tls_tickets;

typedef struct mb_tls_stats {
    mb_stats *registry; /* NULL: nothing is counted */
    mb_slice prefix;    /* "listener.x.ssl." */
    mb_metric *handshake, *connection_error, *session_reused, *no_certificate;
    mb_metric *fail_verify_no_cert, *fail_verify_error, *fail_verify_san, *fail_verify_cert_hash;
    mb_metric *ocsp_staple_requests, *ocsp_staple_responses, *ocsp_staple_omitted;
    mb_metric *ocsp_staple_failed;
    mb_metric *updates, *update_rejected;
} mb_tls_stats;

/* A file as it was when it was read. */
typedef struct mb_tls_watch {
    const char *name;
    uint64_t device, inode, size;
    int64_t changed_ns; /* mtime; -1: it was not there */
} mb_tls_watch;

typedef struct mb_tls_session {
    struct mb_tls_session *next;
    SSL_SESSION *session;
    char name[]; /* whom it was made with */
} mb_tls_session;

/* Records that are encrypted before one write of what is under them. */
#define MB_TLS_BATCH_RECORDS 4
#define MB_TLS_RECORD_BYTES SSL3_RT_MAX_PLAIN_LENGTH
#define MB_TLS_CORK_BYTES (MB_TLS_BATCH_RECORDS * (MB_TLS_RECORD_BYTES + 320u))

struct mb_tls_context {
    uint32_t refs;
    mb_tls_world world;
    mb_tls_settings settings;
    mb_arena arena; /* of the settings and the watches */
    mb_tls_material *material;
    BIO_METHOD *bio_method;
    mb_transport_maker server_maker;
    mb_tls_tickets tickets;
    mb_tls_session *sessions; /* newest first */
    uint32_t session_count;
    mb_tls_stats stats;
    mb_tls_watch *watches;
    uint32_t watch_count;
    mb_timer watch_timer;
    /* Where a transport gathers while it is called: plain bytes of small pieces, and what goes
     * under. Nothing is left in them between two calls. */
    char *plain, *cork;
};

/* -- the transport ---------------------------------------------------------------------------- */

typedef struct mb_tls_transport {
    mb_transport transport; /* first: an mb_transport is cast to this */
    mb_transport *under;
    mb_tls_context *context;   /* one reference, as is `material` */
    mb_tls_material *material; /* what this connection's handshake uses */
    SSL *ssl;
    /* What is under did not take it yet; goes first. */
    char *pending;
    size_t pending_at, pending_end, pending_bytes;
    size_t corked; /* bytes in the context's cork */
    size_t owed;   /* bytes at the front of the output that are encrypted, but not all sent */
    int saved_errno;
    bool handshaken : 1;
    bool drained : 1;     /* what is under is empty, until an event */
    bool under_ended : 1; /* it has ended */
    bool read_over : 1;   /* close_notify came */
    bool failed : 1;      /* nothing more goes either way */
    bool shut : 1;        /* close_notify is sent */
    bool closed : 1;
    bool unverified : 1; /* the peer's certificate failed a check that is switched off */
    bool counted : 1;    /* the failure has its own counter already */
    char *failure;       /* text, or NULL */
    size_t failure_bytes;
    const char *verify_name; /* of a client; the maker's, copied */
    char *names;             /* storage of `verify_name` and the session's name */
    size_t names_bytes;
    const char *session_name;
    bool verify_ip;
    bool info_made;
    mb_tls_info info;
    struct mb_tls_certificate_block *peer, *local;
} mb_tls_transport;

/* tls_transport.c. Takes `under`, also on failure. */
mb_tls_transport *mb__tls_transport_new(mb_tls_context *context, mb_transport *under);
static inline mb_tls_transport *mb__tls_transport_of(const SSL *ssl) {
    return SSL_get_app_data(ssl);
}

/* tls_bio.c */
BIO_METHOD *mb__tls_bio_method_new(void);
BIO *mb__tls_bio_new(mb_tls_transport *self);
/* Sends what is corked and pending as far as it goes. MB_OK: all; MB_EAGAIN: the rest is pending;
 * else failed. */
int mb__tls_flush(mb_tls_transport *self);

/* tls_server.c, tls_client.c: what is special of either side. MB_OK, MB_ECONFIG, MB_ENOMEM. */
int mb__tls_server_configure(mb_tls_context *context, mb_tls_material *material,
                             mb_tls_fault *fault);
int mb__tls_client_configure(mb_tls_context *context, mb_tls_material *material,
                             mb_tls_fault *fault);
void mb__tls_sessions_clear(mb_tls_context *context);

/* tls_tickets.c */
void mb__tls_tickets_use(SSL_CTX *ssl_ctx);
void mb__tls_tickets_fini(mb_tls_tickets *tickets);

/* tls_verify.c: for SSL_CTX_set_cert_verify_callback. */
int mb__tls_verify(X509_STORE_CTX *store, void *material);
bool mb__tls_checks_chain(const mb_tls_settings *settings);
/* Whether `name` is `pattern`, whose first label may be "*" (RFC 9525 6.3). Any case. */
bool mb__tls_dns_match(mb_slice pattern, mb_slice name);

/* tls_error.c. The first error of OpenSSL's queue in one line, which is emptied. `detail` (or
 * NULL) is added. */
void mb__tls_fail(mb_tls_transport *self, const char *detail);
/* Says why the peer's certificate will not do; counted by the caller. */
void mb__tls_fail_verify(mb_tls_transport *self, const char *detail);
void mb__tls_errors_clear(void);
/* The same for a fault: what OpenSSL says of a file or list. */
const char *mb__tls_reason(void);

/* tls_stats.c */
void mb__tls_count(mb_metric *metric); /* NULL is allowed */
void mb__tls_count_handshake(mb_tls_transport *self);

/* tls_certificate.c */
typedef struct mb_tls_certificate_block mb_tls_certificate_block;
mb_tls_certificate_block *mb__tls_certificate_new(const mb_allocator *allocator, X509 *leaf,
                                                  STACK_OF(X509) * chain);
void mb__tls_certificate_free(mb_tls_certificate_block *block);
const mb_tls_certificate *mb__tls_certificate_view(const mb_tls_certificate_block *block);

/* tls_info.c */
const mb_tls_info *mb__tls_info(mb_tls_transport *self);

#endif
