/*
 * Tunnels of HTTP/1.1: how a request asks for one, how it is accepted or declined, bytes and ends
 * both ways, on either side.
 */
#include "support/h1_cases.h"

#include "base/alloc.h"
#include "base/slice.h"
#include "http/message.h"
#include "mbtest.h"
#include <string.h>

#define UPGRADE "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
#define CONNECT "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n"
#define SWITCH                                                                                     \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

static h1_record r;
static mb_headers head;
static mb_buffer data;

static int feed(const char *text) {
    return h1_record_feed(&r, (mb_slice){text, strlen(text)}, false);
}

static int feed_by(const char *text, size_t step) {
    int rc = MB_OK;
    for (size_t at = 0, length = strlen(text); at < length; at += step) {
        size_t piece = length - at < step ? length - at : step;
        rc = h1_record_feed(&r, (mb_slice){text + at, piece}, step == 1);
    }
    return rc;
}

static void open_it(bool is_server) {
    MB_CHECK(h1_record_init(&r, mb_allocator_default(), is_server, NULL));
    r.by_hand = true;
    mb_buffer_init(&data, r.pool);
}

static void close_all(void) {
    mb_buffer_fini(&data);
    h1_record_fini(&r);
}

static int send_head(const char *status, bool end) {
    mb_headers_init(&head, &r.arena);
    head.pseudo[MB_PSEUDO_STATUS] = (mb_slice){status, strlen(status)};
    MB_CHECK_EQ_INT(mb_headers_add_token(&head, MB_TOKEN_UPGRADE, MB_SLICE_LIT("websocket")),
                    MB_OK);
    return r.codec->vtable->send_headers(r.codec, &r.stream, &head, end, &r.out);
}

static int send_body(const char *text, bool end) {
    MB_CHECK_EQ_INT(mb_buffer_append(&data, (mb_slice){text, strlen(text)}), MB_OK);
    return r.codec->vtable->send_body(r.codec, &r.stream, &data, end, &r.out);
}

static void pause(bool paused) {
    r.codec->vtable->pause(r.codec, &r.stream, paused);
}

/* A client with a request on its way: CONNECT, or GET with `upgrade`. */
static int open_client(const char *method, bool tunnel) {
    open_it(false);
    r.stream = (mb_codec_stream){.headers = &r.headers, .body = &r.body, .tunnel = tunnel};
    mb_headers_init(&r.headers, &r.arena);
    MB_CHECK_EQ_INT(r.codec->vtable->begin(r.codec, &r.stream), MB_OK);
    mb_headers_init(&head, &r.arena);
    head.pseudo[MB_PSEUDO_METHOD] = (mb_slice){method, strlen(method)};
    head.pseudo[MB_PSEUDO_PATH] = MB_SLICE_LIT("/chat");
    head.pseudo[MB_PSEUDO_AUTHORITY] = MB_SLICE_LIT("up:1");
    if (strcmp(method, "GET") == 0) {
        mb_headers_add_token(&head, MB_TOKEN_UPGRADE, MB_SLICE_LIT("websocket"));
    }
    return r.codec->vtable->send_headers(r.codec, &r.stream, &head, false, &r.out);
}

/* -- the server's side --------------------------------------------------------------------------
 */

MB_TEST(an_upgrade_is_a_request_that_does_not_end) {
    for (size_t step = 1; step <= 400; step += 399) {
        open_it(true);
        MB_CHECK_EQ_INT(feed_by(UPGRADE "\r\nearly", step), MB_OK);
        MB_CHECK(r.stream.upgrade_request && !r.stream.connect_request && !r.stream.remote_ended);
        MB_CHECK_EQ_LIT(h1_record_text(&r), "GET h /chat|upgrade=websocket [early");
        close_all();
    }
}

MB_TEST(connect_is_a_request_without_a_path_that_does_not_end) {
    open_it(true);
    MB_CHECK_EQ_INT(feed(CONNECT "Content-Length: 0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
                    MB_OK);
    MB_CHECK(r.stream.connect_request && !r.stream.upgrade_request && !r.stream.remote_ended);
    MB_CHECK_EQ_INT(r.headers.pseudo[MB_PSEUDO_PATH].len, 0);
    MB_CHECK_EQ_LIT(r.headers.pseudo[MB_PSEUDO_AUTHORITY], "h:443");
    MB_CHECK_EQ_INT(r.headers.count, 0); /* neither the length of 0 nor another protocol */
    close_all();
}

MB_TEST(what_is_no_request_for_a_tunnel_ends_with_its_head) {
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: AAMAAABk\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    };
    mb_codec_options options = {.accept_http_10 = true};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        MB_CHECK(h1_record_init(&r, mb_allocator_default(), true, &options));
        r.by_hand = true;
        MB_CHECK_EQ_INT(feed(requests[i]), MB_OK);
        MB_CHECK(!r.stream.upgrade_request);
        MB_CHECK_EQ_LIT(h1_record_text(&r), "GET h / end\n");
        h1_record_fini(&r);
    }
}

