/*
 * PROXY headers of both versions: read whole and byte by byte against a guard page, malformed ones,
 * and what is written read again.
 */
#include "net/proxy_protocol.h"

#include "base/alloc.h"
#include "base/slice.h"
#include "mbtest.h"

#include <stdlib.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\x0a\x01\x02\x03\xc0\xa8\x00\x01\x30\x39\x01\xbb"

static void check_address(const mb_address *address, const char *want) {
    char text[MB_ADDRESS_TEXT_BYTES];
    MB_CHECK_EQ_SLICE(mb_slice_of(text, mb_address_text(address, text)), mb_slice_from_c(want));
}

/* Every part of the header waits; bytes behind it change nothing. Slices of `*out` are not kept. */
static int64_t read_all_ways(mb_slice bytes, size_t max_bytes, mb_proxy_header *out) {
    const char *guarded = mbtest_guard(bytes.ptr, bytes.len);
    int64_t want = mb_proxy_read(mb_slice_of(guarded, bytes.len), max_bytes, out);
    mbtest_guard_free(guarded, bytes.len);
    out->tlvs = (mb_slice){"", 0};
    for (size_t len = 0; len < bytes.len; len++) {
        mb_proxy_header part;
        guarded = mbtest_guard(bytes.ptr, len);
        int64_t got = mb_proxy_read(mb_slice_of(guarded, len), max_bytes, &part);
        mbtest_guard_free(guarded, len);
        if (want > 0) {
            MB_CHECK_EQ_INT(got, (int64_t)len < want ? MB_EAGAIN : want);
        } else {
            MB_CHECK(got == MB_EAGAIN || got == want);
        }
    }
    return want;
}

static void check_read(mb_slice bytes, size_t header, const char *source, const char *destination) {
    mb_proxy_header out;
    MB_CHECK_EQ_INT(read_all_ways(bytes, MB_PROXY_V2_MAX_BYTES, &out), header);
    check_address(&out.source, source);
    check_address(&out.destination, destination);
}

static void check_refused(mb_slice bytes, int want) {
    mb_proxy_header out;
    MB_CHECK_EQ_INT(read_all_ways(bytes, MB_PROXY_V2_MAX_BYTES, &out), want);
}

#define CHECK_LINE(line, source, destination)                                                      \
    check_read(MB_SLICE_LIT(line "GET / HTTP/1.1\r\n"), sizeof(line) - 1, source, destination)

MB_TEST(lines_of_version_1_are_read) {
    CHECK_LINE("PROXY TCP4 1.2.3.4 5.6.7.8 56324 443\r\n", "1.2.3.4:56324", "5.6.7.8:443");
    CHECK_LINE("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
               "255.255.255.255:65535", "255.255.255.255:65535");
    CHECK_LINE("PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n", "1.2.3.4:0", "5.6.7.8:0");
    CHECK_LINE("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "[2001:db8::1]:1", "[::1]:2");
    CHECK_LINE("PROXY UNKNOWN\r\n", "", "");
    CHECK_LINE("PROXY UNKNOWN any thing  at all\r\n", "", "");
    CHECK_LINE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
               "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
               "", "");
}

MB_TEST(malformed_lines_are_refused) {
    check_refused(MB_SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 56324\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 56324 443 \r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP4  1.2.3.4 5.6.7.8 56324 443\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 65536 443\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 -1 443\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 080 443\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP4 1.2.3 5.6.7.8 80 443\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP4 ::1 5.6.7.8 80 443\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP6 1.2.3.4 5.6.7.8 80 443\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP6 [::1] ::1 80 443\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP6 fe80::1%lo ::1 80 443\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY UDP4 1.2.3.4 5.6.7.8 80 443\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY UNKNOWN a\rb\r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY UNKNOWN\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY \r\n"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("PROXY unknown\r\n"), MB_EPROTO);
}

MB_TEST(a_line_of_108_bytes_is_refused_without_waiting_for_its_end) {
    char line[120];
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + 105, "\r\n", 2);
    mb_proxy_header out;
    MB_CHECK_EQ_INT(read_all_ways(mb_slice_of(line, 107), 1000, &out), 107);
    memcpy(line + 105, "xx\r\n", 4);
    MB_CHECK_EQ_INT(mb_proxy_read(mb_slice_of(line, 106), 1000, &out), MB_EAGAIN);
    MB_CHECK_EQ_INT(mb_proxy_read(mb_slice_of(line, 107), 1000, &out), MB_EPROTO);
    MB_CHECK_EQ_INT(mb_proxy_read(mb_slice_of(line, 50), 50, &out), MB_ELIMIT);
}

