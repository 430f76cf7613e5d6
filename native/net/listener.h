/*
 * Listener: listening sockets that accept up to a batch of connections a turn each, under one
 * bound.
 *
 * Out of descriptors or memory it stops accepting for 100 ms instead of spinning; at
 * `max_connections` it stops until one closes. SO_REUSEADDR and, where asked for, SO_REUSEPORT,
 * TCP_NODELAY on what it accepts, close-on-exec everywhere. A client of a dual-stack listener
 * that comes by IPv4 has an IPv4 address. The file of a Unix socket is removed when it stops
 * listening, unless somebody has put another one in its place.
 */
#ifndef MB_NET_LISTENER_H
#define MB_NET_LISTENER_H

#include "net/conn.h"
#include "net/socket.h"

typedef struct mb_listener mb_listener;

/* An address to listen on. */
typedef struct mb_listen_address {
    mb_address address;
    uint32_t mode; /* of a Unix socket's file; 0: as the umask says */
    bool v6_only;
} mb_listen_address;

typedef struct mb_listener_options {
    uint32_t backlog;         /* 0: the system's limit (net.core.somaxconn) */
    uint32_t max_connections; /* of all sockets together; 0: no limit */
    bool reuse_port;
    const mb_socket_option *socket_options; /* for each socket whose family they fit */
    uint32_t socket_option_count;
} mb_listener_options;

/* `fd` is a connected, non-blocking socket that the callee owns. It may stop or free the listener;
 * it calls mb_listener_release once for every `fd` when that is closed. */
typedef void (*mb_accept_fn)(void *owner, mb_listener *listener, int fd, const mb_address *remote);

/* Without a socket; `options->socket_options` must last until the last mb_listener_add. NULL: out
 * of memory. */
mb_listener *mb_listener_new(mb_net *net, const mb_listener_options *options,
                             mb_accept_fn on_accept, void *owner);
/* Binds and listens; port 0 takes a free one. Does not accept before mb_listener_start. 0, or the
 * errno of what failed. */
int mb_listener_add(mb_listener *listener, const mb_listen_address *address);
/* Of a socket, in the order in which they were added, with the real port. NULL: there is none. */
const mb_address *mb_listener_address(const mb_listener *listener, uint32_t index);
/* MB_OK, or MB_EIO or MB_ENOMEM when the poller refuses it. */
int mb_listener_start(mb_listener *listener);
/* A connection of this listener is gone: room for another. */
void mb_listener_release(mb_listener *listener);
/* A connection that another listener accepted is now one of this listener, whatever its bound. */
void mb_listener_adopt(mb_listener *listener);
/* Stops accepting and closes the sockets; what waits in their queues is accepted first, whatever
 * the limit, so `on_accept` is called within. Idempotent. */
void mb_listener_stop(mb_listener *listener);
/* Stops without accepting what waits; memory is released at the end of the turn, when all that it
 * accepted were released. NULL is fine. */
void mb_listener_free(mb_listener *listener);
uint32_t mb_listener_active(const mb_listener *listener); /* accepted, not released */
uint64_t mb_listener_accepted(const mb_listener *listener);
uint64_t mb_listener_overflowed(const mb_listener *listener); /* times a limit held it back */

#endif