MB_TEST(an_upgrade_with_a_body_is_an_ordinary_request) {
    open_it(true);
    MB_CHECK_EQ_INT(feed(UPGRADE "Content-Length: 4\r\n\r\nbody"), MB_OK);
    MB_CHECK(!r.stream.upgrade_request);
    MB_CHECK_EQ_LIT(h1_record_text(&r), "GET h /chat|content-length=4 [body] end\n");
    MB_CHECK_EQ_INT(send_head("101", false), MB_EINVAL);
    close_all();
}

MB_TEST(early_bytes_wait_until_the_owner_has_accepted) {
    open_it(true);
    MB_CHECK_EQ_INT(feed(UPGRADE "\r\n"), MB_OK);
    pause(true);
    MB_CHECK_EQ_INT(feed("GET /smuggled HTTP/1.1\r\n\r\n"), MB_EAGAIN);
    MB_CHECK_EQ_INT(r.begun, 1);
    MB_CHECK_EQ_INT(send_head("101", false), MB_OK);
    pause(false);
    MB_CHECK_EQ_INT(feed("!"), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_text(&r),
                    "GET h /chat|upgrade=websocket [GET /smuggled HTTP/1.1\r\n\r\n!");
    MB_CHECK_EQ_LIT(h1_record_written(&r), "HTTP/1.1 101 Switching Protocols\r\n"
                                           "upgrade: websocket\r\nconnection: upgrade\r\n\r\n");
    close_all();
}

