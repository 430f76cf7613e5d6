/*
 * A relay that parses nothing: the least that a proxy in user space costs on this machine.
 *
 * relay LISTEN_PORT UPSTREAM_PORT, both on 127.0.0.1: each client gets a connection of its own to
 * the upstream, and bytes go both ways through one buffer of 256 KiB. One thread, epoll,
 * edge-triggered: an end is registered once. A direction whose sink is full keeps what is left of a
 * read and reads no more until the sink takes it. When one end closes, the other is told behind the
 * last byte; the pair goes when both have closed, or at the first error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024, BATCH = 256 };

struct pair;

/* One socket, and what is still to be written to it. */
struct end {
    int fd;
    bool ending; /* its end was announced: read up to it */
    bool closed; /* it will send no more, and the other end knows */
    struct pair *pair;
    struct end *other;
    char *left; /* owned; NULL: nothing is left */
    size_t left_from, left_size;
};

struct pair {
    struct end client, upstream;
    bool dead;         /* freed after the batch: its other event may stand behind this one */
    struct pair *next; /* in the list of the dead */
};

static char buffer[READ_BYTES];

/* Writes what it can. Returns 1 all of it, 0 the socket is full, -1 the socket is broken. */
static int write_out(struct end *to, const char *bytes, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t sent = send(to->fd, bytes + done, size - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return -1;
        }
        if (sent < 0) {
            break;
        }
        done += (size_t)sent;
    }
    if (to->left != NULL) {
        to->left_from += done;
    } else if (done < size) {
        to->left = malloc(size - done);
        if (to->left == NULL) {
            return -1;
        }
        memcpy(to->left, bytes + done, size - done);
        to->left_from = 0;
        to->left_size = size - done;
    }
    return done == size;
}

/* Moves bytes from one end to the other until either stops it. Returns < 0: the pair is broken. */
static int pump(struct end *from) {
    struct end *to = from->other;
    if (to->left != NULL) {
        int done = write_out(to, to->left + to->left_from, to->left_size - to->left_from);
        if (done <= 0) {
            return done;
        }
        free(to->left);
        to->left = NULL;
    }
    while (!from->closed) {
        ssize_t got = recv(from->fd, buffer, sizeof buffer, 0);
        if (got < 0) {
            return errno == EAGAIN ? 0 : -1;
        }
        if (got == 0) {
            from->closed = true;
            return shutdown(to->fd, SHUT_WR);
        }
        int done = write_out(to, buffer, (size_t)got);
        if (done <= 0) {
            return done;
        }
        if ((size_t)got < sizeof buffer && !from->ending) {
            return 0; /* it is empty; with more, or its end, comes another event */
        }
    }
    return 0;
}

static void watch(int epoll, struct end *end) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    int on = 1;
    event.data.ptr = end;
    setsockopt(end->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, end->fd, &event) != 0) {
        perror("relay: epoll_ctl");
        exit(1);
    }
}

static void open_pair(int epoll, int client, const struct sockaddr_in *upstream) {
    struct pair *pair = calloc(1, sizeof *pair);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (pair == NULL || fd < 0 ||
        (connect(fd, (const struct sockaddr *)upstream, sizeof *upstream) != 0 &&
         errno != EINPROGRESS)) {
        perror("relay: upstream");
        exit(1);
    }
    pair->client = (struct end){.fd = client, .pair = pair, .other = &pair->upstream};
    pair->upstream = (struct end){.fd = fd, .pair = pair, .other = &pair->client};
    watch(epoll, &pair->client);
    watch(epoll, &pair->upstream);
}

static void close_pair(struct pair *pair, struct pair **dead) {
    close(pair->client.fd);
    close(pair->upstream.fd);
    free(pair->client.left);
    free(pair->upstream.left);
    pair->dead = true;
    pair->next = *dead;
    *dead = pair;
}

static void on_event(struct end *end, uint32_t events, struct pair **dead) {
    struct pair *pair = end->pair;
    if (pair->dead) {
        return;
    }
    end->ending |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    bool broken = pump(end) < 0 || (end->left != NULL && pump(end->other) < 0);
    if (broken || (pair->client.closed && pair->upstream.closed)) {
        close_pair(pair, dead);
    }
}

static struct sockaddr_in loopback(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void accept_all(int epoll, int listener, const struct sockaddr_in *upstream) {
    int client;
    while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        open_pair(epoll, client, upstream);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: relay LISTEN_PORT UPSTREAM_PORT\n");
        return 2;
    }
    struct sockaddr_in listen_at = loopback(argv[1]), upstream = loopback(argv[2]);
    int on = 1, epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN}; /* data.ptr NULL: the listener */
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&listen_at, sizeof listen_at) != 0 ||
        listen(listener, 4096) != 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) {
        perror("relay: listen");
        return 1;
    }
    for (;;) {
        struct epoll_event events[BATCH];
        struct pair *dead = NULL;
        int count = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                accept_all(epoll, listener, &upstream);
            } else {
                on_event(events[i].data.ptr, events[i].events, &dead);
            }
        }
        while (dead != NULL) {
            struct pair *next = dead->next;
            free(dead);
            dead = next;
        }
    }
}