MB_TEST(headers_of_version_2_are_read) {
    check_read(MB_SLICE_LIT(SIGNATURE "\x21\x11\0\x0c" V4 "GET"), 28, "10.1.2.3:12345",
               "192.168.0.1:443");
    check_read(MB_SLICE_LIT(SIGNATURE "\x21\x12\0\x0c" V4), 28, "10.1.2.3:12345",
               "192.168.0.1:443");
    check_read(MB_SLICE_LIT(SIGNATURE "\x21\x21\0\x24"
                                      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                                      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
                                      "\0\x50\x01\xbb"),
               52, "[2001:db8::1]:80", "[::1]:443");
    /* With a TLV of a type that nobody knows. */
    check_read(MB_SLICE_LIT(SIGNATURE "\x21\x11\0\x12" V4 "\xe4\0\3abc"), 34, "10.1.2.3:12345",
               "192.168.0.1:443");
}

MB_TEST(local_and_unspecified_headers_have_no_addresses) {
    check_read(MB_SLICE_LIT(SIGNATURE "\x20\0\0\0"), 16, "", "");
    check_read(MB_SLICE_LIT(SIGNATURE "\x20\x11\0\x0c" V4), 28, "", "");
    check_read(MB_SLICE_LIT(SIGNATURE "\x20\x11\0\2!?"), 18, "", ""); /* what it holds is skipped */
    check_read(MB_SLICE_LIT(SIGNATURE "\x21\0\0\0"), 16, "", "");
    check_read(MB_SLICE_LIT(SIGNATURE "\x21\x10\0\x0c" V4), 28, "", "");
    mb_proxy_header out;
    mb_slice bytes = MB_SLICE_LIT(SIGNATURE "\x21\0\0\4\2\0\1a");
    MB_CHECK_EQ_INT(mb_proxy_read(bytes, 100, &out), 20);
    MB_CHECK(!out.local);
    MB_CHECK_EQ_LIT(out.tlvs, "\2\0\1a");
}

MB_TEST(unix_addresses_are_read) {
    char bytes[16 + 216];
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, SIGNATURE "\x21\x31\0\xd8", 16);
    memcpy(bytes + 16, "/run/a.sock\0left over", 21);
    memset(bytes + 16 + 108, 'b', 108);
    check_read(
        mb_slice_of(bytes, sizeof(bytes)), sizeof(bytes), "/run/a.sock",
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        "bbbbbbbbbbbbbbbbbbbbbbbb");
}

MB_TEST(malformed_headers_of_version_2_are_refused) {
    check_refused(MB_SLICE_LIT(SIGNATURE "\x11\x11\0\x0c" V4), MB_EPROTO); /* version 1 */
    check_refused(MB_SLICE_LIT(SIGNATURE "\x31\x11\0\x0c" V4), MB_EPROTO);
    check_refused(MB_SLICE_LIT(SIGNATURE "\x22\x11\0\x0c" V4), MB_EPROTO); /* command */
    check_refused(MB_SLICE_LIT(SIGNATURE "\x21\x41\0\x0c" V4), MB_EPROTO); /* family */
    check_refused(MB_SLICE_LIT(SIGNATURE "\x21\x13\0\x0c" V4), MB_EPROTO); /* protocol */
    check_refused(MB_SLICE_LIT(SIGNATURE "\x21\x11\0\x0b" V4), MB_EPROTO); /* too short for it */
    check_refused(MB_SLICE_LIT(SIGNATURE "\x21\x21\0\x0c" V4), MB_EPROTO);
    check_refused(MB_SLICE_LIT(SIGNATURE "\x21\x31\0\x0c" V4), MB_EPROTO);
    check_refused(MB_SLICE_LIT(SIGNATURE "\x21\x11\0\x0d" V4 "\4"), MB_EPROTO);
    check_refused(MB_SLICE_LIT(SIGNATURE "\x21\x11\0\x0f" V4 "\4\0\1"), MB_EPROTO);
    check_refused(MB_SLICE_LIT(SIGNATURE "\x21\x11\0\x11" V4 "\4\0\1a\4"), MB_EPROTO);
}

