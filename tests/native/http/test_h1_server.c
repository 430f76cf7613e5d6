/*
 * Requests: what is accepted and as what, what is refused and why. RFC 9112. As many valid streams
 * as invalid ones; each runs whole, byte by byte, cut everywhere and at a guard page.
 */
#include "support/h1_cases.h"

#include "base/alloc.h"
#include "http/h1_codec.h"
#include "mbtest.h"
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define HOST "Host: h\r\n"
#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"

static const h1_case accepted[] = {
    H1_CASE("plain", GET HOST "\r\n", "GET h / end\n"),
    H1_CASE("wrk", "GET /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
            "GET 127.0.0.1:8080 /x?y=1 end\n"),
    H1_CASE("names in any case", "GET / HTTP/1.1\r\nHOST: h\r\nX-A: 1\r\nACCEPT: */*\r\n\r\n",
            "GET h /|x-a=1|accept=*/* end\n"),
    H1_CASE("white space around values", GET "Host:h\r\nA:  1 \t\r\nB:\r\nC: a  b\r\n\r\n",
            "GET h /|a=1|b=|c=a  b end\n"),
    H1_CASE("obs-text in a value", GET HOST "a: \xc3\xa4\xff\r\n\r\n",
            "GET h /|a=\xc3\xa4\xff end\n"),
    H1_CASE("repeated fields keep their order", GET HOST "a: 1\r\nb: 2\r\nA: 3\r\n\r\n",
            "GET h /|a=1|b=2|a=3 end\n"),
    H1_CASE("all token characters",
            "M!#$%&'*+-.^_`|~9 / HTTP/1.1\r\nHost: h\r\n!#$%&'*+-.^_`|~9z"
            ": 1\r\n\r\n",
            "M!#$%&'*+-.^_`|~9 h /|!#$%&'*+-.^_`|~9z=1 end\n"),
    H1_CASE("odd characters in a path", "GET /a|b\"<>\\^`{}?[] HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET h /a|b\"<>\\^`{}?[] end\n"),
    H1_CASE("lower-case method is another method", "get / HTTP/1.1\r\nHost: h\r\n\r\n",
            "get h / end\n"),
    H1_CASE("one empty line before", "\r\n" GET HOST "\r\n", "GET h / end\n"),
    H1_CASE("two empty lines before", "\r\n\r\n" GET HOST "\r\n", "GET h / end\n"),
    H1_CASE("absolute-form", "GET http://a:81/p?q HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET a:81 /p?q http end\n"),
    H1_CASE("absolute-form without a path", "GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a / http end\n"),
    H1_CASE("absolute-form with only a query", "GET https://a?q=/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a /?q=/ https end\n"),
    H1_CASE("OPTIONS of a server in absolute-form", "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS a * http end\n"),
    H1_CASE("asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS a * end\n"),
    H1_CASE("IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET [::1]:8080 / end\n"),
    H1_CASE("empty port", "GET / HTTP/1.1\r\nHost: h:\r\n\r\n", "GET h: / end\n"),
    H1_CASE("sub-delims in a host", "GET / HTTP/1.1\r\nHost: a_b-c.~!$&'()*+,;=%20\r\n\r\n",
            "GET a_b-c.~!$&'()*+,;=%20 / end\n"),
    H1_CASE("content-length", POST "Content-Length: 5\r\n\r\nhello",
            "POST h /|content-length=5 [hello] end\n"),
    H1_CASE("content-length of nothing", POST "Content-Length: 0\r\n\r\n",
            "POST h /|content-length=0 end\n"),
    H1_CASE("content-length with leading zeros", POST "Content-Length: 0003\r\n\r\nabc",
            "POST h /|content-length=0003 [abc] end\n"),
    H1_CASE("chunked", POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "POST h / [abcde] end\n"),
    H1_CASE("chunked in any case", POST "Transfer-Encoding: ChunKed \r\n\r\n0\r\n\r\n",
            "POST h / end\n"),
    H1_CASE("chunk sizes",
            POST "Transfer-Encoding: chunked\r\n\r\n"
                 "0000000000000001\r\na\r\nB\r\n0123456789a\r\nb\r\n0123456789a\r\n"
                 "000\r\n\r\n",
            "POST h / [a0123456789a0123456789a] end\n"),
    H1_CASE("chunk extensions",
            POST "Transfer-Encoding: chunked\r\n\r\n"
                 "1;a\r\nx\r\n1;a=b;c=\"d;\\\"\\e \"\r\ny\r\n"
                 "1 ;\ta = \"\"\t;b\r\nz\r\n0;last=1\r\n\r\n",
            "POST h / [xyz] end\n"),
    H1_CASE("trailers",
            POST "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nY:2\r\n"
                 "\r\n",
            "POST h / [a] trailers|x-sum=1|y=2 end\n"),
    H1_CASE("forbidden trailers are dropped",
            POST "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\nHost: evil\r\n"
                 "Authorization: x\r\nTransfer-Encoding: gzip\r\nok: 1\r\n\r\n",
            "POST h / trailers|ok=1 end\n"),
    H1_CASE("only forbidden trailers",
            POST "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: e\r\n\r\n", "POST h / end\n"),
    H1_CASE("pipelining",
            GET HOST "\r\n" POST "Content-Length: 2\r\n\r\nab" GET HOST "a: 1\r\n\r\n",
            "GET h / end\nPOST h /|content-length=2 [ab] end\nGET h /|a=1 end\n"),
    H1_CASE("empty line between requests", POST "Content-Length: 1\r\n\r\nx\r\n" GET HOST "\r\n",
            "POST h /|content-length=1 [x] end\nGET h / end\n"),
    H1_CASE("nothing after close", GET HOST "Connection: close\r\n\r\n" GET HOST "\r\n",
            "GET h / end\n"),
    H1_CASE("nothing after proxy-connection: close",
            GET HOST "Proxy-Connection: close\r\n\r\n" GET HOST "\r\n", "GET h / end\n"),
    H1_CASE("hop-by-hop fields are gone",
            GET HOST "Connection: keep-alive, X-Hop ,, TE\r\nx-hop: 1\r\nKeep-Alive: 5\r\n"
                     "Proxy-Connection: keep-alive\r\nTE: gzip\r\nTrailer: x\r\nUpgrade: h2c\r\n"
                     "HTTP2-Settings: x\r\na: 1\r\n\r\n",
            "GET h /|a=1|trailer=x end\n"),
    H1_CASE("te: trailers stays", GET HOST "TE: gzip;q=0.5, Trailers\r\n\r\n",
            "GET h /|te=trailers end\n"),
    H1_CASE("expect is passed on", POST "Content-Length: 1\r\nExpect: 100-continue\r\n\r\na",
            "POST h /|content-length=1|expect=100-continue [a] end\n"),
    H1_CASE("HTTP/1.0", "GET / HTTP/1.0\r\nHost: h\r\n\r\n" GET HOST "\r\n", "GET h / end\n"),
    H1_CASE("HTTP/1.0 keep-alive",
            "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n" GET HOST "\r\n",
            "GET h / end\nGET h / end\n"),
    H1_CASE("cookies", GET HOST "Cookie: a=1\r\nCookie: b=2\r\n\r\n",
            "GET h /|cookie=a=1|cookie=b=2 end\n"),
    H1_CASE("a body that looks like a request", POST "Content-Length: 27\r\n\r\n" GET HOST "\r\n",
            "POST h /|content-length=27 [GET / HTTP/1.1\r\nHost: h\r\n\r\n] end\n"),
    H1_CASE("incomplete", GET HOST, ""),
};

