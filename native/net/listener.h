/*
 * Listener: a listening socket that accepts up to a batch of connections a turn.
 *
 * Out of descriptors or memory it stops accepting for 100 ms instead of spinning; at
 * `max_connections` it stops until one closes. SO_REUSEADDR and, where asked for, SO_REUSEPORT,
 * TCP_NODELAY on what it accepts, close-on-exec everywhere. A client of a dual-stack listener
 * that comes by IPv4 has an IPv4 address.
 */
#ifndef MB_NET_LISTENER_H
#define MB_NET_LISTENER_H

#include "net/conn.h"

typedef struct mb_listener mb_listener;

typedef struct mb_listener_options {
    uint32_t backlog;         /* 0: the system's limit (net.core.somaxconn) */
    uint32_t max_connections; /* 0: no limit */
    bool reuse_port;
    bool v6_only;
} mb_listener_options;

/* `fd` is a connected, non-blocking socket that the callee owns. It may stop or free the listener;
 * it calls mb_listener_release once for every `fd` when that is closed. */
typedef void (*mb_accept_fn)(void *owner, mb_listener *listener, int fd, const mb_address *remote);

/* Binds and listens; port 0 takes a free one. On failure NULL, and `*error` is the errno. Does
 * not accept before mb_listener_start. */
mb_listener *mb_listener_new(mb_net *net, const mb_address *address,
                             const mb_listener_options *options, mb_accept_fn on_accept,
                             void *owner, int *error);
const mb_address *mb_listener_address(const mb_listener *listener); /* with the real port */
/* MB_OK, or MB_EIO or MB_ENOMEM when the poller refuses it. */
int mb_listener_start(mb_listener *listener);
/* A connection of this listener is gone: room for another. */
void mb_listener_release(mb_listener *listener);
/* Stops accepting and closes the socket; what waits in its queue is accepted first, whatever the
 * limit, so `on_accept` is called within. Idempotent. */
void mb_listener_stop(mb_listener *listener);
/* Stops without accepting what waits; memory is released at the end of the turn, when all that it
 * accepted were released. NULL is fine. */
void mb_listener_free(mb_listener *listener);
uint32_t mb_listener_active(const mb_listener *listener); /* accepted, not released */
uint64_t mb_listener_accepted(const mb_listener *listener);
uint64_t mb_listener_overflowed(const mb_listener *listener); /* times a limit held it back */

#endif
