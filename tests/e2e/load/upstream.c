/*
 * An upstream that counts: answers each request by its id and notes how often each id came.
 *
 *   upstream              prints its port; ends with its standard input
 *
 * The body of a request must be the bytes of its id (wire.h). /bytes/N is answered by N bytes of
 * the id; /chunked by the text below in two chunks, sent apart, with the trailer x-trailer; any
 * other target by the text `id body-bytes same|bad x-tag x-trailer`.
 *
 * Lines on standard input: `dump FILE` writes one byte for each id from 0 on, how often it was
 * begun (at most 255), and prints `requests aborted bad`; `reset` forgets all and prints `reset`.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, READ_MAX = 1 << 16, EVENTS = 256, IDS = 1 << 24 };

typedef struct conn {
    int fd;
    bool in_body, answering, bad, chunked;
    uint64_t id, got, pattern_left, pattern_at;
    char in[HEAD_MAX + 1];
    size_t in_bytes;
    wire_body body;
    char tag[128];
    char out[1024];
    size_t out_bytes, out_sent;
    size_t pause_at; /* of `out`: a write ends here, or 0 */
} conn;

static int epoll;
static uint8_t *seen;
static uint64_t requests, aborted, bad, highest;
static char shared[READ_MAX];

static void hang_up(conn *c) {
    aborted += c->in_body || c->answering || c->in_bytes != 0;
    close(c->fd);
    free(c);
}

static void on_body(void *context, const char *data, size_t size) {
    conn *c = context;
    c->bad = c->bad || !wire_same(c->id, c->got, data, size);
    c->got += size;
}

static void answer(conn *c) {
    char text[320];
    int length;
    c->in_body = false;
    c->answering = true;
    c->out_sent = c->pause_at = 0;
    bad += c->bad;
    const char *path = strchr(c->in, ' ');
    if (path != NULL && strncmp(path, " /bytes/", 8) == 0) {
        c->pattern_left = strtoull(path + 8, NULL, 10);
        c->pattern_at = 0;
        length = snprintf(c->out, sizeof(c->out), "HTTP/1.1 200 OK\r\ncontent-length: %llu\r\n\r\n",
                          (unsigned long long)c->pattern_left);
        c->out_bytes = (size_t)length;
        return;
    }
    length = snprintf(text, sizeof(text), "%llu %llu %s %s %s", (unsigned long long)c->id,
                      (unsigned long long)c->got, c->bad ? "bad" : "same", c->tag,
                      c->body.trailer[0] ? c->body.trailer : "-");
    if (path != NULL && strncmp(path, " /chunked ", 10) == 0) {
        int at =
            snprintf(c->out, sizeof(c->out),
                     "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n%c\r\n", text[0]);
        c->pause_at = (size_t)at;
        at += snprintf(c->out + at, sizeof(c->out) - (size_t)at,
                       "%x\r\n%s\r\n0\r\nx-trailer: %llu\r\n\r\n", (unsigned)(length - 1), text + 1,
                       (unsigned long long)c->id);
        c->out_bytes = (size_t)at;
        return;
    }
    c->out_bytes = (size_t)snprintf(
        c->out, sizeof(c->out), "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", length, text);
}

/* Returns false when the connection is gone. */
static bool on_writable(conn *c) {
    while (c->answering) {
        const char *data = c->out + c->out_sent;
        size_t run = c->out_bytes - c->out_sent;
        if (c->pause_at > c->out_sent) {
            run = c->pause_at - c->out_sent;
        } else if (run == 0) {
            data = wire_bytes(c->id, c->pattern_at, &run);
            run = c->pattern_left < run ? (size_t)c->pattern_left : run;
        }
        if (run == 0) {
            c->answering = false;
            c->in_bytes = 0;
            return true;
        }
        ssize_t sent = send(c->fd, data, run, MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        if (c->out_sent < c->out_bytes) {
            c->out_sent += (size_t)sent;
        } else {
            c->pattern_at += (uint64_t)sent;
            c->pattern_left -= (uint64_t)sent;
        }
    }
    return true;
}

static bool begin(conn *c, size_t head_bytes) {
    char number[24];
    c->in[head_bytes - 2] = '\0';
    requests++;
    if (!wire_field(c->in, "x-id", number, sizeof(number))) {
        return false;
    }
    c->id = strtoull(number, NULL, 10);
    if (c->id >= IDS) {
        return false;
    }
    seen[c->id] += seen[c->id] < 255;
    highest = c->id > highest ? c->id : highest;
    wire_field(c->in, "x-tag", c->tag, sizeof(c->tag));
    wire_body_begin(&c->body, c->in, false);
    c->in_body = true;
    c->bad = false;
    c->got = 0;
    return true;
}

static bool feed(conn *c, const char *data, size_t size) {
    if (!c->in_body) {
        size_t before = c->in_bytes;
        memcpy(c->in + before, data, size);
        c->in_bytes += size;
        c->in[c->in_bytes] = '\0';
        char *end = strstr(c->in, "\r\n\r\n");
        if (end == NULL) {
            return c->in_bytes < HEAD_MAX;
        }
        size_t head_bytes = (size_t)(end + 4 - c->in);
        if (!begin(c, head_bytes)) {
            return false;
        }
        data += head_bytes - before;
        size -= head_bytes - before;
    }
    long used = wire_body_feed(&c->body, data, size, on_body, c);
    if (used < 0 || (c->body.done && (size_t)used != size)) {
        return false; /* a proxy that sends a second request unasked */
    }
    if (c->body.done) {
        answer(c);
    }
    return true;
}

/* Returns false when the connection is gone. */
static bool on_readable(conn *c) {
    while (true) {
        size_t room = c->in_body ? sizeof(shared) : HEAD_MAX - c->in_bytes;
        ssize_t got = recv(c->fd, shared, room, 0);
        if (got < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        if (got == 0 || c->answering || !feed(c, shared, (size_t)got)) {
            return false;
        }
        if (c->answering && !on_writable(c)) {
            return false;
        }
    }
}

static void on_accept(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        conn *c = calloc(1, sizeof(*c));
        if (c == NULL) {
            close(fd);
            return;
        }
        c->fd = fd;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static void dump(const char *path) {
    FILE *file = fopen(path, "w");
    if (file == NULL || fwrite(seen, 1, highest + 1, file) != highest + 1 || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
    printf("%llu %llu %llu\n", (unsigned long long)requests, (unsigned long long)aborted,
           (unsigned long long)bad);
}

/* Lines are short and come one at a time: the caller waits for the answer. */
static void on_command(void) {
    char line[1024];
    ssize_t got = read(STDIN_FILENO, line, sizeof(line) - 1);
    if (got <= 0) {
        exit(0);
    }
    line[got] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "dump ", 5) == 0) {
        dump(line + 5);
    } else if (strcmp(line, "reset") == 0) {
        memset(seen, 0, highest + 1);
        requests = aborted = bad = highest = 0;
        puts("reset");
    }
    fflush(stdout);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    seen = calloc(IDS, 1);
    wire_init();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (seen == NULL || epoll < 0 || listener < 0 ||
        bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0) {
        perror("upstream");
        return 2;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    event.data.ptr = &epoll;
    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event events[EVENTS];
    while (true) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &listener) {
                on_accept(listener);
            } else if (events[i].data.ptr == &epoll) {
                on_command();
            } else {
                conn *c = events[i].data.ptr;
                if (!on_writable(c) || !on_readable(c)) {
                    hang_up(c);
                }
            }
        }
    }
}