MB_TEST(other_protocols_are_no_header) {
    check_refused(MB_SLICE_LIT("GET / HTTP/1.1\r\n"), MB_ENOTFOUND);
    check_refused(MB_SLICE_LIT("PRI * HTTP/2.0\r\n\r\n"), MB_ENOTFOUND);
    check_refused(MB_SLICE_LIT("PROPFIND /"), MB_ENOTFOUND);
    check_refused(MB_SLICE_LIT("proxy TCP4"), MB_ENOTFOUND);
    check_refused(MB_SLICE_LIT("PROXYx"), MB_ENOTFOUND);
    check_refused(MB_SLICE_LIT("\r\nGET"), MB_ENOTFOUND);
    check_refused(MB_SLICE_LIT("\x16\x03\x01"), MB_ENOTFOUND);
    check_refused(MB_SLICE_LIT("\r\n\r\n\0\r\nQUIT\r"), MB_ENOTFOUND);
}

MB_TEST(a_header_above_the_bound_is_refused_when_its_length_is_known) {
    mb_proxy_header out;
    mb_slice bytes = MB_SLICE_LIT(SIGNATURE "\x21\x11\xff\xff");
    MB_CHECK_EQ_INT(mb_proxy_read(bytes, 4096, &out), MB_ELIMIT);
    MB_CHECK_EQ_INT(mb_proxy_read(bytes, MB_PROXY_V2_MAX_BYTES, &out), MB_EAGAIN);
    bytes = MB_SLICE_LIT(SIGNATURE "\x21\x11\0\x0c" V4);
    MB_CHECK_EQ_INT(mb_proxy_read(bytes, 28, &out), 28);
    MB_CHECK_EQ_INT(mb_proxy_read(bytes, 27, &out), MB_ELIMIT);
}

MB_TEST(the_checksum_is_checked_where_there_is_one) {
    char bytes[] = SIGNATURE "\x21\x11\0\x17" V4 "\3\0\4\0\0\0\0\xe4\0\1z";
    size_t len = sizeof(bytes) - 1;
    mb_proxy_header out;
    check_refused(mb_slice_of(bytes, len), MB_EPROTO);
    memcpy(bytes + 31, "\x5c\xff\x3f\x3f", 4); /* by an independent implementation */
    MB_CHECK_EQ_INT(read_all_ways(mb_slice_of(bytes, len), len, &out), len);
    for (size_t i = 16; i < len; i++) { /* no bit of it may change */
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] = (char)(bytes[i] ^ 1 << bit);
            int64_t got = mb_proxy_read(mb_slice_of(bytes, len), len, &out);
            /* Another type for it, and it is no checksum any more. */
            MB_CHECK(got == MB_EPROTO || i == 28);
            bytes[i] = (char)(bytes[i] ^ 1 << bit);
        }
    }
    check_refused(MB_SLICE_LIT(SIGNATURE "\x21\x11\0\x12" V4 "\3\0\3\0\0\0"), MB_EPROTO);
}

