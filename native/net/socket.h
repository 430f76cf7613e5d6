/*
 * The system calls that make sockets, for connections and listeners. All descriptors are
 * non-blocking and close-on-exec; TCP ones send without delay.
 */
#ifndef MB_NET_SOCKET_H
#define MB_NET_SOCKET_H

#include "net/address.h"

/* A socket that is connected or on its way, bound to `local` unless that is NULL or empty.
 * Returns the descriptor, or minus an errno. */
int mb__socket_connect(const mb_address *remote, const mb_address *local);
/* When an option is set on a listening socket. Envoy's SocketOption.SocketState. */
typedef enum mb_socket_state {
    MB_SOCKET_PREBIND,
    MB_SOCKET_BOUND,
    MB_SOCKET_LISTENING
} mb_socket_state;

typedef struct mb_socket_option {
    int level, name, value;
    int family; /* AF_INET or AF_INET6: only for sockets of it; AF_UNSPEC: for all */
    mb_socket_state state;
} mb_socket_option;

/* Sets those of a state that fit the socket's family. 0 or an errno. */
int mb__socket_set_options(int fd, int family, mb_socket_state state,
                           const mb_socket_option *options, uint32_t count);
/* The same from an address that need not be of this machine; `mark` 0: none. A source of another
 * family than `remote` is left out. */
int mb__socket_connect_from(const mb_address *remote, const mb_address *source, uint32_t mark);
/* A socket that is bound but does not listen yet, with the options for before that. Returns the
 * descriptor, or minus an errno. A Unix socket file that nobody listens on any more is replaced. */
int mb__socket_bind(const mb_address *address, bool reuse_port, bool v6_only,
                    const mb_socket_option *options, uint32_t count);
/* Accepts one connection. Returns the descriptor, or minus an errno. */
int mb__socket_accept(int listener, mb_address *remote);
/* The error that is pending on a socket; 0 when none. */
int mb__socket_error(int fd);
/* Its own address; empty when the kernel does not say. */
void mb__socket_local(int fd, mb_address *out);

/* The destination of a connection before the kernel's REDIRECT or DNAT changed it (conntrack).
 * False: it was not changed, or the kernel does not know. */
bool mb_socket_original_destination(int fd, mb_address *out);

#endif
