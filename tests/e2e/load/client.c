/*
 * A client that counts: `requests` requests with ids of their own over `connections` connections,
 * one at a time on each, and one line for each id with what became of it. It judges nothing but
 * the wire; what an answer should have been is the caller's to say.
 *
 *   client HOST:PORT RESULTS [connections=N] [requests=N] [first_id=N] [fresh=1] [body=BYTES]
 *          [chunked=1] [target=PATH] [tag=TEXT] [limit_s=N]
 *
 * A request has the fields x-id and x-tag; a body of BYTES is that of the id (wire.h), with a
 * content-length or in two chunks with the trailer x-trailer. `fresh`: a connection for each.
 * The target /bytes/N is answered by the id's bytes, any other by text.
 *
 * SIGTERM: no further requests; those that have begun end, the rest are not in the results.
 *
 * A line: id, status, outcome, x-load of the response, its trailer, its body; with tabs between.
 * Outcomes: ok (a whole response), truncated (the connection ended inside one), unanswered (before
 * one), unconnected, malformed, late (limit_s is over).
 */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, READ_MAX = 1 << 16, TEXT_MAX = 120, EVENTS = 256 };

typedef struct conn {
    int fd; /* -1: none */
    bool active, connected, send_failed, in_body, pattern_bad;
    uint64_t id;
    char out[1024]; /* the request's head */
    size_t out_bytes, out_sent;
    uint64_t body_sent;
    char end[192]; /* what follows the body */
    size_t end_bytes, end_sent;
    char in[HEAD_MAX + 1]; /* the response's head */
    size_t in_bytes;
    int status;
    bool close;
    char load[TEXT_MAX];
    wire_body body;
    uint64_t body_got;
    char text[TEXT_MAX];
} conn;

static struct sockaddr_in address;
static const char *target = "/echo", *tag = "-";
static uint64_t requests = 1, first_id = 1, body_bytes, begun, ended;
static uint64_t expected_bytes; /* of /bytes/N, or 0 */
static bool fresh, chunked;
static int epoll;
static FILE *results;
static char shared[READ_MAX];
static volatile sig_atomic_t stopped;

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

static void report(conn *c, const char *outcome) {
    if (expected_bytes && c->status == 200) {
        snprintf(c->text, sizeof(c->text), "%s %llu", c->pattern_bad ? "bad" : "same",
                 (unsigned long long)c->body_got);
    }
    for (char *at = c->text; *at != '\0'; at++) {
        *at = *at == '\t' || *at == '\n' ? ' ' : *at;
    }
    fprintf(results, "%llu\t%d\t%s\t%s\t%s\t%s\n", (unsigned long long)c->id, c->status, outcome,
            c->load, c->body.trailer, c->text);
    c->active = false;
    ended++;
}

static void hang_up(conn *c) {
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
}

static void dial(conn *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        perror("socket");
        exit(2);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->connected = false;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) < 0) {
        perror("epoll_ctl");
        exit(2);
    }
    if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        c->connected = true;
    } else if (errno != EINPROGRESS) {
        hang_up(c);
    }
}

/* The next request on this connection, if there is one. Returns false when all have begun. */
static bool begin(conn *c) {
    int fd = c->fd;
    bool connected = c->connected;
    if (begun == requests) {
        hang_up(c);
        return false;
    }
    memset(c, 0, offsetof(conn, in));
    c->in_bytes = 0;
    c->status = 0;
    c->load[0] = c->text[0] = c->body.trailer[0] = '\0';
    c->body_got = 0;
    c->fd = fd;
    c->connected = connected;
    c->active = true;
    c->id = first_id + begun++;
    char framing[64] = "";
    if (chunked) {
        snprintf(framing, sizeof(framing), "transfer-encoding: chunked\r\n");
    } else if (body_bytes) {
        snprintf(framing, sizeof(framing), "content-length: %llu\r\n",
                 (unsigned long long)body_bytes);
    }
    c->out_bytes = (size_t)snprintf(
        c->out, sizeof(c->out),
        "%s %s HTTP/1.1\r\nhost: load.test\r\nx-id: %llu\r\nx-tag: %s\r\n%s\r\n",
        chunked || body_bytes ? "POST" : "GET", target, (unsigned long long)c->id, tag, framing);
    if (chunked) {
        if (body_bytes) {
            c->out_bytes += (size_t)snprintf(c->out + c->out_bytes, sizeof(c->out) - c->out_bytes,
                                             "%llx\r\n", (unsigned long long)body_bytes);
        }
        c->end_bytes = (size_t)snprintf(c->end, sizeof(c->end), "%s0\r\nx-trailer: %llu\r\n\r\n",
                                        body_bytes ? "\r\n" : "", (unsigned long long)c->id);
    }
    if (c->fd < 0) {
        dial(c);
    }
    return true;
}