MB_TEST(tlvs_are_found_in_order_and_inside_the_one_of_tls) {
    mb_slice tlvs = MB_SLICE_LIT("\1\0\2h2\x20\0\x0f\7\0\0\0\x15\x21\0\7TLSv1.3\xea\0\0");
    mb_slice rest = tlvs, value;
    mb_proxy_tlv tlv;
    MB_CHECK(mb_proxy_tlv_next(&rest, &tlv));
    MB_CHECK_EQ_INT(tlv.type, MB_PROXY_TLV_ALPN);
    MB_CHECK_EQ_LIT(tlv.value, "h2");
    MB_CHECK(mb_proxy_tlv_next(&rest, &tlv));
    MB_CHECK_EQ_INT(tlv.type, MB_PROXY_TLV_SSL);
    MB_CHECK(mb_proxy_tlv_next(&rest, &tlv));
    MB_CHECK_EQ_INT(tlv.type, 0xea);
    MB_CHECK_EQ_INT(tlv.value.len, 0);
    MB_CHECK(!mb_proxy_tlv_next(&rest, &tlv));
    MB_CHECK_EQ_INT(rest.len, 0);

    mb_proxy_ssl ssl;
    MB_CHECK(mb_proxy_tlv_find(tlvs, MB_PROXY_TLV_SSL, &value));
    MB_CHECK_EQ_INT(mb_proxy_tlv_ssl(value, &ssl), MB_OK);
    MB_CHECK_EQ_INT(ssl.client, 7);
    MB_CHECK_EQ_INT(ssl.verify, 0x15);
    MB_CHECK(mb_proxy_tlv_find(ssl.tlvs, MB_PROXY_TLV_SSL_VERSION, &value));
    MB_CHECK_EQ_LIT(value, "TLSv1.3");
    MB_CHECK(!mb_proxy_tlv_find(ssl.tlvs, MB_PROXY_TLV_SSL_CN, &value));
    MB_CHECK_EQ_INT(mb_proxy_tlv_ssl(MB_SLICE_LIT("\1\0\0\0"), &ssl), MB_EPROTO);
    MB_CHECK_EQ_INT(mb_proxy_tlv_ssl(MB_SLICE_LIT("\1\0\0\0\0\x21\0\2a"), &ssl), MB_EPROTO);
}

/* -- writing ------------------------------------------------------------------------------- */

typedef struct fixture {
    mbtest_alloc *memory;
    mb_slab_pool *pool;
    mb_buffer out;
    mb_text tlvs;
} fixture;

static void set_up(fixture *f) {
    f->memory = mbtest_failing_alloc(0);
    f->pool = mb_slab_pool_new(&f->memory->allocator);
    mb_buffer_init(&f->out, f->pool);
    mb_text_init(&f->tlvs, &f->memory->allocator, SIZE_MAX);
}

static void tear_down(fixture *f) {
    mb_text_fini(&f->tlvs);
    mb_buffer_fini(&f->out);
    mb_slab_pool_free(f->pool);
    mbtest_alloc_free(f->memory);
}

static mb_address address_of(const char *host, uint16_t port) {
    mb_address address;
    mb_slice text = mb_slice_from_c(host);
    int result =
        host[0] == '/' ? mb_address_unix(text, &address) : mb_address_parse(text, port, &address);
    MB_CHECK_EQ_INT(result, MB_OK);
    return address;
}

static mb_slice written(fixture *f, const mb_proxy_header *header, bool checksum) {
    mb_slice bytes;
    mb_buffer_clear(&f->out);
    MB_CHECK_EQ_INT(mb_proxy_write(header, checksum, &f->out), MB_OK);
    MB_CHECK_EQ_INT(mb_buffer_join(&f->out, SIZE_MAX, &bytes, NULL), MB_OK);
    return bytes;
}

static void check_line(fixture *f, const char *source, const char *destination, const char *want) {
    mb_proxy_header header = {.version = 1};
    header.source = address_of(source, 80);
    header.destination = address_of(destination, 443);
    MB_CHECK_EQ_SLICE(written(f, &header, true), mb_slice_from_c(want));
}

MB_TEST(lines_of_version_1_are_written) {
    fixture f;
    set_up(&f);
    check_line(&f, "1.2.3.4", "5.6.7.8", "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n");
    check_line(&f, "2001:db8::1", "::1", "PROXY TCP6 2001:db8::1 ::1 80 443\r\n");
    check_line(&f, "1.2.3.4", "::1", "PROXY TCP6 ::ffff:1.2.3.4 ::1 80 443\r\n");
    check_line(&f, "/a", "/b", "PROXY UNKNOWN\r\n");
    check_line(&f, "1.2.3.4", "/b", "PROXY UNKNOWN\r\n");
    mb_proxy_header header = {.version = 1};
    MB_CHECK_EQ_LIT(written(&f, &header, false), "PROXY UNKNOWN\r\n");
    tear_down(&f);
}

