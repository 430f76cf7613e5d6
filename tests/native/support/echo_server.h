/*
 * A real server on loopback whose one filter answers each request with what it was shown: the
 * method, path and other pseudo-headers, the fields and the client's address, a line each. Tests
 * of server/ send bytes and look at bytes.
 */
#ifndef MBTEST_ECHO_SERVER_H
#define MBTEST_ECHO_SERVER_H

#include "mbtest.h"

#include <moebridge/core.h>

typedef struct echo_server {
    mbtest_clock clock;
    mb_server *server;
    const char *from; /* address of the client; NULL: 127.0.0.1 */
    uint64_t slow_us; /* between the first bytes of a request and the rest */
    uint16_t port;
    char heard[16384]; /* the last answer, whole */
    size_t heard_length;
} echo_server;

/* With pairs of edits of config_minimal (json_document.h), up to NULL. */
void echo_init(echo_server *self, ...) __attribute__((sentinel));
void echo_fini(echo_server *self);
/* Sends the bytes on a connection of its own and reads until the server closes. Adds
 * "Connection: close" by itself when `head` is only "METHOD TARGET\nfield: value\n...". */
void echo_ask(echo_server *self, const char *head);
/* "HTTP/1.1 200 OK" */
mb_slice echo_status(const echo_server *self);
/* The value of a line "name: value" of head or body, several joined with '|'; "(none)". */
mb_slice echo_value(const echo_server *self, const char *name);

#define CHECK_ECHO(self, name, want) MB_CHECK_EQ_LIT(echo_value((self), (name)), want)
#define CHECK_STATUS(self, want) MB_CHECK_EQ_LIT(echo_status(self), "HTTP/1.1 " want)

#endif
