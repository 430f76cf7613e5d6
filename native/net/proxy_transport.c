/*
 * See proxy_transport.h. A client that speaks TLS begins by writing, another one may wait for the
 * server's first bytes: so the header goes out in the handshake or with the first write, whichever
 * comes first.
 */
#include "net/proxy_transport.h"

#include "base/alloc.h"

typedef struct proxy_transport {
    mb_transport base; /* first */
    const mb_allocator *allocator;
    mb_transport *under;
    mb_buffer waiting; /* of the header: bytes of our own, no slab */
    size_t length;
    char header[];
} proxy_transport;

static proxy_transport *of(mb_transport *transport) {
    return (proxy_transport *)transport;
}

/* MB_OK: all of the header is out. MB_EAGAIN, MB_EIO. */
static int send_header(proxy_transport *self) {
    while (self->waiting.length > 0) {
        int64_t sent = self->under->vtable->write(self->under, &self->waiting);

        if (sent < 0) {
            return (int)sent;
        }
        if (sent == 0) {
            return MB_EAGAIN;
        }
    }
    return MB_OK;
}

static int handshake(mb_transport *transport) {
    return send_header(of(transport));
}

static int64_t read_some(mb_transport *transport, char *at, size_t room) {
    proxy_transport *self = of(transport);
    int64_t got = self->under->vtable->read(self->under, at, room);

    transport->ended = self->under->ended;
    return got;
}

static int64_t write_some(mb_transport *transport, mb_buffer *buffer) {
    proxy_transport *self = of(transport);
    int rc = send_header(self);

    return rc != MB_OK ? rc : self->under->vtable->write(self->under, buffer);
}

static void shut_write(mb_transport *transport) {
    of(transport)->under->vtable->shut_write(of(transport)->under);
}

static void close_it(mb_transport *transport, bool reset) {
    of(transport)->under->vtable->close(of(transport)->under, reset);
}

static void free_it(mb_transport *transport) {
    proxy_transport *self = of(transport);

    self->under->vtable->free(self->under);
    mb_buffer_fini(&self->waiting);
    mb_free(self->allocator, self, sizeof *self + self->length);
}

static const mb_transport_vtable proxy_vtable = {.name = "upstream_proxy_protocol",
                                                 .handshake = handshake,
                                                 .read = read_some,
                                                 .write = write_some,
                                                 .shut_write = shut_write,
                                                 .close = close_it,
                                                 .free = free_it};

mb_transport *mb_proxy_transport_new(const mb_allocator *allocator, mb_transport *under,
                                     mb_slice header) {
    proxy_transport *self = mb_alloc(allocator, sizeof *self + header.len);

    if (self == NULL) {
        under->vtable->free(under);
        return NULL;
    }
    *self = (proxy_transport){
        .base.vtable = &proxy_vtable, .allocator = allocator, .under = under, .length = header.len};
    memcpy(self->header, header.ptr, header.len);
    mb_buffer_init(&self->waiting, NULL);
    /* One segment of constant bytes: neither memory nor a slab is needed for it. */
    (void)mb_buffer_append_static(&self->waiting, (mb_slice){self->header, header.len});
    return &self->base;
}
