/*
 * Transport: how bytes get from a connection's buffers to its peer. Plain sockets, TLS over
 * another transport, memory for tests. A connection calls it and knows no system call of its own.
 * Where MB_EIO is returned errno says why.
 */
#ifndef MB_NET_TRANSPORT_H
#define MB_NET_TRANSPORT_H

#include "base/buffer.h"

typedef struct mb_transport mb_transport;
typedef struct mb_tls_info mb_tls_info; /* tls.h */

typedef struct mb_transport_vtable {
    const char *name; /* "raw_buffer", "tls", "memory" */
    bool raw;         /* bytes go to the connection's descriptor as they are: `write` is a send */
    /* After the socket is connected; runs the handshake. May be NULL when there is none. MB_OK:
     * bytes may flow; MB_EAGAIN: call again when ready; MB_EPROTO, MB_EIO: failed. */
    int (*handshake)(mb_transport *transport);
    /* Reads at most `room` bytes to `at`. > 0 bytes; 0 the peer ended; MB_EAGAIN; MB_EIO. A
     * result below `room` means that the source is empty for now, or that `ended` is set. */
    int64_t (*read)(mb_transport *transport, char *at, size_t room);
    /* Writes from the front of `buffer` and drains what was taken. Returns bytes, MB_EAGAIN when
     * nothing could be written, MB_EIO. What is left in `buffer` waits for MB_IO_WRITE, and is at
     * the front of the buffer given then: a part of it may be on its way. */
    int64_t (*write)(mb_transport *transport, mb_buffer *buffer);
    /* Ends our side of the stream (FIN, close_notify). */
    void (*shut_write)(mb_transport *transport);
    void (*close)(mb_transport *transport, bool reset); /* reset: RST where there is one */
    void (*free)(mb_transport *transport);              /* closes it if need be */
    /* What the handshake agreed on, once it is over; valid until `free`. May be NULL. */
    const mb_tls_info *(*tls)(mb_transport *transport);
    /* Why the handshake or the connection failed, in one line for logs; empty: there is nothing to
     * say beyond errno. Valid until `free`. May be NULL. */
    mb_slice (*failure)(mb_transport *transport);
} mb_transport_vtable;

struct mb_transport {
    const mb_transport_vtable *vtable;
    /* The end has been seen behind the bytes that were read last, where no event may follow that
     * says so (close_notify): the next read gives it. */
    bool ended;
};

/* NULL: clear text, or the handshake is not over. */
static inline const mb_tls_info *mb_transport_tls(mb_transport *transport) {
    return transport->vtable->tls != NULL ? transport->vtable->tls(transport) : NULL;
}
static inline mb_slice mb_transport_failure(mb_transport *transport) {
    return transport->vtable->failure != NULL ? transport->vtable->failure(transport)
                                              : (mb_slice){"", 0};
}

/* How the transport of a socket is made where that is configured (TLS, PROXY protocol). */
typedef struct mb_transport_maker mb_transport_maker;
struct mb_transport_maker {
    /* Takes `fd`, a non-blocking socket. NULL: out of memory (fd is closed). */
    mb_transport *(*make)(const mb_transport_maker *maker, const mb_allocator *allocator, int fd);
};

/* Takes `fd`, a non-blocking socket. NULL: out of memory (fd is closed). */
mb_transport *mb_plain_transport_new(const mb_allocator *allocator, int fd);

/* Two ends in memory: what one writes the other reads; `capacity_bytes` a direction. MB_OK or
 * MB_ENOMEM. For tests: no descriptor, so the owner of a connection calls mb_conn_ready. */
int mb_memory_transport_pair(const mb_allocator *allocator, size_t capacity_bytes, mb_transport **a,
                             mb_transport **b);

#endif
