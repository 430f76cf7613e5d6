/*
 * Training of the compiler's profile (native/Makefile, "profile"): the core, built to count which
 * branches it takes, proxies requests of two kinds between clients and an upstream that live in
 * this one thread. What is counted goes into the optimised build (gcc's -fprofile-use).
 *
 * Everything is in lock step, and nothing depends on the machine's speed: all clients send, the
 * server turns until the upstream has all requests, the upstream answers, the server turns until
 * the clients have all answers. Exits 1 with a line when something else happens.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <moebridge/core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "document.h"

#define CLIENTS 32
#define ROUNDS 1500
#define TURNS_MAX 10000

static const char *const requests[] = {
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
    "GET /shop/item-4711/9e3779b1?ref=23 HTTP/1.1\r\nHost: shop.example\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.6\r\n"
    "Cache-Control: max-age=0\r\nCookie: session=8b1a9953c4611296a827abf8c47804d7; theme=dark; "
    "cart=eyJpdGVtcyI6W3sic2t1IjoiQTEyMyIsIm4iOjJ9XX0\r\nDNT: 1\r\n"
    "Referer: https://shop.example/catalogue/shoes?page=3&sort=price\r\n"
    "Sec-CH-UA-Mobile: ?0\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\nUpgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n\r\n",
    "POST /form HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
    "Content-Length: 12\r\n\r\nwhat=train\r\n",
    "POST /pieces HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5\r\nhello\r\n0\r\n\r\n",
};
static const char *const answers[] = {
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\n"
    "Content-Type: text/plain\r\nContent-Length: 32\r\nConnection: keep-alive\r\n\r\n"
    "0123456789abcdef0123456789abcdef",
    "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nETag: \"5f3-61\"\r\n"
    "Cache-Control: private, max-age=0\r\nVary: accept-encoding\r\n"
    "Set-Cookie: seen=1; Path=/; HttpOnly\r\nTransfer-Encoding: chunked\r\n\r\n"
    "20\r\n0123456789abcdef0123456789abcdef\r\n0\r\n\r\n",
};
#define KINDS (sizeof(requests) / sizeof(requests[0]))
/* What stands at the end of every request and answer, as it arrives. */
static const char *const request_ends[KINDS] = {"\r\n\r\n", "\r\n\r\n", "what=train\r\n",
                                                "0\r\n\r\n"};
static const char *const answer_ends[] = {"0123456789abcdef0123456789abcdef", "0\r\n\r\n"};

typedef struct end {
    int fd;
    size_t length;
    char text[4096];
} end;

static mb_server *server;
static end clients[CLIENTS], upstreams[CLIENTS];
static int upstream_count, upstream_listener;

static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "train: %s\n", what);
    exit(1);
}

static void server_turn(void) {
    if (mb_server_run(server, 0) < 0) {
        give_up("the loop failed");
    }
}

static int local_socket(struct sockaddr_in *address) {
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) {
        give_up("no socket");
    }
    return fd;
}

static void listen_upstream(void) {
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    upstream_listener = local_socket(&address);
    if (bind(upstream_listener, (struct sockaddr *)&address, length) != 0 ||
        listen(upstream_listener, CLIENTS) != 0 ||
        fcntl(upstream_listener, F_SETFL, O_NONBLOCK) != 0 ||
        getsockname(upstream_listener, (struct sockaddr *)&address, &length) != 0) {
        give_up("no port for the upstream");
    }
    memcpy(document + DOCUMENT_PORT_AT, &address.sin_port, 2);
}

static void start_server(void) {
    const mb_server_options options = {.struct_size = sizeof(options)};
    char *faults = NULL;
    if (mb_server_new(&options, &server) != MB_OK ||
        mb_server_apply(server, (const char *)document, sizeof(document), &faults) != MB_OK ||
        mb_server_start(server) != MB_OK) {
        give_up(faults != NULL ? faults : "no server");
    }
}

static void connect_clients(void) {
    const char *name, *where;
    struct sockaddr_in address;
    if (mb_server_listener(server, 0, &name, &where) != MB_OK) {
        give_up("no listener");
    }
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].fd = local_socket(&address);
        address.sin_port = htons((uint16_t)atoi(strrchr(where, ':') + 1));
        if (connect(clients[i].fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
            give_up("a client cannot connect");
        }
    }
}

static void send_text(int fd, const char *text) {
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text)) {
        give_up("a socket takes no more");
    }
}

/* Whether all has come that ends with `tail`; what came is forgotten then. */
static bool has_all(end *from, const char *tail) {
    ssize_t count =
        recv(from->fd, from->text + from->length, sizeof(from->text) - from->length, MSG_DONTWAIT);
    size_t wanted = strlen(tail);
    if (count == 0) {
        give_up("a connection was closed");
    }
    from->length += count > 0 ? (size_t)count : 0;
    bool all =
        from->length >= wanted && memcmp(from->text + from->length - wanted, tail, wanted) == 0;
    from->length = all ? 0 : from->length;
    return all;
}

/* Turns until each of `count` ends has its message. */
static void await(end *ends, int *count, const char *tail, int wanted) {
    bool done[CLIENTS] = {false};
    int have = 0;
    for (int turn = 0; have < wanted; turn++) {
        if (turn == TURNS_MAX) {
            give_up("a message does not come");
        }
        server_turn();
        if (count == &upstream_count && upstream_count < CLIENTS) {
            int fd = accept4(upstream_listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd >= 0) {
                upstreams[upstream_count++].fd = fd;
            }
        }
        for (int i = 0; i < *count; i++) {
            if (!done[i] && has_all(&ends[i], tail)) {
                done[i] = true;
                have++;
            }
        }
    }
}

int main(void) {
    int client_count = CLIENTS;
    listen_upstream();
    start_server();
    connect_clients();
    for (int round = 0; round < ROUNDS; round++) {
        size_t kind = (size_t)(round % 8 < 4 ? 0 : round % (int)KINDS);
        for (int i = 0; i < CLIENTS; i++) {
            send_text(clients[i].fd, requests[kind]);
        }
        await(upstreams, &upstream_count, request_ends[kind], CLIENTS);
        for (int i = 0; i < CLIENTS; i++) {
            send_text(upstreams[i].fd, answers[kind == 1]);
        }
        await(clients, &client_count, answer_ends[kind == 1], CLIENTS);
    }
    mb_server_free(server);
    return 0;
}