MB_TEST(a_declined_tunnel_is_the_connections_last_request) {
    static const char *const requests[] = {UPGRADE "\r\n", CONNECT "\r\n"};
    for (size_t i = 0; i < 2; i++) {
        open_it(true);
        MB_CHECK_EQ_INT(feed(requests[i]), MB_OK);
        pause(true);
        MB_CHECK_EQ_INT(feed("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"), MB_EAGAIN);
        MB_CHECK_EQ_INT(send_head("403", true), MB_OK);
        MB_CHECK_EQ_LIT(h1_record_written(&r),
                        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        MB_CHECK_EQ_INT(feed("more"), MB_OK); /* dropped */
        MB_CHECK_EQ_INT(r.begun, 1);
        MB_CHECK(!r.codec->vtable->reusable(r.codec));
        close_all();
    }
}

MB_TEST(a_success_of_another_kind_declines) {
    open_it(true);
    MB_CHECK_EQ_INT(feed(UPGRADE "\r\n"), MB_OK);
    MB_CHECK_EQ_INT(send_head("200", false), MB_OK);
    MB_CHECK_EQ_INT(send_body("no", true), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_written(&r), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"
                                           "connection: close\r\n\r\n2\r\nno\r\n0\r\n\r\n");
    close_all();
    open_it(true);
    MB_CHECK_EQ_INT(feed(CONNECT "\r\n"), MB_OK);
    MB_CHECK_EQ_INT(send_head("101", false), MB_EINVAL);
    MB_CHECK_EQ_INT(send_head("204", false), MB_OK);
    MB_CHECK_EQ_INT(send_body("raw", false), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_written(&r), "HTTP/1.1 204 No Content\r\n\r\nraw");
    close_all();
}

MB_TEST(each_direction_of_a_servers_tunnel_ends_by_itself) {
    open_it(true);
    MB_CHECK_EQ_INT(feed(UPGRADE "\r\n"), MB_OK);
    MB_CHECK_EQ_INT(send_head("101", false), MB_OK);
    MB_CHECK_EQ_INT(feed("ping"), MB_OK);
    h1_record_end(&r);
    MB_CHECK_EQ_LIT(h1_record_text(&r), "GET h /chat|upgrade=websocket [ping] end\n");
    MB_CHECK_EQ_INT(send_body("still", false), MB_OK);
    MB_CHECK_EQ_INT(send_body(" here", true), MB_OK);
    mb_slice written = h1_record_written(&r);
    MB_CHECK_EQ_LIT(mb_slice_skip(written, written.len - 10), "still here");
    MB_CHECK(!r.codec->vtable->reusable(r.codec));
    close_all();

    open_it(true);
    MB_CHECK_EQ_INT(feed(UPGRADE "\r\n"), MB_OK);
    MB_CHECK_EQ_INT(send_head("101", true), MB_OK); /* accepted, and nothing to say */
    MB_CHECK(r.stream.local_ended && r.stream.tunnel_open);
    MB_CHECK_EQ_INT(feed("late"), MB_OK);
    MB_CHECK_EQ_INT(send_body("more", false), MB_EPHASE);
    h1_record_end(&r);
    MB_CHECK_EQ_LIT(h1_record_text(&r), "GET h /chat|upgrade=websocket [late] end\n");
    MB_CHECK(!r.codec->vtable->reusable(r.codec));
    close_all();
}

/* -- the client's side --------------------------------------------------------------------------
 */

MB_TEST(a_client_asks_only_when_told_to) {
    MB_CHECK_EQ_INT(open_client("GET", true), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_written(&r), "GET /chat HTTP/1.1\r\nhost: up:1\r\n"
                                           "upgrade: websocket\r\nconnection: upgrade\r\n\r\n");
    close_all();
    MB_CHECK_EQ_INT(open_client("CONNECT", true), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_written(&r), "CONNECT up:1 HTTP/1.1\r\nhost: up:1\r\n\r\n");
    close_all();
    MB_CHECK_EQ_INT(open_client("GET", false), MB_OK); /* a field that a filter has put there */
    MB_CHECK_EQ_LIT(h1_record_written(&r), "GET /chat HTTP/1.1\r\nhost: up:1\r\n"
                                           "transfer-encoding: chunked\r\n\r\n");
    close_all();
    MB_CHECK_EQ_INT(open_client("CONNECT", false), MB_EINVAL);
    close_all();
    MB_CHECK_EQ_INT(open_client("POST", true), MB_OK); /* a filter took `upgrade` away */
    MB_CHECK_EQ_LIT(h1_record_written(&r), "POST /chat HTTP/1.1\r\nhost: up:1\r\n"
                                           "content-length: 0\r\n\r\n");
    close_all();
}

MB_TEST(a_client_passes_bytes_both_ways_once_accepted) {
    for (size_t step = 1; step <= 400; step += 399) {
        MB_CHECK_EQ_INT(open_client("GET", true), MB_OK);
        MB_CHECK_EQ_INT(feed_by("HTTP/1.1 103 x\r\n\r\n" SWITCH "first", step), MB_OK);
        MB_CHECK_EQ_INT(r.informational, 1);
        size_t before = h1_record_written(&r).len;
        MB_CHECK_EQ_INT(send_body("up", false), MB_OK);
        MB_CHECK_EQ_INT(send_body("!", true), MB_OK);
        MB_CHECK_EQ_LIT(mb_slice_skip(h1_record_written(&r), before), "up!");
        MB_CHECK_EQ_INT(feed_by(" last", step), MB_OK);
        h1_record_end(&r);
        MB_CHECK_EQ_LIT(h1_record_text(&r), "103 informational\n"
                                            "101|upgrade=websocket [first last] end\n");
        MB_CHECK(!r.codec->vtable->reusable(r.codec));
        close_all();
    }
}

MB_TEST(a_length_of_an_accepted_connect_means_nothing) {
    MB_CHECK_EQ_INT(open_client("CONNECT", true), MB_OK);
    MB_CHECK_EQ_INT(feed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcd"), MB_OK);
    h1_record_end(&r);
    MB_CHECK_EQ_LIT(h1_record_text(&r), "200 [abcd] end\n");
    close_all();
}

MB_TEST(what_declines_is_an_ordinary_response) {
    MB_CHECK_EQ_INT(open_client("GET", true), MB_OK);
    MB_CHECK_EQ_INT(feed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_text(&r), "200|content-length=2 [no] end\n");
    MB_CHECK(!r.codec->vtable->reusable(r.codec));
    close_all();
    MB_CHECK_EQ_INT(open_client("CONNECT", true), MB_OK);
    MB_CHECK_EQ_INT(feed("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_text(&r), "403|content-length=2 [no] end\n");
    close_all();
    MB_CHECK_EQ_INT(open_client("CONNECT", true), MB_OK); /* 101 is no answer to it */
    MB_CHECK_EQ_INT(feed(SWITCH), MB_EPROTO);
    close_all();
}
