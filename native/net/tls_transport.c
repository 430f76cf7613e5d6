/*
 * TLS as a transport: handshake, records in, records out, close_notify (RFC 8446 6.1).
 *
 * Reading: SSL_read until it wants more, so that a result below the room means that nothing is
 * left (transport.h). The end: close_notify is an orderly one. An end without it may be somebody
 * cutting the connection, so it is MB_EIO with ECONNRESET, like a reset: a body that lasts until
 * the end is broken then, not complete.
 * Writing: small pieces are gathered to records of 16 KiB, large ones are encrypted in place; up
 * to four records go out in one write. Plain bytes are drained from the buffer when the last byte
 * of their records is out (`owed`), so what waits counts against the connection's watermark.
 * Renegotiation, compression and early data are off.
 */
#include "net/tls_internal.h"

#include "base/alloc.h"
#include <errno.h>
#include <openssl/err.h>

#define PIECES 64

static int64_t io_error(const mb_tls_transport *self) {
    errno = self->saved_errno != 0 ? self->saved_errno : ECONNRESET;
    return MB_EIO;
}

/* OpenSSL has given up on the connection. */
static void give_up(mb_tls_transport *self, const char *detail) {
    if (!self->failed) {
        self->failed = true;
        mb__tls_fail(self, detail);
    }
}

/* -- handshake -------------------------------------------------------------------------------- */

static int handshake_step(mb_tls_transport *self) {
    mb__tls_errors_clear();
    int result = SSL_do_handshake(self->ssl);
    if (result == 1) {
        self->handshaken = true;
        mb__tls_count_handshake(self);
        return MB_OK;
    }
    int error = SSL_get_error(self->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        return MB_EAGAIN;
    }
    give_up(self, self->under_ended ? "the peer ended during the handshake" : NULL);
    return self->saved_errno != 0 ? (int)io_error(self) : MB_EPROTO;
}

static int tls_handshake(mb_transport *transport) {
    mb_tls_transport *self = (mb_tls_transport *)transport;
    if (self->failed) {
        return MB_EPROTO;
    }
    self->drained = false;
    int result = self->handshaken ? MB_OK : handshake_step(self);
    int flushed = mb__tls_flush(self); /* an alert too */
    if (result < 0 && result != MB_EAGAIN) {
        return result;
    }
    if (flushed == MB_EIO) {
        give_up(self, "writing failed during the handshake");
        return (int)io_error(self);
    }
    return flushed == MB_EAGAIN ? MB_EAGAIN : result;
}

/* -- reading ---------------------------------------------------------------------------------- */

/* SSL_read said no. */
static void read_stopped(mb_tls_transport *self, int result) {
    int error = SSL_get_error(self->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        return;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        self->read_over = true;
        self->transport.ended = true;
        return;
    }
    if (self->under_ended && self->saved_errno == 0) {
        self->saved_errno = ECONNRESET;
        give_up(self, "the peer ended without close_notify");
    } else {
        give_up(self, NULL);
    }
    self->transport.ended = true; /* the next read says so */
}

static int64_t tls_read(mb_transport *transport, char *at, size_t room) {
    mb_tls_transport *self = (mb_tls_transport *)transport;
    size_t total = 0;
    self->drained = false;
    if (!self->failed && !self->read_over) {
        mb__tls_errors_clear();
        while (total < room) {
            size_t wanted = room - total < INT32_MAX ? room - total : INT32_MAX;
            int result = SSL_read(self->ssl, at + total, (int)wanted);
            if (result <= 0) {
                read_stopped(self, result);
                break;
            }
            total += (size_t)result;
            if (self->drained && !SSL_has_pending(self->ssl)) {
                break;
            }
        }
        if (self->corked > 0) {
            (void)mb__tls_flush(self); /* answers to what came; a broken pipe shows when we write */
        }
    }
    if (total > 0) {
        return (int64_t)total;
    }
    if (self->failed) {
        return io_error(self);
    }
    return self->read_over ? 0 : MB_EAGAIN;
}

/* -- writing ---------------------------------------------------------------------------------- */

/* One record (more if the peer wants shorter ones) into the cork. */
static bool encrypt(mb_tls_transport *self, const char *at, size_t length) {
    mb__tls_errors_clear();
    int written = SSL_write(self->ssl, at, (int)length);
    if (written == (int)length) {
        return true;
    }
    give_up(self, NULL);
    return false;
}

typedef struct cursor {
    struct iovec pieces[PIECES];
    int count, index;
    size_t at; /* within the piece */
} cursor;

/* Copies what fits of the small pieces that follow each other. */
static size_t gather(cursor *from, char *out) {
    size_t length = 0;
    while (from->index < from->count && length < MB_TLS_RECORD_BYTES) {
        const struct iovec *piece = &from->pieces[from->index];
        size_t left = piece->iov_len - from->at;
        size_t part = left < MB_TLS_RECORD_BYTES - length ? left : MB_TLS_RECORD_BYTES - length;
        memcpy(out + length, (const char *)piece->iov_base + from->at, part);
        length += part;
        from->at += part;
        if (from->at == piece->iov_len) {
            from->index++;
            from->at = 0;
        }
    }
    return length;
}

