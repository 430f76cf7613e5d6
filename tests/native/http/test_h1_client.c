/*
 * Responses: what is accepted from an upstream, what is refused, and when the connection may be
 * used again. RFC 9112 6.3, 9.3.
 */
#include "support/h1_cases.h"

#include "base/alloc.h"
#include "mbtest.h"
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define OK "HTTP/1.1 200 OK\r\n"
#define EMPTY OK "Content-Length: 0\r\n\r\n"

static const h1_case accepted[] = {
    H1_CASE("empty", EMPTY, "200|content-length=0 end\n"),
    H1_CASE("length", OK "Content-Length: 3\r\nServer: x\r\n\r\nabc",
            "200|content-length=3|server=x [abc] end\n"),
    H1_CASE("chunked", OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
            "200 [abc] end\n"),
    H1_CASE("trailers",
            OK "Transfer-Encoding: chunked\r\nTrailer: t\r\n\r\n1\r\na\r\n0\r\nT: 1\r\n"
               "\r\n",
            "200|trailer=t [a] trailers|t=1 end\n"),
    H1_CASE("no reason", "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
            "404|content-length=0 end\n"),
    H1_CASE("no reason, no space", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
            "404|content-length=0 end\n"),
    H1_CASE("any reason", "HTTP/1.1 599 \xc3\xa4 b\tc\r\nContent-Length: 0\r\n\r\n",
            "599|content-length=0 end\n"),
    H1_CASE("status 999", "HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n",
            "999|content-length=0 end\n"),
    H1_CASE("204", "HTTP/1.1 204 No Content\r\n\r\n", "204 end\n"),
    H1_CASE("204 with length 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            "204 end\n"),
    H1_CASE("304 with length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "304|content-length=5 end\n"),
    H1_CASE("until close", OK "\r\nabc", "200 [abc"),
    H1_CASE("HTTP/1.0 until close", "HTTP/1.0 200 OK\r\n\r\nabc", "200 [abc"),
    H1_CASE("103, 100, then 200",
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" EMPTY,
            "103|link=a informational\n100 informational\n200|content-length=0 end\n"),
    H1_CASE("host is no field of a response", OK "Host: h\r\nContent-Length: 0\r\n\r\n",
            "200|content-length=0 end\n"),
    H1_CASE("hop-by-hop",
            OK "Connection: keep-alive, x-a, host, content-length\r\nX-A: 1\r\n"
               "Keep-Alive: timeout=5\r\nUpgrade: h2\r\nContent-Length: 0\r\n\r\n",
            "200|content-length=0 end\n"),
};

#define STATUS "!malformed status line"
#define EXTRA "!bytes that belong to no response"

static const h1_case refused[] = {
    H1_CASE("empty line first", "\r\n" EMPTY, STATUS),
    H1_CASE("ICY", "ICY 200 OK\r\n\r\n", "!malformed HTTP version"),
    H1_CASE("HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", "!HTTP version is not 1.0 or 1.1"),
    H1_CASE("two digits", "HTTP/1.1 20 OK\r\n\r\n", STATUS),
    H1_CASE("four digits", "HTTP/1.1 2000 OK\r\n\r\n", STATUS),
    H1_CASE("status 099", "HTTP/1.1 099 x\r\n\r\n", STATUS),
    H1_CASE("two spaces", "HTTP/1.1  200 OK\r\n\r\n", STATUS),
    H1_CASE("tab behind the status", "HTTP/1.1 200\tOK\r\n\r\n", STATUS),
    H1_CASE("bare LF", "HTTP/1.1 200 OK\n\n", "!LF without CR in a head"),
    H1_CASE("two lengths", OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "!more than one Content-Length"),
    H1_CASE("length and chunked",
            OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "!both Content-Length and Transfer-Encoding"),
    H1_CASE("gzip coding", OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
            "!Transfer-Encoding is not just chunked"),
    H1_CASE("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "!Transfer-Encoding in HTTP/1.0 or in a response without body"),
    H1_CASE("204 with length", "HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\n",
            "!Content-Length in a response that can't have a body"),
    H1_CASE("204 chunked", "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "!Transfer-Encoding in HTTP/1.0 or in a response without body"),
    H1_CASE("100 with length", "HTTP/1.1 100 x\r\nContent-Length: 1\r\n\r\n",
            "!Content-Length in a response that can't have a body"),
    H1_CASE("101", "HTTP/1.1 101 x\r\nUpgrade: x\r\n\r\n", "!101 that nobody asked for"),
    H1_CASE("bad chunk", OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", "!malformed chunk size"),
    H1_CASE("obs-fold", OK "a: 1\r\n b\r\n\r\n", "!line begins with white space (obs-fold)"),
};

MB_TEST(valid_responses_are_read_the_same_however_they_come) {
    h1_cases_check(accepted, COUNT(accepted), false, NULL);
}

MB_TEST(invalid_responses_are_refused_however_they_come) {
    h1_cases_check(refused, COUNT(refused), false, NULL);
}

MB_TEST(any_allocation_may_fail) {
    for (size_t i = 0; i < COUNT(accepted); i++) {
        h1_case_check_memory(accepted[i].input, false);
    }
}

MB_TEST(closing_ends_only_what_is_framed_by_close) {
    static const h1_case cases[] = {
        H1_CASE("until close", OK "\r\nabc", "200 [abc] end\n"),
        H1_CASE("until close, empty", OK "\r\n", "200 end\n"),
        H1_CASE("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nabc", "200 [abc] end\n"),
        H1_CASE("nothing", "", " reset\n"),
        H1_CASE("cut head", "HTTP/1.1 200 O", " reset\n"),
        H1_CASE("cut length", OK "Content-Length: 3\r\n\r\nab",
                "200|content-length=3 [ab] reset\n"),
        H1_CASE("cut chunk", OK "Transfer-Encoding: chunked\r\n\r\n3\r\nab", "200 [ab] reset\n"),
        H1_CASE("cut before the last chunk", OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
                "200 [a] reset\n"),
        H1_CASE("cut in trailers", OK "Transfer-Encoding: chunked\r\n\r\n0\r\na: 1\r\n",
                "200 reset\n"),
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        h1_case_check(&cases[i], false, NULL, true);
    }
}

/* -- one connection, step by step ------------------------------------------------------------- */

static h1_record r;

static void open_client(void) {
    MB_CHECK(h1_record_init(&r, mb_allocator_default(), false, NULL));
    r.by_hand = true;
}

static int feed(const char *text) {
    return h1_record_feed(&r, (mb_slice){text, strlen(text)}, false);
}

static bool reusable(void) {
    return r.codec->vtable->reusable(r.codec);
}

MB_TEST(a_connection_is_reused_after_a_framed_response) {
    static const char *const responses[] = {
        EMPTY,
        OK "Content-Length: 1\r\n\r\na",
        "HTTP/1.1 204 x\r\n\r\n",
        "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nt: 1\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"};

    open_client();
    for (size_t i = 0; i < COUNT(responses); i++) {
        MB_CHECK_EQ_INT(h1_record_request(&r), MB_OK);
        MB_CHECK_EQ_INT(feed(responses[i]), MB_OK);
        MB_CHECK_EQ_INT(r.ended, i + 1);
        MB_CHECK(reusable());
    }
    h1_record_fini(&r);
}

MB_TEST(a_connection_is_not_reused_after_close_or_extra_bytes) {
    static const char *const responses[] = {OK "Connection: close\r\nContent-Length: 0\r\n\r\n",
                                            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
                                            EMPTY "x",
                                            EMPTY EMPTY,
                                            OK "Content-Length: 1\r\n\r\nab",
                                            "HTTP/1.1 304 x\r\nContent-Length: 1\r\n\r\na",
                                            OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n",
                                            OK
                                            "Transfer-Encoding: chunked\r\n\r\n0\r\na: 1\r\n\r\nx"};

    for (size_t i = 0; i < COUNT(responses); i++) {
        open_client();
        MB_CHECK_EQ_INT(h1_record_request(&r), MB_OK);
        feed(responses[i]);
        MB_CHECK_EQ_INT(r.ended, 1);
        MB_CHECK(!reusable());
        MB_CHECK_EQ_INT(h1_record_request(&r), MB_ECLOSED);
        MB_CHECK_EQ_INT(r.in.length, 0);
        h1_record_fini(&r);
    }
}

MB_TEST(bytes_on_an_idle_connection_are_an_error) {
    open_client();
    MB_CHECK_EQ_INT(feed(EMPTY), MB_EPROTO);
    MB_CHECK_EQ_LIT(h1_record_text(&r), " error 502 bytes that belong to no response\n");
    MB_CHECK(!reusable());
    h1_record_fini(&r);

    open_client();
    MB_CHECK_EQ_INT(h1_record_request(&r), MB_OK);
    MB_CHECK_EQ_INT(feed(EMPTY), MB_OK);
    MB_CHECK_EQ_INT(feed("HTTP"), MB_EPROTO);
    MB_CHECK(!reusable());
    h1_record_fini(&r);
}

MB_TEST(a_response_to_head_has_no_body) {
    static const char *const responses[] = {OK "Content-Length: 5\r\n\r\n",
                                            OK "Transfer-Encoding: chunked\r\n\r\n", OK "\r\n"};

    open_client();
    r.method = MB_SLICE_LIT("HEAD");
    for (size_t i = 0; i < COUNT(responses); i++) {
        MB_CHECK_EQ_INT(h1_record_request(&r), MB_OK);
        MB_CHECK_EQ_INT(feed(responses[i]), MB_OK);
        MB_CHECK_EQ_INT(r.ended, i + 1);
        MB_CHECK(reusable());
    }
    h1_record_fini(&r);
}

MB_TEST(informational_responses_are_bounded) {
    open_client();
    MB_CHECK_EQ_INT(h1_record_request(&r), MB_OK);
    for (int i = 0; i < 16; i++) {
        MB_CHECK_EQ_INT(feed("HTTP/1.1 100 Continue\r\na: 1\r\n\r\n"), MB_OK);
    }
    MB_CHECK_EQ_INT(r.informational, 16);
    MB_CHECK_EQ_INT(feed("HTTP/1.1 100 Continue\r\n\r\n"), MB_EPROTO);
    h1_record_fini(&r);
}

MB_TEST(a_second_stream_waits_and_a_shut_down_connection_takes_none) {
    mb_codec_stream other = {0};

    open_client();
    MB_CHECK_EQ_INT(h1_record_request(&r), MB_OK);
    MB_CHECK_EQ_INT(r.codec->vtable->begin(r.codec, &other), MB_EAGAIN);
    r.codec->vtable->shut_down(r.codec, &r.out);
    MB_CHECK_EQ_INT(feed(EMPTY), MB_OK);
    MB_CHECK_EQ_INT(r.codec->vtable->begin(r.codec, &other), MB_ECLOSED);
    h1_record_fini(&r);
}

MB_TEST(a_reset_stream_leaves_no_bytes_to_the_next) {
    open_client();
    MB_CHECK_EQ_INT(h1_record_request(&r), MB_OK);
    MB_CHECK_EQ_INT(feed(OK "Content-Length: 5\r\n\r\nab"), MB_OK);
    r.codec->vtable->reset(r.codec, &r.stream, MB_RESET_LOCAL, &r.out);
    MB_CHECK(!reusable());
    MB_CHECK_EQ_INT(feed("cde" EMPTY), MB_OK);
    MB_CHECK_EQ_INT(r.in.length, 0);
    MB_CHECK_EQ_INT(r.ended, 0);
    MB_CHECK_EQ_INT(h1_record_request(&r), MB_ECLOSED);
    h1_record_fini(&r);
}

MB_TEST(a_paused_response_waits) {
    open_client();
    MB_CHECK_EQ_INT(h1_record_request(&r), MB_OK);
    r.codec->vtable->pause(r.codec, &r.stream, true);
    MB_CHECK_EQ_INT(feed(OK "Content-Length: 1\r\n\r\na"), MB_EAGAIN);
    MB_CHECK_EQ_INT(r.length, 0);
    r.codec->vtable->pause(r.codec, &r.stream, false);
    MB_CHECK_EQ_INT(feed(""), MB_OK);
    MB_CHECK_EQ_LIT(h1_record_text(&r), "200|content-length=1 [a] end\n");
    h1_record_fini(&r);
}
