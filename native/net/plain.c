/*
 * Plain transport: bytes of a stream socket, TCP or Unix.
 *
 * One system call a read, one a write for up to 64 pieces. A write that took less than it was
 * given has filled the socket: the edge that follows says when there is room, so no second call
 * asks for EAGAIN.
 */
#include "net/transport.h"

#include "base/alloc.h"
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define MB_PLAIN_IOVECS 64

typedef struct mb_plain {
    mb_transport transport; /* first: an mb_transport is cast to this */
    int fd;                 /* -1 once closed */
    const mb_allocator *allocator;
} mb_plain;

static int64_t result_of_errno(void) {
    return errno == EAGAIN ? MB_EAGAIN : MB_EIO;
}

static int64_t plain_read(mb_transport *transport, char *at, size_t room) {
    const mb_plain *self = (const mb_plain *)transport;
    ssize_t count;
    do {
        count = recv(self->fd, at, room, 0);
    } while (__builtin_expect(count < 0, 0) && errno == EINTR);
    return count >= 0 ? count : result_of_errno();
}

static ssize_t send_pieces(int fd, struct iovec *pieces, int count) {
    ssize_t sent;
    do {
        if (count == 1) {
            sent = send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL);
        } else {
            struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
            sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        }
    } while (__builtin_expect(sent < 0, 0) && errno == EINTR);
    return sent;
}

static int64_t plain_write(mb_transport *transport, mb_buffer *buffer) {
    const mb_plain *self = (const mb_plain *)transport;
    struct iovec pieces[MB_PLAIN_IOVECS];
    int64_t total = 0;
    while (buffer->length > 0) {
        int count = mb_buffer_iovecs(buffer, pieces, MB_PLAIN_IOVECS);
        size_t wanted = 0;
        for (int i = 0; i < count; i++) {
            wanted += pieces[i].iov_len;
        }
        ssize_t sent = send_pieces(self->fd, pieces, count);
        if (sent < 0) {
            int64_t result = result_of_errno();
            return result == MB_EAGAIN && total > 0 ? total : result;
        }
        mb_buffer_drain(buffer, (size_t)sent);
        total += sent;
        if ((size_t)sent < wanted) {
            break;
        }
    }
    return total;
}

static void plain_shut_write(mb_transport *transport) {
    shutdown(((mb_plain *)transport)->fd, SHUT_WR);
}

static void plain_close(mb_transport *transport, bool reset) {
    mb_plain *self = (mb_plain *)transport;
    if (self->fd < 0) {
        return;
    }
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(self->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    close(self->fd);
    self->fd = -1;
}

static void plain_free(mb_transport *transport) {
    mb_plain *self = (mb_plain *)transport;
    plain_close(transport, false);
    mb_free(self->allocator, self, sizeof(*self));
}

static const mb_transport_vtable plain_vtable = {
    .name = "raw_buffer",
    .raw = true,
    .read = plain_read,
    .write = plain_write,
    .shut_write = plain_shut_write,
    .close = plain_close,
    .free = plain_free,
};

mb_transport *mb_plain_transport_new(const mb_allocator *allocator, int fd) {
    mb_plain *self = mb_alloc(allocator, sizeof(*self));
    if (self == NULL) {
        close(fd);
        return NULL;
    }
    *self = (mb_plain){.transport.vtable = &plain_vtable, .fd = fd, .allocator = allocator};
    return &self->transport;
}
