/*
 * What the codecs write, and what a whole exchange does to the connection: framing of responses and
 * requests, content-length held to, keep-alive, HEAD, HTTP/1.0, answers before the request's end.
 */
#include "support/h1_cases.h"

#include "base/alloc.h"
#include "http/message.h"
#include "mbtest.h"
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

static h1_record r;
static mb_headers head;
static mb_buffer data;

static int feed(const char *text) {
    return h1_record_feed(&r, (mb_slice){text, strlen(text)}, false);
}

static void open_server(const char *request) {
    MB_CHECK(h1_record_init(&r, mb_allocator_default(), true, NULL));
    r.by_hand = true;
    mb_buffer_init(&data, r.pool);
    MB_CHECK_EQ_INT(feed(request), MB_OK);
    MB_CHECK_EQ_INT(r.begun, 1);
}

static void open_client(const char *method) {
    MB_CHECK(h1_record_init(&r, mb_allocator_default(), false, NULL));
    r.by_hand = true;
    mb_buffer_init(&data, r.pool);
    r.method = (mb_slice){method, strlen(method)};
    r.stream.headers = &r.headers;
    r.stream.body = &r.body;
    mb_headers_init(&r.headers, &r.arena);
    MB_CHECK_EQ_INT(r.codec->vtable->begin(r.codec, &r.stream), MB_OK);
}

static void close_all(void) {
    mb_buffer_fini(&data);
    h1_record_fini(&r);
}

/* A head of status (or method) and the fields "name: value|name: value". */
static void make(const char *status, const char *fields) {
    mb_headers_init(&head, &r.arena);
    if (r.is_server) {
        head.pseudo[MB_PSEUDO_STATUS] = (mb_slice){status, strlen(status)};
    } else {
        head.pseudo[MB_PSEUDO_METHOD] = r.method;
        head.pseudo[MB_PSEUDO_PATH] = (mb_slice){status, strlen(status)};
        head.pseudo[MB_PSEUDO_AUTHORITY] = MB_SLICE_LIT("up:1");
    }
    while (*fields != '\0') {
        size_t name = strcspn(fields, ":"), end = strcspn(fields, "|");

        MB_CHECK_EQ_INT(mb_headers_add(&head, (mb_slice){fields, name},
                                       (mb_slice){fields + name + 2, end - name - 2}),
                        MB_OK);
        fields += end + (fields[end] == '|');
    }
}

static int send_head(const char *status, const char *fields, bool end) {
    make(status, fields);
    return r.codec->vtable->send_headers(r.codec, &r.stream, &head, end, &r.out);
}

static int send_body(const char *text, bool end) {
    MB_CHECK_EQ_INT(mb_buffer_append(&data, (mb_slice){text, strlen(text)}), MB_OK);
    return r.codec->vtable->send_body(r.codec, &r.stream, &data, end, &r.out);
}

static bool reusable(void) {
    return r.codec->vtable->reusable(r.codec);
}

/* One response: head, body pieces "a|b" (NULL: end with the head), what is written. */
typedef struct response {
    const char *name, *request, *status, *fields, *body, *written;
    bool reusable;
} response;

