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
/* A socket that is bound but does not listen yet. Returns the descriptor, or minus an errno. A
 * Unix socket file that nobody listens on any more is replaced. */
int mb__socket_bind(const mb_address *address, bool reuse_port, bool v6_only);
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
