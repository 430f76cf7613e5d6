/*
 * Listener: a listening socket that accepts up to a batch of connections a turn.
 *
 * On EMFILE/ENFILE it stops accepting for a short while instead of spinning; at `max_connections`
 * it stops until one closes. SO_REUSEADDR and (by default) SO_REUSEPORT, TCP_NODELAY on what it
 * accepts, close-on-exec everywhere.
 */
#ifndef MB_NET_LISTENER_H
#define MB_NET_LISTENER_H

#include "net/conn.h"

typedef struct mb_listener mb_listener;

typedef struct mb_listener_options {
    uint32_t backlog;         /* 0: the system's limit */
    uint32_t max_connections; /* 0: no limit */
    bool reuse_port;
    bool v6_only;
} mb_listener_options;

/* `fd` is a connected, non-blocking socket that the callee owns. */
typedef void (*mb_accept_fn)(void *owner, mb_listener *listener, int fd, const mb_address *remote);

/* Binds and listens; port 0 takes a free one. On failure NULL, and `*error` is the errno. Does
 * not accept before mb_listener_start. */
mb_listener *mb_listener_new(mb_net *net, const mb_address *address,
                             const mb_listener_options *options, mb_accept_fn on_accept,
                             void *owner, int *error);
const mb_address *mb_listener_address(const mb_listener *listener); /* with the real port */
int mb_listener_start(mb_listener *listener);
/* A connection of this listener is gone: room for another. */
void mb_listener_release(mb_listener *listener);
/* Stops accepting and closes the socket; what waits in its queue is accepted first. */
void mb_listener_stop(mb_listener *listener);
void mb_listener_free(mb_listener *listener);
uint64_t mb_listener_accepted(const mb_listener *listener);
uint64_t mb_listener_overflowed(const mb_listener *listener); /* times a limit held it back */

#endif
