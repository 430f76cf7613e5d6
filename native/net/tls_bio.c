/*
 * What OpenSSL reads from and writes to: the transport under TLS.
 *
 * Reading goes straight into OpenSSL's buffer. A short read means that nothing is left until the
 * next event, so no second call asks for EAGAIN (transport.h). Writing gathers in the context's
 * cork until the transport's call ends, so that a flight of the handshake, or all records of a
 * batch, are one write; it never tells OpenSSL to wait. What the kernel does not take becomes the
 * transport's own `pending`, bounded by MB_TLS_PENDING_BYTES_MAX: a peer that asks without end and
 * reads nothing is dropped.
 */
#include "net/tls_internal.h"

#include "base/alloc.h"
#include <errno.h>

/* A batch, and as much again for what a peer may ask for meanwhile (KeyUpdate). */
#define MB_TLS_PENDING_BYTES_MAX (2 * MB_TLS_CORK_BYTES)

static int bio_read(BIO *bio, char *at, int room) {
    mb_tls_transport *self = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (self->under_ended || room <= 0) {
        return 0;
    }
    int64_t count = MB_EAGAIN;
    if (!self->drained) {
        count = self->under->vtable->read(self->under, at, (size_t)room);
    }
    if (count > 0) {
        self->drained = count < room && !self->under->ended;
        return (int)count;
    }
    if (count == MB_EAGAIN) {
        self->drained = true;
        BIO_set_retry_read(bio);
    } else if (count == 0) {
        self->under_ended = true;
        return 0;
    } else {
        self->saved_errno = errno;
    }
    return -1;
}

/* Writes to what is under. How much it took, or MB_EIO. */
static int64_t send_under(mb_tls_transport *self, const char *at, size_t length) {
    mb_buffer buffer;
    mb_buffer_init(&buffer, NULL); /* one inline segment: needs no pool */
    (void)mb_buffer_append_static(&buffer, (mb_slice){at, length});
    int64_t sent = self->under->vtable->write(self->under, &buffer);
    if (sent < 0 && sent != MB_EAGAIN) {
        self->saved_errno = errno;
        return MB_EIO;
    }
    return (int64_t)(length - buffer.length);
}

static void pending_free(mb_tls_transport *self) {
    mb_free(self->context->world.allocator, self->pending, self->pending_bytes);
    self->pending = NULL;
    self->pending_at = self->pending_end = self->pending_bytes = 0;
}

static int pending_append(mb_tls_transport *self, const char *at, size_t length) {
    size_t held = self->pending_end - self->pending_at;
    if (held + length > MB_TLS_PENDING_BYTES_MAX) {
        self->saved_errno = ENOBUFS;
        return MB_EIO;
    }
    char *bytes = mb_alloc(self->context->world.allocator, held + length);
    if (bytes == NULL) {
        self->saved_errno = ENOMEM;
        return MB_EIO;
    }
    if (held > 0) {
        memcpy(bytes, self->pending + self->pending_at, held);
    }
    memcpy(bytes + held, at, length);
    pending_free(self);
    self->pending = bytes;
    self->pending_end = self->pending_bytes = held + length;
    return MB_OK;
}

static int flush_pending(mb_tls_transport *self) {
    if (self->pending == NULL) {
        return MB_OK;
    }
    int64_t sent =
        send_under(self, self->pending + self->pending_at, self->pending_end - self->pending_at);
    if (sent < 0) {
        return MB_EIO;
    }
    self->pending_at += (size_t)sent;
    if (self->pending_at < self->pending_end) {
        return MB_EAGAIN;
    }
    pending_free(self);
    return MB_OK;
}

int mb__tls_flush(mb_tls_transport *self) {
    size_t corked = self->corked;
    self->corked = 0;
    int result = flush_pending(self);
    if (corked == 0 || result == MB_EIO) {
        return result;
    }
    int64_t sent = result == MB_OK ? send_under(self, self->context->cork, corked) : 0;
    if (sent < 0) {
        return MB_EIO;
    }
    if ((size_t)sent == corked) {
        return MB_OK;
    }
    result = pending_append(self, self->context->cork + sent, corked - (size_t)sent);
    return result == MB_OK ? MB_EAGAIN : result;
}

static int bio_write(BIO *bio, const char *at, int length) {
    mb_tls_transport *self = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (length <= 0) {
        return 0;
    }
    size_t bytes = (size_t)length;
    if (self->corked + bytes > MB_TLS_CORK_BYTES && mb__tls_flush(self) == MB_EIO) {
        return -1;
    }
    if (bytes > MB_TLS_CORK_BYTES) {
        return pending_append(self, at, bytes) == MB_OK ? length : -1;
    }
    memcpy(self->context->cork + self->corked, at, bytes);
    self->corked += bytes;
    return length;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)number;
    (void)pointer;
    const mb_tls_transport *self = BIO_get_data(bio);
    switch (command) {
    case BIO_CTRL_FLUSH: /* the transport does, when OpenSSL returns */
    case BIO_CTRL_DUP:
        return 1;
    case BIO_CTRL_EOF:
        return self->under_ended;
    default:
        return 0;
    }
}

BIO_METHOD *mb__tls_bio_method_new(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 0x7f, "moebridge transport");
    if (method != NULL) {
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
    }
    return method;
}

BIO *mb__tls_bio_new(mb_tls_transport *self) {
    BIO *bio = BIO_new(self->context->bio_method);
    if (bio != NULL) {
        BIO_set_data(bio, self);
        BIO_set_init(bio, 1);
    }
    return bio;
}