/* Sends a run of bytes. Returns how many went, 0 when there is no room or sending has failed. */
static size_t push(conn *c, const char *data, size_t size) {
    ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
    if (sent >= 0) {
        return (size_t)sent;
    }
    c->send_failed = c->send_failed || (errno != EAGAIN && errno != EINTR);
    return 0;
}

static bool all_sent(const conn *c) {
    return c->out_sent == c->out_bytes && c->body_sent == body_bytes && c->end_sent == c->end_bytes;
}

static void on_writable(conn *c) {
    while (!c->send_failed && !all_sent(c)) {
        size_t sent, run;
        if (c->out_sent < c->out_bytes) {
            c->out_sent += sent = push(c, c->out + c->out_sent, c->out_bytes - c->out_sent);
        } else if (c->body_sent < body_bytes) {
            const char *data = wire_bytes(c->id, c->body_sent, &run);
            uint64_t left = body_bytes - c->body_sent;
            c->body_sent += sent = push(c, data, left < run ? (size_t)left : run);
        } else {
            c->end_sent += sent = push(c, c->end + c->end_sent, c->end_bytes - c->end_sent);
        }
        if (sent == 0) {
            return;
        }
    }
}

static void on_body(void *context, const char *data, size_t size) {
    conn *c = context;
    if (expected_bytes) {
        c->pattern_bad = c->pattern_bad || !wire_same(c->id, c->body_got, data, size);
    } else if (c->body_got < sizeof(c->text) - 1) {
        size_t room = sizeof(c->text) - 1 - (size_t)c->body_got;
        size_t run = size < room ? size : room;
        memcpy(c->text + c->body_got, data, run);
        c->text[c->body_got + run] = '\0';
    }
    c->body_got += size;
}

/* Takes bytes of the response. Returns 1 when it is whole, 0 when not yet, -1 malformed. */
static int feed(conn *c, const char *data, size_t size) {
    if (!c->in_body) {
        size_t run = HEAD_MAX - c->in_bytes < size ? HEAD_MAX - c->in_bytes : size;
        memcpy(c->in + c->in_bytes, data, run);
        c->in_bytes += run;
        c->in[c->in_bytes] = '\0';
        char *end = strstr(c->in, "\r\n\r\n");
        if (end == NULL) {
            return c->in_bytes == HEAD_MAX ? -1 : 0;
        }
        size_t used = run - (size_t)(c->in + c->in_bytes - (end + 4)); /* of `data` */
        end[2] = '\0';
        if (sscanf(c->in, "HTTP/1.1 %d ", &c->status) != 1 || c->status < 200) {
            return -1;
        }
        char value[32];
        wire_field(c->in, "connection", value, sizeof(value));
        c->close = strcasecmp(value, "close") == 0;
        wire_field(c->in, "x-load", c->load, sizeof(c->load));
        wire_body_begin(&c->body, c->in, true);
        c->in_body = true;
        data += used;
        size -= used;
    }
    long used = wire_body_feed(&c->body, data, size, on_body, c);
    if (used < 0 || (c->body.done && (size_t)used != size)) {
        return -1; /* also bytes behind the response: nothing else was asked for */
    }
    return c->body.done;
}

static void finish(conn *c, const char *outcome, bool keep) {
    report(c, outcome);
    if (!keep || fresh || c->close || !all_sent(c)) {
        hang_up(c);
    }
    begin(c);
    if (c->active && c->fd >= 0 && c->connected) {
        on_writable(c);
    }
}