/* The next record's bytes: in place when they lie together, else gathered. */
static mb_slice next_record(mb_tls_transport *self, cursor *from) {
    const struct iovec *piece = &from->pieces[from->index];
    size_t left = piece->iov_len - from->at;
    if (left < MB_TLS_RECORD_BYTES && from->index + 1 < from->count) {
        size_t length = gather(from, self->context->plain);
        return (mb_slice){self->context->plain, length};
    }
    mb_slice record = {(const char *)piece->iov_base + from->at,
                       left < MB_TLS_RECORD_BYTES ? left : MB_TLS_RECORD_BYTES};
    from->at += record.len;
    if (from->at == piece->iov_len) {
        from->index++;
        from->at = 0;
    }
    return record;
}

/* Encrypts the front of the buffer, which keeps it until it is sent. False: failed. */
static bool encrypt_batch(mb_tls_transport *self, const mb_buffer *buffer) {
    cursor from = {.count = 0};
    from.count = mb_buffer_iovecs(buffer, from.pieces, PIECES);
    for (int i = 0; i < MB_TLS_BATCH_RECORDS && from.index < from.count; i++) {
        mb_slice record = next_record(self, &from);
        if (!encrypt(self, record.ptr, record.len)) {
            return false;
        }
        self->owed += record.len;
    }
    return true;
}

static int64_t tls_write(mb_transport *transport, mb_buffer *buffer) {
    mb_tls_transport *self = (mb_tls_transport *)transport;
    int64_t total = 0;
    if (self->failed) {
        return io_error(self);
    }
    for (;;) {
        int result = mb__tls_flush(self);
        if (result == MB_EIO) {
            give_up(self, "writing failed");
            return io_error(self);
        }
        if (result == MB_EAGAIN) {
            return total > 0 || buffer->length == 0 ? total : MB_EAGAIN;
        }
        mb_buffer_drain(buffer, self->owed);
        total += (int64_t)self->owed;
        self->owed = 0;
        if (buffer->length == 0) {
            return total;
        }
        if (!encrypt_batch(self, buffer)) {
            (void)mb__tls_flush(self); /* the cork is left empty: it is everybody's */
            return io_error(self);
        }
    }
}

/* -- the end ---------------------------------------------------------------------------------- */

static void send_close_notify(mb_tls_transport *self) {
    if (!self->handshaken || self->failed || self->shut) {
        return;
    }
    self->shut = true;
    mb__tls_errors_clear();
    (void)SSL_shutdown(self->ssl);
    (void)mb__tls_flush(self);
    mb__tls_errors_clear();
}

static void tls_shut_write(mb_transport *transport) {
    mb_tls_transport *self = (mb_tls_transport *)transport;
    send_close_notify(self);
    self->under->vtable->shut_write(self->under);
}

static void tls_close(mb_transport *transport, bool reset) {
    mb_tls_transport *self = (mb_tls_transport *)transport;
    if (self->closed) {
        return;
    }
    if (!reset && self->pending == NULL) { /* behind half a record it would be noise */
        send_close_notify(self);
    }
    self->closed = true;
    self->under->vtable->close(self->under, reset);
}

static void tls_free(mb_transport *transport) {
    mb_tls_transport *self = (mb_tls_transport *)transport;
    const mb_allocator *allocator = self->context->world.allocator;
    tls_close(transport, false);
    SSL_free(self->ssl);
    mb_free(allocator, self->pending, self->pending_bytes);
    mb_free(allocator, self->failure, self->failure_bytes);
    mb_free(allocator, self->names, self->names_bytes);
    mb__tls_certificate_free(self->peer);
    mb__tls_certificate_free(self->local);
    self->under->vtable->free(self->under);
    mb__tls_material_unref(self->material);
    mb_tls_context_unref(self->context);
    mb_free(allocator, self, sizeof(*self));
}

static const mb_tls_info *tls_info(mb_transport *transport) {
    mb_tls_transport *self = (mb_tls_transport *)transport;
    return self->handshaken ? mb__tls_info(self) : NULL;
}

static mb_slice tls_failure(mb_transport *transport) {
    const mb_tls_transport *self = (const mb_tls_transport *)transport;
    return self->failure != NULL ? (mb_slice){self->failure, strlen(self->failure)}
                                 : (mb_slice){"", 0};
}

static const mb_transport_vtable tls_vtable = {
    .name = "tls",
    .handshake = tls_handshake,
    .read = tls_read,
    .write = tls_write,
    .shut_write = tls_shut_write,
    .close = tls_close,
    .free = tls_free,
    .tls = tls_info,
    .failure = tls_failure,
};

mb_tls_transport *mb__tls_transport_new(mb_tls_context *context, mb_transport *under) {
    const mb_allocator *allocator = context->world.allocator;
    mb_tls_transport *self = mb_zalloc(allocator, sizeof(*self));
    if (self == NULL) {
        under->vtable->free(under);
        return NULL;
    }
    self->transport.vtable = &tls_vtable;
    self->under = under;
    self->context = mb_tls_context_ref(context);
    self->material = mb__tls_material_ref(context->material);
    self->ssl = SSL_new(self->material->ssl_ctx);
    BIO *bio = self->ssl != NULL ? mb__tls_bio_new(self) : NULL;
    if (bio == NULL) {
        mb__tls_errors_clear();
        tls_free(&self->transport);
        return NULL;
    }
    SSL_set_bio(self->ssl, bio, bio);
    SSL_set_app_data(self->ssl, self);
    return self;
}