static void check_round_trip(fixture *f, const char *source, const char *destination,
                             bool checksum) {
    mb_proxy_header header = {.version = 2}, got;
    char want[MB_ADDRESS_TEXT_BYTES];
    header.source = address_of(source, 1234);
    header.destination = address_of(destination, 443);
    header.tlvs = mb_text_view(&f->tlvs);
    mb_slice bytes = written(f, &header, checksum);
    MB_CHECK_EQ_INT(mb_proxy_read(bytes, MB_PROXY_V2_MAX_BYTES, &got), bytes.len);
    MB_CHECK_EQ_SLICE(mb_slice_take(got.tlvs, header.tlvs.len), header.tlvs);
    MB_CHECK_EQ_INT(got.tlvs.len, header.tlvs.len + (checksum ? 7 : 0));
    want[mb_address_text(&header.source, want)] = '\0';
    check_address(&got.source, want);
    want[mb_address_text(&header.destination, want)] = '\0';
    check_address(&got.destination, want);
}

MB_TEST(what_version_2_writes_is_read_again) {
    for (int i = 0; i < 4; i++) {
        fixture f;
        set_up(&f);
        if ((i & 2) != 0) {
            MB_CHECK_EQ_INT(mb_proxy_tlv_put(&f.tlvs, 0xe1, MB_SLICE_LIT("one")), MB_OK);
            MB_CHECK_EQ_INT(mb_proxy_tlv_put(&f.tlvs, 0x02, MB_SLICE_LIT("")), MB_OK);
        }
        check_round_trip(&f, "1.2.3.4", "5.6.7.8", (i & 1) != 0);
        check_round_trip(&f, "2001:db8::1", "::1", (i & 1) != 0);
        check_round_trip(&f, "/run/client", "/run/server", (i & 1) != 0);
        tear_down(&f);
    }
}

MB_TEST(mixed_families_are_sent_as_ipv6_and_none_as_local) {
    fixture f;
    mb_proxy_header header = {.version = 2}, got;
    set_up(&f);
    header.source = address_of("1.2.3.4", 80);
    header.destination = address_of("::1", 443);
    mb_slice bytes = written(&f, &header, false);
    MB_CHECK_EQ_INT(mb_proxy_read(bytes, 100, &got), 52);
    check_address(&got.source, "[::ffff:1.2.3.4]:80");
    header.destination.length = 0;
    MB_CHECK_EQ_LIT(written(&f, &header, false), SIGNATURE "\x20\0\0\0");
    header.destination = header.source;
    header.local = true;
    MB_CHECK_EQ_LIT(written(&f, &header, false), SIGNATURE "\x20\0\0\0");
    tear_down(&f);
}

MB_TEST(tlvs_that_do_not_fit_are_refused) {
    fixture f;
    set_up(&f);
    char *value = calloc(1, 65535);
    MB_CHECK_EQ_INT(mb_proxy_tlv_put(&f.tlvs, 4, mb_slice_of(value, 65533)), MB_ELIMIT);
    MB_CHECK_EQ_INT(mb_proxy_tlv_put(&f.tlvs, 4, mb_slice_of(value, 65520)), MB_OK);
    MB_CHECK_EQ_INT(mb_proxy_tlv_put(&f.tlvs, 4, mb_slice_of(value, 10)), MB_ELIMIT);
    check_round_trip(&f, "1.2.3.4", "5.6.7.8", false); /* 65523 and 12 bytes: exactly full */
    mb_proxy_header header = {.version = 2, .tlvs = mb_text_view(&f.tlvs)};
    header.source = header.destination = address_of("::1", 1);
    MB_CHECK_EQ_INT(mb_proxy_write(&header, false, &f.out), MB_ELIMIT);
    header.source = header.destination = address_of("1.1.1.1", 1);
    MB_CHECK_EQ_INT(mb_proxy_write(&header, true, &f.out), MB_ELIMIT);
    free(value);
    tear_down(&f);
}

MB_TEST(out_of_memory_leaves_the_buffer_unchanged) {
    fixture f;
    set_up(&f);
    mb_proxy_header header = {.version = 2};
    header.source = header.destination = address_of("1.1.1.1", 1);
    f.memory->fail_at = f.memory->requests + 1;
    f.memory->keep_failing = true;
    MB_CHECK_EQ_INT(mb_proxy_write(&header, true, &f.out), MB_ENOMEM);
    MB_CHECK_EQ_INT(f.out.length, 0);
    header.version = 1;
    MB_CHECK_EQ_INT(mb_proxy_write(&header, true, &f.out), MB_ENOMEM);
    MB_CHECK_EQ_INT(mb_proxy_tlv_put(&f.tlvs, 4, MB_SLICE_LIT("a")), MB_ENOMEM);
    tear_down(&f);
}