static void on_end(conn *c) {
    if (!c->active) {
        hang_up(c);
    } else if (!c->connected) {
        finish(c, "unconnected", false);
    } else if (c->in_body && c->body.at == WIRE_CLOSE && errno == 0) {
        finish(c, "ok", false);
    } else {
        finish(c, c->in_bytes ? "truncated" : "unanswered", false);
    }
}

static void on_readable(conn *c) {
    while (c->active && c->fd >= 0) {
        errno = 0;
        ssize_t got = recv(c->fd, shared, sizeof(shared), 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (got <= 0) {
            on_end(c);
            return;
        }
        int whole = feed(c, shared, (size_t)got);
        if (whole) {
            finish(c, whole > 0 ? "ok" : "malformed", whole > 0);
            return; /* a new request: its answer brings a new event */
        }
    }
}

static void on_event(conn *c, uint32_t events) {
    if (c->fd < 0) {
        return;
    }
    if (!c->connected) {
        int error = 0;
        socklen_t size = sizeof(error);
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            on_end(c);
            return;
        }
        c->connected = (events & EPOLLOUT) != 0;
    }
    if (c->connected) {
        on_writable(c);
        on_readable(c);
    }
}

static bool option(const char *text, const char *name, const char **value) {
    size_t length = strlen(name);
    *value = text + length + 1;
    return strncmp(text, name, length) == 0 && text[length] == '=';
}

static time_t now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

int main(int argc, char **argv) {
    uint64_t connections = 1, limit_s = 60;
    char host[64];
    int port;
    if (argc < 3 || sscanf(argv[1], "%63[^:]:%d", host, &port) != 2) {
        fprintf(stderr, "client HOST:PORT RESULTS [name=value ...]\n");
        return 2;
    }
    for (int i = 3; i < argc; i++) {
        const char *value;
        if (option(argv[i], "target", &value)) {
            target = value;
        } else if (option(argv[i], "tag", &value)) {
            tag = value;
        } else if (option(argv[i], "connections", &value)) {
            connections = strtoull(value, NULL, 10);
        } else if (option(argv[i], "requests", &value)) {
            requests = strtoull(value, NULL, 10);
        } else if (option(argv[i], "first_id", &value)) {
            first_id = strtoull(value, NULL, 10);
        } else if (option(argv[i], "body", &value)) {
            body_bytes = strtoull(value, NULL, 10);
        } else if (option(argv[i], "limit_s", &value)) {
            limit_s = strtoull(value, NULL, 10);
        } else if (option(argv[i], "fresh", &value)) {
            fresh = *value == '1';
        } else if (option(argv[i], "chunked", &value)) {
            chunked = *value == '1';
        } else {
            fprintf(stderr, "client: what is %s?\n", argv[i]);
            return 2;
        }
    }
    if (strncmp(target, "/bytes/", 7) == 0) {
        expected_bytes = strtoull(target + 7, NULL, 10);
    }
    wire_init();
    signal(SIGTERM, on_signal);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, host, &address.sin_addr);
    results = fopen(argv[2], "w");
    epoll = epoll_create1(EPOLL_CLOEXEC);
    connections = connections < requests ? connections : requests;
    conn *all = calloc(connections, sizeof(conn));
    if (results == NULL || epoll < 0 || all == NULL) {
        perror("client");
        return 2;
    }
    for (uint64_t i = 0; i < connections; i++) {
        all[i].fd = -1;
        begin(&all[i]);
    }
    time_t late = now_s() + (time_t)limit_s;
    struct epoll_event events[EVENTS];
    while (ended < requests && now_s() < late) {
        int count = epoll_wait(epoll, events, EVENTS, 200);
        requests = stopped ? begun : requests;
        for (int i = 0; i < count; i++) {
            on_event(events[i].data.ptr, events[i].events);
        }
        for (uint64_t i = 0; count == 0 && i < connections; i++) {
            if (all[i].active && all[i].fd < 0) {
                finish(&all[i], "unconnected", false);
            }
        }
    }
    for (uint64_t i = 0; i < connections; i++) {
        if (all[i].active) {
            report(&all[i], "late");
        }
    }
    for (; begun < requests; begun++) {
        fprintf(results, "%llu\t0\tlate\t\t\t\n", (unsigned long long)(first_id + begun));
    }
    return fclose(results) == 0 ? 0 : 2;
}