#define BARE_CR "!CR without LF in a head"
#define BARE_LF "!LF without CR in a head"
#define CONTROL "!control character in a head"
#define LENGTH "!Content-Length is not one decimal number"
#define CODING "!Transfer-Encoding is not just chunked"
#define NOT_ALONE "!chunked is not the only coding"
#define SIZE "!malformed chunk size"
#define EXTENSION "!malformed or long chunk extension"
#define NAME "!field name is empty or not a token"
#define LINE "!malformed request line"
#define BAD_HOST "!malformed Host field"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static const h1_case refused[] = {
    H1_CASE("TLS", "\x16\x03\x01\x02", CONTROL),
    H1_CASE("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "!HTTP version is not 1.0 or 1.1"),
    H1_CASE("HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "!HTTP version is not 1.0 or 1.1"),
    H1_CASE("HTTP/0.9", "GET /\r\n\r\n", LINE),
    H1_CASE("lower-case http", "GET / http/1.1\r\nHost: h\r\n\r\n", "!malformed HTTP version"),
    H1_CASE("version with two digits", "GET / HTTP/1.10\r\nHost: h\r\n\r\n",
            "!malformed HTTP version"),
    H1_CASE("white space behind the version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
            "!malformed HTTP version"),
    H1_CASE("two spaces before the version", "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
            "!malformed HTTP version"),
    H1_CASE("two spaces before the target", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", LINE),
    H1_CASE("tab in the request line", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "!method is not a token"),
    H1_CASE("leading space", " GET / HTTP/1.1\r\nHost: h\r\n\r\n", "!method is not a token"),
    H1_CASE("bad method", "GE(T / HTTP/1.1\r\nHost: h\r\n\r\n", "!method is not a token"),
    H1_CASE("long method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: h\r\n\r\n",
            "!method is longer than any that exists"),
    H1_CASE("three empty lines before", "\r\n\r\n\r\n" GET HOST "\r\n",
            "!too many empty lines before a request"),
    H1_CASE("bare LF before", "\n" GET HOST "\r\n", BARE_LF),
    H1_CASE("bare LF in the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", BARE_LF),
    H1_CASE("bare LF in a field", GET "Host: h\na: 1\r\n\r\n", BARE_LF),
    H1_CASE("bare LF at the end", GET HOST "\n", BARE_LF),
    H1_CASE("bare CR in a value", GET HOST "a: 1\r2\r\n\r\n", BARE_CR),
    H1_CASE("CR CR LF", GET HOST "a: 1\r\r\n\r\n", BARE_CR),
    H1_CASE("CR LF CR x", GET HOST "\rx", BARE_CR),
    H1_CASE("NUL in a value", GET HOST "a: 1\0002\r\n\r\n", CONTROL),
    H1_CASE("NUL in a name", GET HOST "a\000: 1\r\n\r\n", CONTROL),
    H1_CASE("DEL in a value", GET HOST "a: \x7f\r\n\r\n", CONTROL),
    H1_CASE("ESC in a value", GET HOST "a: \x1b\r\n\r\n", CONTROL),
    H1_CASE("fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
            "!character that no request target may have"),
    H1_CASE("non-ASCII target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n",
            "!character that no request target may have"),
    H1_CASE("asterisk for GET", "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
            "!request target does not fit the method"),
    H1_CASE("relative target", "GET a/b HTTP/1.1\r\nHost: h\r\n\r\n",
            "!request target does not fit the method"),
    H1_CASE("authority-form for GET", "GET a:80 HTTP/1.1\r\nHost: h\r\n\r\n",
            "!request target does not fit the method"),
    H1_CASE("user in a target", "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "!malformed authority in the request target"),
    H1_CASE("absolute-form without host", "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n",
            "!malformed authority in the request target"),
    H1_CASE("ftp", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "!scheme of the target is not http or https"),
    H1_CASE("CONNECT with a length",
            "CONNECT h:443 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na",
            "!CONNECT with a body"),
    H1_CASE("chunked CONNECT",
            "CONNECT h:443 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            "!Transfer-Encoding is not just chunked"),
    H1_CASE("CONNECT to a path", "CONNECT /x HTTP/1.1\r\nHost: h\r\n\r\n",
            "!request target does not fit the method"),
    H1_CASE("no Host", GET "\r\n", "!no Host field"),
    H1_CASE("two Hosts", GET HOST HOST "\r\n", "!more than one Host field"),
    H1_CASE("empty Host", GET "Host:\r\n\r\n", BAD_HOST),
    H1_CASE("space in Host", GET "Host: a b\r\n\r\n", BAD_HOST),
    H1_CASE("list in Host", GET "Host: a/b\r\n\r\n", BAD_HOST),
    H1_CASE("user in Host", GET "Host: a@b\r\n\r\n", BAD_HOST),
    H1_CASE("port too large", GET "Host: h:65536\r\n\r\n", BAD_HOST),
    H1_CASE("port is no number", GET "Host: h:8a\r\n\r\n", BAD_HOST),
    H1_CASE("open bracket", GET "Host: [::1\r\n\r\n", BAD_HOST),
    H1_CASE("bad Host beside absolute-form", "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
            BAD_HOST),
    H1_CASE("obs-fold", GET HOST "a: 1\r\n 2\r\n\r\n", "!line begins with white space (obs-fold)"),
    H1_CASE("obs-fold before the first field", GET " Host: h\r\n\r\n",
            "!line begins with white space (obs-fold)"),
    H1_CASE("tab fold", GET HOST "a: 1\r\n\tb: 2\r\n\r\n",
            "!line begins with white space (obs-fold)"),
    H1_CASE("space before the colon", GET HOST "a : 1\r\n\r\n",
            "!white space between field name and colon"),
    H1_CASE("space in a name", GET HOST "a b: 1\r\n\r\n",
            "!white space between field name and colon"),
    H1_CASE("empty name", GET HOST ": 1\r\n\r\n", NAME),
    H1_CASE("bad name", GET HOST "a(b: 1\r\n\r\n", NAME),
    H1_CASE("non-ASCII name", GET HOST "\xc3\xa4: 1\r\n\r\n", NAME),
    H1_CASE("no colon", GET HOST "abc\r\n\r\n", "!field line without colon"),
    H1_CASE("two lengths", POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "!more than one Content-Length"),
    H1_CASE("one length twice", POST "Content-Length: 1\r\ncontent-length: 1\r\n\r\n",
            "!more than one Content-Length"),
    H1_CASE("list of lengths", POST "Content-Length: 1, 1\r\n\r\n", LENGTH),
    H1_CASE("signed length", POST "Content-Length: +1\r\n\r\n", LENGTH),
    H1_CASE("negative length", POST "Content-Length: -1\r\n\r\n", LENGTH),
    H1_CASE("hex length", POST "Content-Length: 0x1\r\n\r\n", LENGTH),
    H1_CASE("empty length", POST "Content-Length:\r\n\r\n", LENGTH),
    H1_CASE("length of 2^63", POST "Content-Length: 9223372036854775808\r\n\r\n", LENGTH),
    H1_CASE("length above 2^64", POST "Content-Length: 18446744073709551617\r\n\r\n", LENGTH),
    H1_CASE("length and chunked",
            POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "!both Content-Length and Transfer-Encoding"),
    H1_CASE("chunked and length",
            POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
            "!both Content-Length and Transfer-Encoding"),
    H1_CASE("gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n", CODING),
    H1_CASE("gzip", POST "Transfer-Encoding: gzip\r\n\r\n", CODING),
    H1_CASE("identity", POST "Transfer-Encoding: identity\r\n\r\n", CODING),
    H1_CASE("xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n", CODING),
    H1_CASE("quoted chunked", POST "Transfer-Encoding: \"chunked\"\r\n\r\n", CODING),
    H1_CASE("chunked with parameter", POST "Transfer-Encoding: chunked;a=b\r\n\r\n", CODING),
    H1_CASE("chunked, gzip", POST "Transfer-Encoding: chunked, gzip\r\n\r\n", NOT_ALONE),
    H1_CASE("chunked, chunked", POST "Transfer-Encoding: chunked, chunked\r\n\r\n", NOT_ALONE),
    H1_CASE("chunked twice",
            POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", NOT_ALONE),
    H1_CASE("empty coding", POST "Transfer-Encoding:\r\n\r\n", NOT_ALONE),
    H1_CASE("chunked in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            "!Transfer-Encoding in HTTP/1.0 or in a response without body"),
    H1_CASE("HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "!no Host field"),
    H1_CASE("Connection names x-forwarded-for", GET HOST "Connection: x-forwarded-for\r\n\r\n",
            "!Connection names what it may not"),
    H1_CASE("Connection names Host", GET HOST "Connection: HOST\r\n\r\n",
            "!Connection names what it may not"),
    H1_CASE("Connection names a pseudo-header", GET HOST "Connection: :path\r\n\r\n",
            "!Connection names what it may not"),
    H1_CASE("Connection names too much", GET HOST "Connection: a,b,c,d,e,f,g,h,i,j,k\r\n\r\n",
            "!Connection names what it may not"),
    H1_CASE("empty chunk size", CHUNKED "\r\n", SIZE),
    H1_CASE("0x size", CHUNKED "0x1\r\n", SIZE),
    H1_CASE("negative size", CHUNKED "-1\r\n", SIZE),
    H1_CASE("size with underscore", CHUNKED "1_0\r\n", SIZE),
    H1_CASE("size with leading space", CHUNKED " 1\r\n", SIZE),
    H1_CASE("seventeen digits", CHUNKED "00000000000000001\r\n", SIZE),
    H1_CASE("size of 2^63", CHUNKED "8000000000000000\r\n", SIZE),
    H1_CASE("size ends in bare LF", CHUNKED "1\nx\r\n", SIZE),
    H1_CASE("size ends in bare CR", CHUNKED "1\rx\r\n", SIZE),
    H1_CASE("space behind the size", CHUNKED "1 \r\nx\r\n", EXTENSION),
    H1_CASE("empty extension", CHUNKED "1;\r\nx\r\n", EXTENSION),
    H1_CASE("extension without value", CHUNKED "1;a=\r\nx\r\n", EXTENSION),
    H1_CASE("bare LF in an extension", CHUNKED "1;a\nx\r\n", EXTENSION),
    H1_CASE("LF in a quoted extension", CHUNKED "1;a=\"\n\"\r\nx\r\n", EXTENSION),
    H1_CASE("CR in an escape", CHUNKED "1;a=\"\\\r\n\"\r\nx\r\n", EXTENSION),
    H1_CASE("chunk longer than it says", CHUNKED "1\r\nxy\r\n", "!chunk is not followed by CRLF"),
    H1_CASE("chunk ends in bare LF", CHUNKED "1\r\nx\n", "!chunk is not followed by CRLF"),
    H1_CASE("chunk ends in CR x", CHUNKED "1\r\nx\rx", "!chunk is not followed by CRLF"),
    H1_CASE("folded trailer", CHUNKED "0\r\na: 1\r\n b\r\n\r\n",
            "!line begins with white space (obs-fold)"),
    H1_CASE("bad trailer", CHUNKED "0\r\nabc\r\n\r\n", "!field line without colon"),
    H1_CASE("bare LF behind the last chunk", CHUNKED "0\r\n\n", BARE_LF),
    H1_CASE("NUL in a trailer", CHUNKED "0\r\na: \000\r\n\r\n", CONTROL),
    H1_CASE("second request is bad", GET HOST "\r\nGET /\r\n\r\n", LINE),
};

MB_TEST(valid_requests_are_read_the_same_however_they_come) {
    h1_cases_check(accepted, COUNT(accepted), true, NULL);
}

MB_TEST(invalid_requests_are_refused_however_they_come) {
    h1_cases_check(refused, COUNT(refused), true, NULL);
}

MB_TEST(any_allocation_may_fail) {
    for (size_t i = 0; i < COUNT(accepted); i++) {
        h1_case_check_memory(accepted[i].input, true);
    }
}

/* -- limits and options --------------------------------------------------------------------- */

static void check_with(const mb_codec_options *options, const char *input, const char *expected) {
    h1_case_check(&(h1_case){input, {input, strlen(input)}, expected}, true, options, false);
}

MB_TEST(limits_are_exact) {
    const mb_codec_options options = {
        .max_head_bytes = 40, .max_header_count = 2, .max_uri_bytes = 4};

    /* 16 + 9 + 13 + 2 = 40 bytes; one more is too many. */
    check_with(&options, GET HOST "a: 12345678\r\n\r\n", "GET h /|a=12345678 end\n");
    check_with(&options, GET HOST "a: 123456789\r\n\r\n", "!head is larger than the limit");
    check_with(&options, "GET /abc HTTP/1.1\r\nHost: h\r\n\r\n", "GET h /abc end\n");
    check_with(&options, "GET /abcd HTTP/1.1\r\nHost: h\r\n\r\n",
               "!request target is longer than the limit");
    check_with(&options, GET HOST "a:\r\nb:\r\n\r\n", "!more header fields than the limit");
}

MB_TEST(trailers_have_limits) {
    const mb_codec_options options = {
        .max_trailer_bytes = 8, .enable_trailers = true, .max_header_count = 2};

    check_with(&options, CHUNKED "0\r\na: 1\r\n\r\n", "POST h / trailers|a=1 end\n");
    check_with(&options, CHUNKED "0\r\na: 12\r\n\r\n", "!trailers are larger than the limit");
}

MB_TEST(trailers_are_checked_and_dropped_when_they_are_not_enabled) {
    const mb_codec_options options = {.enable_trailers = false};

    check_with(&options, CHUNKED "1\r\nx\r\n0\r\na: 1\r\n\r\n", "POST h / [x] end\n");
    check_with(&options, CHUNKED "0\r\na : 1\r\n\r\n", "!white space between field name and colon");
}

MB_TEST(underscores_are_passed_refused_or_dropped) {
    const mb_codec_options pass = {.max_uri_bytes = 0}, drop = {.drop_underscores = true},
                           refuse = {.reject_underscores = true};

    check_with(&pass, GET HOST "a_b: 1\r\n\r\n", "GET h /|a_b=1 end\n");
    check_with(&drop, GET HOST "a_b: 1\r\nc: 2\r\n\r\n", "GET h /|c=2 end\n");
    check_with(&refuse, GET HOST "a_b: 1\r\n\r\n", "!underscore in a field name");
}

MB_TEST(http_10_needs_to_be_accepted_and_may_get_a_host) {
    const mb_codec_options refuse = {.accept_http_10 = false};
    const mb_codec_options host = {.accept_http_10 = true, .default_host = {"dflt", 4}};

    check_with(&refuse, "GET / HTTP/1.0\r\nHost: h\r\n\r\n", "!HTTP/1.0 is not accepted here");
    check_with(&host, "GET / HTTP/1.0\r\n\r\n", "GET dflt / end\n");
    check_with(&host, "GET / HTTP/1.0\r\nHost: h\r\n\r\n", "GET h / end\n");
    check_with(&host, GET "\r\n", "!no Host field");
}

/* Feeds `count` times `piece` behind `head`; the fault, or NULL. */
static const char *feed_many(const char *head, const char *piece, unsigned count) {
    static h1_record r;
    const char *reason = NULL;

    MB_CHECK(h1_record_init(&r, mb_allocator_default(), true, NULL));
    h1_record_feed(&r, (mb_slice){head, strlen(head)}, false);
    for (unsigned i = 0; i < count && r.failed == 0; i++) {
        h1_record_feed(&r, (mb_slice){piece, strlen(piece)}, false);
    }
    reason = r.failed != 0 ? r.error->reason : NULL;
    h1_record_fini(&r);
    return reason;
}

MB_TEST(endless_heads_are_refused) {
    MB_CHECK_EQ_INT(feed_many(GET HOST "a: ", "xxxxxxxxxx", 6000) == NULL, true);
    MB_CHECK(strcmp(feed_many(GET HOST "a: ", "xxxxxxxxxx", 6200),
                    "head is larger than the limit") == 0);
    MB_CHECK(strcmp(feed_many(GET HOST, "a: b\r\n", 100), "more header fields than the limit") ==
             0);
    MB_CHECK(strcmp(feed_many("GET /", "xxxxxxxxxx", 1700),
                    "request target is longer than the limit") == 0);
}

MB_TEST(tiny_chunks_are_refused_only_when_framing_dwarfs_data) {
    MB_CHECK(feed_many(CHUNKED, "a\r\n0123456789\r\n", 100000) == NULL);
    MB_CHECK(feed_many(CHUNKED, "1\r\nx\r\n", 10000) == NULL);
    MB_CHECK(strcmp(feed_many(CHUNKED, "1\r\nx\r\n", 100000),
                    "chunks far smaller than their framing") == 0);
    MB_CHECK(strcmp(feed_many(CHUNKED "1;a=", "xxxxxxxx", 40),
                    "malformed or long chunk extension") == 0);
}

MB_TEST(room_for_lines_is_held_only_while_a_head_is_on_its_way) {
    h1_record r;
    const mb_h1 *h1;

    MB_CHECK(h1_record_init(&r, mb_allocator_default(), true, NULL));
    h1 = (const mb_h1 *)r.codec;
    MB_CHECK(h1->lines.ends == NULL);
    (void)h1_record_feed(&r, MB_SLICE_LIT(GET "Hos"), false);
    MB_CHECK(h1->lines.ends != NULL);
    (void)h1_record_feed(&r, MB_SLICE_LIT("t: h\r\n\r\n"), false);
    MB_CHECK(h1->lines.ends == NULL);
    h1_record_fini(&r);
}
