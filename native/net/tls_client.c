/*
 * What is special of a client: whose certificate it expects (RFC 9110 4.3.4), the name it asks
 * for (SNI), what it offers (ALPN), and sessions for resumption.
 *
 * Sessions belong to the context, at most max_session_keys, newest first. One is only offered to
 * whom it was made with under the same name, since a resumed handshake shows no certificate; those
 * of TLS 1.3 are used once (RFC 8446 C.4). New material forgets them all.
 */
#include "net/tls_internal.h"

#include "base/alloc.h"
#include "base/slice.h"
#include <arpa/inet.h>

/* -- sessions --------------------------------------------------------------------------------- */

static void session_free(const mb_allocator *allocator, mb_tls_session *session) {
    SSL_SESSION_free(session->session);
    mb_free(allocator, session, sizeof(*session) + strlen(session->name) + 1);
}

static void drop_behind(mb_tls_context *context, uint32_t keep) {
    mb_tls_session **at = &context->sessions;
    for (uint32_t i = 0; i < keep && *at != NULL; i++) {
        at = &(*at)->next;
    }
    while (*at != NULL) {
        mb_tls_session *old = *at;
        *at = old->next;
        context->session_count--;
        session_free(context->world.allocator, old);
    }
}

void mb__tls_sessions_clear(mb_tls_context *context) {
    drop_behind(context, 0);
}

/* 1: the reference is ours now. */
static int on_session(SSL *ssl, SSL_SESSION *session) {
    mb_tls_transport *self = mb__tls_transport_of(ssl);
    mb_tls_context *context = self->context;
    if (context->material != self->material || self->unverified) {
        return 0;
    }
    size_t bytes = strlen(self->session_name) + 1;
    mb_tls_session *entry = mb_alloc(context->world.allocator, sizeof(*entry) + bytes);
    if (entry == NULL) {
        return 0;
    }
    memcpy(entry->name, self->session_name, bytes);
    entry->session = session;
    entry->next = context->sessions;
    context->sessions = entry;
    context->session_count++;
    drop_behind(context, context->settings.max_session_keys);
    return 1;
}

static void resume(mb_tls_transport *self) {
    mb_tls_context *context = self->context;
    for (mb_tls_session **at = &context->sessions; *at != NULL; at = &(*at)->next) {
        mb_tls_session *entry = *at;
        if (strcmp(entry->name, self->session_name) != 0) {
            continue;
        }
        bool once = SSL_SESSION_get_protocol_version(entry->session) >= TLS1_3_VERSION;
        (void)SSL_set_session(self->ssl, entry->session); /* at worst a full handshake */
        if (once) {
            *at = entry->next;
            context->session_count--;
            session_free(context->world.allocator, entry);
        }
        return;
    }
}

/* -- makers ----------------------------------------------------------------------------------- */

static bool is_ip_text(const char *name) {
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static char *dup_z(const mb_allocator *allocator, mb_slice text) {
    char *copy = mb_alloc(allocator, text.len + 1);
    if (copy != NULL) {
        memcpy(copy, text.len > 0 ? text.ptr : "", text.len);
        copy[text.len] = '\0';
    }
    return copy;
}

static void free_z(const mb_allocator *allocator, const char *text) {
    if (text != NULL) {
        mb_free(allocator, (char *)text, strlen(text) + 1);
    }
}

static mb_transport *make(const mb_transport_maker *maker, const mb_allocator *allocator, int fd) {
    mb_transport *under = mb_plain_transport_new(allocator, fd);
    return under != NULL ? mb_tls_client_new((const mb_tls_client_maker *)maker, under) : NULL;
}

int mb_tls_client_maker_init(mb_tls_client_maker *maker, mb_tls_context *context, mb_slice hostname,
                             mb_slice ip) {
    const mb_allocator *allocator = context->world.allocator;
    const mb_tls_settings *settings = &context->settings;
    mb_slice sni = mb_slice_from_c(settings->sni);
    if (hostname.len > 0 && (sni.len == 0 || settings->auto_host_sni)) {
        sni = hostname;
    }
    char *name = dup_z(allocator, sni.len > 0 ? sni : ip);
    if (name == NULL) {
        return MB_ENOMEM;
    }
    bool verify_ip = is_ip_text(name);
    /* An address is no server name (RFC 6066 3). */
    char *server_name = dup_z(allocator, verify_ip ? (mb_slice){"", 0} : sni);
    if (server_name == NULL) {
        free_z(allocator, name);
        return MB_ENOMEM;
    }
    *maker = (mb_tls_client_maker){
        .maker.make = make,
        .context = mb_tls_context_ref(context),
        .server_name = server_name,
        .verify_name = name,
        .verify_ip = verify_ip,
    };
    return MB_OK;
}

void mb_tls_client_maker_fini(mb_tls_client_maker *maker) {
    if (maker->context != NULL) {
        const mb_allocator *allocator = maker->context->world.allocator;
        free_z(allocator, maker->server_name);
        free_z(allocator, maker->verify_name);
        mb_tls_context_unref(maker->context);
        *maker = (mb_tls_client_maker){0};
    }
}

/* -- all of it -------------------------------------------------------------------------------- */

int mb__tls_client_configure(mb_tls_context *context, mb_tls_material *material,
                             mb_tls_fault *fault) {
    (void)context;
    const mb_tls_settings *settings = material->settings;
    SSL_CTX *ssl_ctx = material->ssl_ctx;
    if (settings->identity_count > 1) {
        return mb__tls_fault(fault, "tls_certificates", 1, "certificate_chain",
                             "a client has at most one certificate");
    }
    SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER, NULL);
    if (settings->alpn.len > 0 &&
        SSL_CTX_set_alpn_protos(ssl_ctx, (const unsigned char *)settings->alpn.ptr,
                                (unsigned)settings->alpn.len) != 0) {
        return MB_ENOMEM;
    }
    if (settings->max_session_keys > 0) {
        SSL_CTX_set_session_cache_mode(ssl_ctx,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(ssl_ctx, on_session);
    } else {
        SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
    }
    return MB_OK;
}

/* A connection may outlive the host whose maker made it, so it has names of its own. */
static bool set_names(mb_tls_transport *self, const mb_tls_client_maker *maker) {
    size_t length = strlen(maker->verify_name);
    self->names_bytes = length + 1;
    self->names = mb_alloc(self->context->world.allocator, self->names_bytes);
    if (self->names == NULL) {
        return false;
    }
    memcpy(self->names, maker->verify_name, length + 1);
    self->verify_name = self->session_name = self->names;
    self->verify_ip = maker->verify_ip;
    bool offer = self->context->settings.alpn.len == 0 && maker->alpn.len > 0;
    if (offer && SSL_set_alpn_protos(self->ssl, (const unsigned char *)maker->alpn.ptr,
                                     (unsigned)maker->alpn.len) != 0) {
        return false;
    }
    return maker->server_name[0] == '\0' ||
           SSL_set_tlsext_host_name(self->ssl, maker->server_name) == 1;
}

mb_transport *mb_tls_client_new(const mb_tls_client_maker *maker, mb_transport *under) {
    mb_tls_transport *self = mb__tls_transport_new(maker->context, under);
    if (self == NULL) {
        return NULL;
    }
    if (!set_names(self, maker)) {
        mb__tls_errors_clear();
        self->transport.vtable->free(&self->transport);
        return NULL;
    }
    SSL_set_connect_state(self->ssl);
    resume(self);
    return &self->transport;
}
