/* Which HTTP a connection begins with: whole, byte by byte, and what is none. */
#include "net/http_inspect.h"

#include "base/slice.h"
#include "mbtest.h"

#include <stdlib.h>

static int whole(mb_slice bytes, mb_http_kind *kind) {
    mb_http_inspect inspect = {0};
    const char *guarded = mbtest_guard(bytes.ptr, bytes.len);
    int result = mb_http_inspect_next(&inspect, mb_slice_of(guarded, bytes.len), kind);
    mbtest_guard_free(guarded, bytes.len);
    return result;
}

/* As a peek shows them: each time all from the beginning on. */
static int in_pieces(mb_slice bytes, mb_http_kind *kind) {
    mb_http_inspect inspect = {0};
    int result = MB_EAGAIN;
    for (size_t len = 1; len <= bytes.len && result == MB_EAGAIN; len++) {
        result = mb_http_inspect_next(&inspect, mb_slice_take(bytes, len), kind);
    }
    return result;
}

static void check(mb_slice bytes, int want, const char *name) {
    mb_http_kind kind = MB_HTTP_KIND_10;
    MB_CHECK_EQ_INT(whole(bytes, &kind), want);
    if (want == MB_OK) {
        MB_CHECK_EQ_SLICE(mb_http_kind_name(kind), mb_slice_from_c(name));
    }
    MB_CHECK_EQ_INT(in_pieces(bytes, &kind), want);
    if (want == MB_OK) {
        MB_CHECK_EQ_SLICE(mb_http_kind_name(kind), mb_slice_from_c(name));
    }
}

MB_TEST(versions_are_told_apart) {
    check(MB_SLICE_LIT("GET / HTTP/1.1\r\n"), MB_OK, "http/1.1");
    check(MB_SLICE_LIT("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), MB_OK, "http/1.1");
    check(MB_SLICE_LIT("GET / HTTP/1.1\n"), MB_OK, "http/1.1");
    check(MB_SLICE_LIT("M-SEARCH * HTTP/1.1\r\n"), MB_OK, "http/1.1");
    check(MB_SLICE_LIT("PROPFIND /\xc3\xa4 HTTP/1.0\r\n"), MB_OK, "http/1.0");
    check(MB_SLICE_LIT("GET / HTTP/0.9\r\n"), MB_OK, "http/1.0");
    check(MB_SLICE_LIT("PRI / HTTP/1.1\r\n"), MB_OK, "http/1.1"); /* begins as the preface does */
    check(MB_SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), MB_OK, "h2c");
}

MB_TEST(what_is_not_finished_waits) {
    check(MB_SLICE_LIT("P"), MB_EAGAIN, "");
    check(MB_SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), MB_EAGAIN, "");
    check(MB_SLICE_LIT("GET / HTTP/1."), MB_EAGAIN, "");
    check(MB_SLICE_LIT("GET / HTTP/1.1"), MB_EAGAIN, "");
    check(MB_SLICE_LIT("GET / HTTP/1.1\r"), MB_EAGAIN, "");
    mb_http_kind kind;
    mb_http_inspect inspect = {0};
    MB_CHECK_EQ_INT(mb_http_inspect_next(&inspect, MB_SLICE_LIT(""), &kind), MB_EAGAIN);
}

MB_TEST(what_is_not_http_is_refused_at_its_first_wrong_byte) {
    check(MB_SLICE_LIT("\x16\x03\x01"), MB_EPROTO, "");
    check(MB_SLICE_LIT("\r\nGET / HTTP/1.1\r\n"), MB_EPROTO, "");
    check(MB_SLICE_LIT("*1\r\n"), MB_EPROTO, ""); /* Redis */
    check(MB_SLICE_LIT(" GET / HTTP/1.1\r\n"), MB_EPROTO, "");
    check(MB_SLICE_LIT("GET / SMTP"), MB_EPROTO, "");
    check(MB_SLICE_LIT("GET /a b HTTP/1.1\r\n"), MB_EPROTO, "");
    check(MB_SLICE_LIT("GET / HTTP/1.1 "), MB_EPROTO, "");
    check(MB_SLICE_LIT("GET / HTTP/11\r\n"), MB_EPROTO, "");
    check(MB_SLICE_LIT("GET /\x7f"), MB_EPROTO, "");
    check(MB_SLICE_LIT("\0"), MB_EPROTO, "");
    mb_http_kind kind;
    mb_http_inspect inspect = {0};
    MB_CHECK_EQ_INT(mb_http_inspect_next(&inspect, MB_SLICE_LIT("GET\tx"), &kind), MB_EPROTO);
    MB_CHECK_EQ_INT(inspect.seen, 4);
}

MB_TEST(a_request_line_without_end_is_given_up) {
    size_t len = MB_HTTP_INSPECT_MAX_BYTES;
    char *text = malloc(len);
    memset(text, 'a', len);
    memcpy(text, "GET /", 5);
    mb_http_kind kind;
    MB_CHECK_EQ_INT(whole(mb_slice_of(text, len - 1), &kind), MB_EAGAIN);
    MB_CHECK_EQ_INT(whole(mb_slice_of(text, len), &kind), MB_ELIMIT);
    MB_CHECK_EQ_INT(in_pieces(mb_slice_of(text, len), &kind), MB_ELIMIT);
    free(text);
}
