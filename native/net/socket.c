/*
 * Making sockets. See socket.h; called by conn.c and listener.c.
 */
#define _GNU_SOURCE /* accept4 */
#include "net/socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void set_option(int fd, int level, int name, int value) {
    /* Those set with this only make things better: a kernel that refuses is fine. */
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static int close_with(int fd, int error) {
    close(fd);
    return -error;
}

static int stream_socket(const mb_address *address) {
    int family = address->sa.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (family != AF_UNIX) {
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    }
    return fd;
}

/* Takes `fd`. */
static int bind_and_connect(int fd, const mb_address *remote, const mb_address *local) {
    if (local != NULL && local->length > 0) {
        /* The port is chosen by connect, which may share it among different peers; one that is
         * given is shared like that too. */
        set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        set_option(fd, SOL_SOCKET, SO_REUSEADDR, mb_address_port(local) != 0);
        if (bind(fd, &local->sa, local->length) != 0) {
            return close_with(fd, errno);
        }
    }
    int result;
    do {
        result = connect(fd, &remote->sa, remote->length);
    } while (result != 0 && errno == EINTR);
    return result == 0 || errno == EINPROGRESS ? fd : close_with(fd, errno);
}

int mb__socket_connect(const mb_address *remote, const mb_address *local) {
    int fd = stream_socket(remote);
    return fd < 0 ? fd : bind_and_connect(fd, remote, local);
}

int mb__socket_connect_from(const mb_address *remote, const mb_address *source, uint32_t mark) {
    enum { TRANSPARENT_V6 = 75 }; /* IPV6_TRANSPARENT, which older headers do not have */
    int fd = stream_socket(remote), on = 1;
    if (fd < 0) {
        return fd;
    }
    if (mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0) {
        return close_with(fd, errno);
    }
    if (source->length == 0 || source->sa.sa_family != remote->sa.sa_family ||
        source->sa.sa_family == AF_UNIX) {
        return bind_and_connect(fd, remote, NULL);
    }
    bool v6 = source->sa.sa_family == AF_INET6;
    if (setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? TRANSPARENT_V6 : IP_TRANSPARENT, &on,
                   sizeof(on)) != 0) {
        return close_with(fd, errno);
    }
    return bind_and_connect(fd, remote, source);
}

/* True when the path is a socket that refuses: its process is gone. */
static bool unix_is_stale(const mb_address *address) {
    struct stat status;
    if (address->un.sun_path[0] == '\0' || stat(address->un.sun_path, &status) != 0 ||
        !S_ISSOCK(status.st_mode)) {
        return false;
    }
    int fd = mb__socket_connect(address, NULL);
    if (fd >= 0) {
        close(fd);
    }
    return fd == -ECONNREFUSED;
}

int mb__socket_set_options(int fd, int family, mb_socket_state state,
                           const mb_socket_option *options, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const mb_socket_option *option = &options[i];
        bool fits = option->family == AF_UNSPEC || option->family == family;
        if (fits && option->state == state &&
            setsockopt(fd, option->level, option->name, &option->value, sizeof(option->value)) !=
                0) {
            return errno;
        }
    }
    return 0;
}

int mb__socket_bind(const mb_address *address, bool reuse_port, bool v6_only,
                    const mb_socket_option *options, uint32_t count) {
    int fd = stream_socket(address);
    if (fd < 0) {
        return fd;
    }
    int family = address->sa.sa_family;
    if (family != AF_UNIX) {
        set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (reuse_port) {
            set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
        }
    }
    if (family == AF_INET6) {
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6_only);
    }
    int error = mb__socket_set_options(fd, family, MB_SOCKET_PREBIND, options, count);
    if (error != 0) {
        return close_with(fd, error);
    }
    if (bind(fd, &address->sa, address->length) == 0) {
        return fd;
    }
    error = errno;
    if (error == EADDRINUSE && family == AF_UNIX && unix_is_stale(address)) {
        unlink(address->un.sun_path);
        error = bind(fd, &address->sa, address->length) == 0 ? 0 : errno;
    }
    return error == 0 ? fd : close_with(fd, error);
}

/* ::ffff:1.2.3.4, as a listener on [::] sees it, is the client 1.2.3.4 (RFC 4291 2.5.5.2). */
static void unmap(mb_address *address) {
    if (address->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr)) {
        return;
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = address->in6.sin6_port};
    memcpy(&v4.sin_addr, &address->in6.sin6_addr.s6_addr[12], sizeof(v4.sin_addr));
    address->in = v4;
    address->length = sizeof(v4);
}

int mb__socket_accept(int listener, mb_address *remote) {
    remote->length = sizeof(*remote) - offsetof(mb_address, sa);
    int fd = accept4(listener, &remote->sa, &remote->length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    unmap(remote);
    return fd; /* TCP_NODELAY is inherited from the listening socket */
}

int mb__socket_error(int fd) {
    int error = 0;
    socklen_t length = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

void mb__socket_local(int fd, mb_address *out) {
    out->length = sizeof(*out) - offsetof(mb_address, sa);
    if (getsockname(fd, &out->sa, &out->length) != 0) {
        out->length = 0;
        return;
    }
    unmap(out);
}

bool mb_socket_original_destination(int fd, mb_address *out) {
    enum { ORIGINAL_DST = 80 }; /* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST of linux/netfilter */
    mb_address local, found;
    mb__socket_local(fd, &local);
    if (local.length == 0 || (local.sa.sa_family != AF_INET && local.sa.sa_family != AF_INET6)) {
        return false;
    }
    int level = local.sa.sa_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    found.length = sizeof(found) - offsetof(mb_address, sa);
    if (getsockopt(fd, level, ORIGINAL_DST, &found.sa, &found.length) != 0) {
        return false;
    }
    unmap(&found);
    if (mb_address_equal(&found, &local)) {
        return false;
    }
    *out = found;
    return true;
}