static const response responses[] = {
    {"head only", GET, "200", "a: 1", NULL, "HTTP/1.1 200 OK\r\na: 1\r\ncontent-length: 0\r\n\r\n",
     true},
    {"length", GET, "404", "content-length: 3", "ab|c",
     "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nabc", true},
    {"chunked", GET, "200", "", "ab|c",
     "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", true},
    {"chunked, empty end", GET, "200", "", "ab|",
     "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", true},
    {"chunked, nothing", GET, "200", "", "",
     "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", true},
    {"unknown status", GET, "599", "", NULL, "HTTP/1.1 599 Unknown\r\ncontent-length: 0\r\n\r\n",
     true},
    {"204", GET, "204", "content-length: 0", NULL, "HTTP/1.1 204 No Content\r\n\r\n", true},
    {"204 with a body", GET, "204", "", "abc", "HTTP/1.1 204 No Content\r\n\r\n", true},
    {"304 keeps its length", GET, "304", "content-length: 5", NULL,
     "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", true},
    {"HEAD keeps its length", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "200", "content-length: 5",
     NULL, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true},
    {"HEAD swallows a body", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "200", "content-length: 5",
     "hello", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true},
    {"hop-by-hop is not echoed", GET, "200",
     "connection: close|keep-alive: 1|transfer-encoding: gzip|upgrade: x|a: 1", NULL,
     "HTTP/1.1 200 OK\r\na: 1\r\ncontent-length: 0\r\n\r\n", true},
    {"client wants to close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200", "",
     NULL, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", false},
    {"HTTP/1.0", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", "200", "content-length: 1", "a",
     "HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na", false},
    {"HTTP/1.0 keep-alive", "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "200",
     "content-length: 1", "a",
     "HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\na", true},
    {"HTTP/1.0 keep-alive without a length",
     "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "200", "", "a|b",
     "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nab", false},
    {"before the request's end", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab", "403",
     "", NULL, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", false},
};

static void run_response(const response *given) {
    open_server(given->request);
    MB_CHECK_EQ_INT(send_head(given->status, given->fields, given->body == NULL), MB_OK);
    for (const char *at = given->body; at != NULL;) {
        size_t len = strcspn(at, "|");
        char piece[64];

        memcpy(piece, at, len);
        piece[len] = '\0';
        MB_CHECK_EQ_INT(send_body(piece, at[len] == '\0'), MB_OK);
        MB_CHECK_EQ_INT(data.length, 0);
        at = at[len] == '\0' ? NULL : at + len + 1;
    }
    MB_CHECK_EQ_SLICE(h1_record_written(&r), ((mb_slice){given->written, strlen(given->written)}));
    MB_CHECK_EQ_INT(reusable(), given->reusable);
    close_all();
}

MB_TEST(responses_are_framed_by_what_is_known) {
    for (size_t i = 0; i < COUNT(responses); i++) {
        run_response(&responses[i]);
    }
}

MB_TEST(the_rest_of_an_answered_request_is_never_a_request) {
    open_server("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
    MB_CHECK_EQ_INT(send_head("403", "", true), MB_OK);
    MB_CHECK_EQ_INT(feed(GET GET GET GET), MB_OK);
    MB_CHECK_EQ_INT(r.begun, 1);
    MB_CHECK_EQ_INT(r.in.length, 0);
    MB_CHECK(!reusable());
    close_all();
}

MB_TEST(a_body_that_does_not_fit_its_length_is_refused_before_a_byte) {
    mb_buffer *out = &r.out;
    size_t written;

    open_server(GET);
    MB_CHECK_EQ_INT(send_head("200", "content-length: 1", true), MB_EPROTO);
    MB_CHECK_EQ_INT(out->length, 0);
    MB_CHECK_EQ_INT(send_head("200", "content-length: 3", false), MB_OK);
    written = out->length;
    MB_CHECK_EQ_INT(send_body("abcd", false), MB_EPROTO);
    mb_buffer_clear(&data);
    MB_CHECK_EQ_INT(send_body("ab", true), MB_EPROTO);
    MB_CHECK_EQ_INT(r.codec->vtable->send_trailers(r.codec, &r.stream, &r.trailers, out),
                    MB_EPROTO);
    MB_CHECK_EQ_INT(out->length, written);
    mb_buffer_clear(&data);
    MB_CHECK_EQ_INT(send_body("ab", false), MB_OK);
    MB_CHECK_EQ_INT(send_body("c", true), MB_OK);
    MB_CHECK_EQ_INT(send_body("", true), MB_EPHASE);
    close_all();
}

MB_TEST(heads_that_would_break_the_framing_are_not_written) {
    static const char *const lengths[] = {"content-length: x", "content-length: -1",
                                          "content-length: 1|content-length: 1",
                                          "content-length: 9223372036854775808"};

    open_server(GET);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        MB_CHECK_EQ_INT(send_head("200", lengths[i], false), MB_EINVAL);
    }
    make("200", "a: 1");
    /* What no setter would take: the last line of defence. */
    head.fields[0].value = MB_SLICE_LIT("1\r\nb: 2");
    MB_CHECK_EQ_INT(r.codec->vtable->send_headers(r.codec, &r.stream, &head, true, &r.out),
                    MB_EINVAL);
    head.fields[0].value = MB_SLICE_LIT("1\r\n\r\n");
    MB_CHECK_EQ_INT(r.codec->vtable->send_headers(r.codec, &r.stream, &head, true, &r.out),
                    MB_EINVAL);
    head.fields[0].value = MB_SLICE_LIT("1\n");
    MB_CHECK_EQ_INT(r.codec->vtable->send_headers(r.codec, &r.stream, &head, true, &r.out),
                    MB_EINVAL);
    head.fields[0].value = MB_SLICE_LIT("\000");
    MB_CHECK_EQ_INT(r.codec->vtable->send_headers(r.codec, &r.stream, &head, true, &r.out),
                    MB_EINVAL);
    MB_CHECK_EQ_INT(send_head("abc", "", true), MB_EINVAL);
    MB_CHECK_EQ_INT(send_head("100", "", true), MB_EINVAL);
    MB_CHECK_EQ_INT(r.out.length, 0);
    MB_CHECK_EQ_INT(send_head("200", "", true), MB_OK);
    MB_CHECK_EQ_INT(send_head("200", "", true), MB_EPHASE);
    close_all();
}

MB_TEST(informational_responses_go_before_the_final_one) {
    open_server("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n");
    MB_CHECK(mb_http_expects_continue(&r.headers));
    make("100", "");
    MB_CHECK_EQ_INT(r.codec->vtable->send_informational(r.codec, &r.stream, &head, &r.out), MB_OK);
    make("101", "");
    MB_CHECK_EQ_INT(r.codec->vtable->send_informational(r.codec, &r.stream, &head, &r.out),
                    MB_EINVAL);
    MB_CHECK_EQ_INT(feed("a"), MB_OK);
    MB_CHECK_EQ_INT(send_head("200", "", true), MB_OK);
    make("100", "");
    MB_CHECK_EQ_INT(r.codec->vtable->send_informational(r.codec, &r.stream, &head, &r.out),
                    MB_EPHASE);
    MB_CHECK_EQ_LIT(h1_record_written(&r), "HTTP/1.1 100 Continue\r\n\r\n"
                                           "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    close_all();

    open_server("GET / HTTP/1.0\r\nHost: h\r\n\r\n");
    make("103", "");
    MB_CHECK_EQ_INT(r.codec->vtable->send_informational(r.codec, &r.stream, &head, &r.out), MB_OK);
    MB_CHECK_EQ_INT(r.out.length, 0);
    close_all();
}

MB_TEST(trailers_end_a_chunked_body) {
    open_server(GET);
    MB_CHECK_EQ_INT(send_head("200", "", false), MB_OK);
    mb_buffer_clear(&r.out);
    MB_CHECK_EQ_INT(send_body("a", false), MB_OK);
    make("200", "t: 1|content-length: 5|connection: x");
    MB_CHECK_EQ_INT(r.codec->vtable->send_trailers(r.codec, &r.stream, &head, &r.out), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_written(&r), "1\r\na\r\n0\r\nt: 1\r\n\r\n");
    MB_CHECK(reusable());
    close_all();
}

MB_TEST(shutting_down_closes_after_the_next_response) {
    open_server(GET);
    r.codec->vtable->shut_down(r.codec, &r.out);
    MB_CHECK_EQ_INT(send_head("200", "", true), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_written(&r),
                    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    MB_CHECK_EQ_INT(feed(GET), MB_OK);
    MB_CHECK_EQ_INT(r.begun, 1);
    close_all();
}

MB_TEST(pipelined_requests_wait_for_the_response) {
    open_server(GET);
    MB_CHECK_EQ_INT(feed(GET), MB_EAGAIN);
    MB_CHECK_EQ_INT(r.begun, 1);
    MB_CHECK_EQ_INT(send_head("200", "", false), MB_OK);
    MB_CHECK_EQ_INT(feed(""), MB_EAGAIN);
    MB_CHECK_EQ_INT(send_body("", true), MB_OK);
    MB_CHECK_EQ_INT(feed(""), MB_OK);
    MB_CHECK_EQ_INT(r.begun, 2);
    close_all();
}

MB_TEST(each_request_of_a_burst_begins_when_the_owner_calls_again) {
    MB_CHECK(h1_record_init(&r, mb_allocator_default(), true, NULL));
    r.answer_inside = true;
    MB_CHECK_EQ_INT(mb_buffer_append(&r.in, MB_SLICE_LIT(GET "\r\n" GET GET)), MB_OK);
    for (unsigned begun = 1; begun <= 3; begun++) {
        int last = begun < 3 ? MB_EAGAIN : MB_OK;
        MB_CHECK_EQ_INT(r.codec->vtable->receive(r.codec, &r.in), last);
        MB_CHECK_EQ_INT(r.begun, begun);
    }
    h1_record_fini(&r);
}

MB_TEST(a_refused_request_can_still_be_answered) {
    MB_CHECK(h1_record_init(&r, mb_allocator_default(), true, NULL));
    mb_buffer_init(&data, r.pool);
    MB_CHECK_EQ_INT(feed("GET / HTTP/1.1\r\nHost : h\r\n\r\n" GET), MB_EPROTO);
    MB_CHECK_EQ_INT(r.begun, 1);
    MB_CHECK_EQ_INT(send_head("400", "", true), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_written(&r),
                    "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    MB_CHECK(!reusable());
    MB_CHECK_EQ_INT(r.in.length, 0);
    close_all();
}

MB_TEST(an_owner_without_a_stream_stops_the_codec) {
    MB_CHECK(h1_record_init(&r, mb_allocator_default(), true, NULL));
    r.refuse_begin = true;
    MB_CHECK_EQ_INT(feed(GET GET), MB_OK);
    MB_CHECK_EQ_INT(r.length, 0);
    MB_CHECK(!reusable());
    h1_record_fini(&r);
}

MB_TEST(answers_may_be_given_inside_the_last_event) {
    MB_CHECK(h1_record_init(&r, mb_allocator_default(), true, NULL));
    r.answer_inside = true;
    MB_CHECK_EQ_INT(feed(GET "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na" GET),
                    MB_OK);
    MB_CHECK_EQ_INT(r.begun, 3);
    MB_CHECK_EQ_INT(r.ended, 3);
    h1_record_fini(&r);
}

MB_TEST(a_client_that_closes_its_half_still_gets_the_answer) {
    open_server(GET);
    h1_record_end(&r);
    MB_CHECK_EQ_INT(r.resets, 0);
    MB_CHECK_EQ_INT(send_head("200", "", true), MB_OK);
    MB_CHECK(r.out.length != 0);
    MB_CHECK(!reusable());
    close_all();

    open_server("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
    h1_record_end(&r);
    MB_CHECK_EQ_INT(r.resets, 1);
    MB_CHECK_EQ_INT(send_head("200", "", true), MB_EPHASE);
    close_all();
}

/* -- requests ------------------------------------------------------------------------------- */

typedef struct request {
    const char *method, *path, *fields, *body, *written;
} request;

static const request requests[] = {
    {"GET", "/a?b", "x: 1|te: trailers|te: gzip|connection: x", NULL,
     "GET /a?b HTTP/1.1\r\nhost: up:1\r\nx: 1\r\nte: trailers\r\n\r\n"},
    {"POST", "/", "", NULL, "POST / HTTP/1.1\r\nhost: up:1\r\ncontent-length: 0\r\n\r\n"},
    {"DELETE", "/", "", NULL, "DELETE / HTTP/1.1\r\nhost: up:1\r\n\r\n"},
    {"POST", "/", "content-length: 2", "ab",
     "POST / HTTP/1.1\r\nhost: up:1\r\ncontent-length: 2\r\n\r\nab"},
    {"POST", "/", "", "ab",
     "POST / HTTP/1.1\r\nhost: up:1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"},
    {"GET", "/", "", "",
     "GET / HTTP/1.1\r\nhost: up:1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"OPTIONS", "*", "", NULL, "OPTIONS * HTTP/1.1\r\nhost: up:1\r\ncontent-length: 0\r\n\r\n"},
};

MB_TEST(requests_are_framed_by_what_is_known) {
    for (size_t i = 0; i < COUNT(requests); i++) {
        const request *given = &requests[i];

        open_client(given->method);
        MB_CHECK_EQ_INT(send_head(given->path, given->fields, given->body == NULL), MB_OK);
        if (given->body != NULL) {
            MB_CHECK_EQ_INT(send_body(given->body, true), MB_OK);
        }
        MB_CHECK_EQ_SLICE(h1_record_written(&r),
                          ((mb_slice){given->written, strlen(given->written)}));
        close_all();
    }
}

MB_TEST(requests_that_would_break_the_framing_are_not_written) {
    static const char *const paths[] = {"", "/a b", "/a\r\nx: 1", "/\x7f", "/\xc3\xa4"};

    open_client("GET");
    for (size_t i = 0; i < COUNT(paths); i++) {
        MB_CHECK_EQ_INT(send_head(paths[i], "", true), MB_EINVAL);
    }
    r.method = MB_SLICE_LIT("G T");
    MB_CHECK_EQ_INT(send_head("/", "", true), MB_EINVAL);
    r.method = MB_SLICE_LIT("GET");
    make("/", "");
    head.pseudo[MB_PSEUDO_AUTHORITY] = MB_SLICE_LIT("a\r\nb: c");
    MB_CHECK_EQ_INT(r.codec->vtable->send_headers(r.codec, &r.stream, &head, true, &r.out),
                    MB_EINVAL);
    MB_CHECK_EQ_INT(r.out.length, 0);
    MB_CHECK_EQ_INT(send_head("/", "", true), MB_OK);
    close_all();
}

MB_TEST(an_early_response_does_not_end_the_request) {
    open_client("POST");
    MB_CHECK_EQ_INT(send_head("/", "", false), MB_OK);
    MB_CHECK_EQ_INT(feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), MB_OK);
    MB_CHECK_EQ_INT(r.ended, 1);
    MB_CHECK_EQ_INT(send_body("ab", false), MB_OK);
    MB_CHECK_EQ_INT(send_body("", true), MB_OK);
    MB_CHECK(reusable());
    close_all();
}
