/*
 * Addresses: text in both directions, equality, and which ones are internal.
 */
#include "net/address.h"

#include "base/slice.h"
#include "mbtest.h"

static mb_address parsed(const char *host, uint16_t port) {
    mb_address address;
    MB_CHECK_EQ_INT(mb_address_parse(mb_slice_from_c(host), port, &address), MB_OK);
    return address;
}

static void check_text(const char *host, uint16_t port, const char *text, const char *host_text) {
    mb_address address = parsed(host, port);
    char out[MB_ADDRESS_TEXT_BYTES];
    MB_CHECK_EQ_SLICE(mb_slice_of(out, mb_address_text(&address, out)), mb_slice_from_c(text));
    MB_CHECK_EQ_SLICE(mb_slice_of(out, mb_address_host_text(&address, out)),
                      mb_slice_from_c(host_text));
    MB_CHECK_EQ_INT(mb_address_port(&address), port);
}

MB_TEST(text_of_an_address_is_what_was_parsed) {
    check_text("1.2.3.4", 80, "1.2.3.4:80", "1.2.3.4");
    check_text("255.255.255.255", 65535, "255.255.255.255:65535", "255.255.255.255");
    check_text("0.0.0.0", 0, "0.0.0.0:0", "0.0.0.0");
    check_text("10.20.100.9", 8080, "10.20.100.9:8080", "10.20.100.9");
    check_text("::1", 80, "[::1]:80", "::1");
    check_text("[::1]", 80, "[::1]:80", "::1");
    check_text("2001:DB8:0:0:0:0:0:1", 443, "[2001:db8::1]:443", "2001:db8::1");
    check_text("fe80::1%lo", 443, "[fe80::1%lo]:443", "fe80::1%lo");
}

MB_TEST(what_is_no_numeric_address_is_refused) {
    const char *bad[] = {"",      "localhost", "1.2.3",    "1.2.3.4.5", "1.2.3.256", "[1.2.3.4]",
                         "::g",   "[::1",      "::1]",     "[]",        " 1.2.3.4",  "1.2.3.4 ",
                         "01.2x", "::1%",      "::1%none", "1:2",       "1.2.3.4:80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        mb_address address = {.length = 77};
        size_t len = strlen(bad[i]);
        const char *host = mbtest_guard(bad[i], len);
        MB_CHECK_EQ_INT(mb_address_parse(mb_slice_of(host, len), 1, &address), MB_EINVAL);
        MB_CHECK_EQ_INT(address.length, 77);
        mbtest_guard_free(host, len);
    }
    mb_address address;
    MB_CHECK_EQ_INT(mb_address_parse(MB_SLICE_LIT("1.2.3.4\0x"), 1, &address), MB_EINVAL);
    char longer[300];
    memset(longer, '1', sizeof(longer));
    MB_CHECK_EQ_INT(mb_address_parse(mb_slice_of(longer, 300), 1, &address), MB_EINVAL);
}

MB_TEST(names_of_the_abstract_namespace) {
    mb_address address;
    char text[MB_ADDRESS_TEXT_BYTES];

    MB_CHECK_EQ_INT(mb_address_unix(MB_SLICE_LIT("@up"), &address), MB_OK);
    MB_CHECK_EQ_INT(address.length, offsetof(struct sockaddr_un, sun_path) + 3);
    MB_CHECK_EQ_INT(address.un.sun_path[0], 0);
    MB_CHECK_EQ_LIT(((mb_slice){text, mb_address_text(&address, text)}), "@up");
    MB_CHECK_EQ_INT(mb_address_unix(MB_SLICE_LIT("@"), &address), MB_EINVAL);
}

MB_TEST(unix_paths) {
    mb_address address;
    char out[MB_ADDRESS_TEXT_BYTES];
    MB_CHECK_EQ_INT(mb_address_unix(MB_SLICE_LIT("/run/x.sock"), &address), MB_OK);
    MB_CHECK_EQ_LIT(mb_slice_of(out, mb_address_text(&address, out)), "/run/x.sock");
    MB_CHECK_EQ_INT(mb_address_port(&address), 0);
    char longest[107];
    memset(longest, 'a', sizeof(longest));
    MB_CHECK_EQ_INT(mb_address_unix(mb_slice_of(longest, 107), &address), MB_OK);
    MB_CHECK_EQ_INT(mb_address_text(&address, out), 107);
    address.length--; /* the kernel does not always count the NUL */
    MB_CHECK_EQ_INT(mb_address_text(&address, out), 107);
    MB_CHECK_EQ_INT(mb_address_unix(mb_slice_of(longest, 0), &address), MB_EINVAL);
    MB_CHECK_EQ_INT(mb_address_unix(MB_SLICE_LIT("/a\0b"), &address), MB_EINVAL);
    char longer[108] = {0};
    memset(longer, 'a', sizeof(longer));
    MB_CHECK_EQ_INT(mb_address_unix(mb_slice_of(longer, 108), &address), MB_EINVAL);
    address.length = sizeof(sa_family_t); /* an unnamed client */
    MB_CHECK_EQ_INT(mb_address_text(&address, out), 0);
}

MB_TEST(empty_address_has_no_text_and_no_port) {
    mb_address none = {0};
    char out[MB_ADDRESS_TEXT_BYTES];
    MB_CHECK_EQ_INT(mb_address_text(&none, out), 0);
    MB_CHECK_EQ_INT(mb_address_port(&none), 0);
    MB_CHECK(!mb_address_is_internal(&none) && !mb_address_is_loopback(&none));
}

MB_TEST(equal_means_family_host_and_port) {
    mb_address all[] = {parsed("1.2.3.4", 1),
                        parsed("1.2.3.4", 2),
                        parsed("1.2.3.5", 1),
                        parsed("::1", 1),
                        parsed("::1", 2),
                        parsed("::2", 1),
                        {0},
                        {0},
                        {0}};
    mb_address_unix(MB_SLICE_LIT("/a"), &all[6]);
    mb_address_unix(MB_SLICE_LIT("/b"), &all[7]);
    for (size_t i = 0; i < 9; i++) {
        for (size_t j = 0; j < 9; j++) {
            MB_CHECK_EQ_INT(mb_address_equal(&all[i], &all[j]), i == j);
        }
    }
}

static void check_internal(const char *host, bool internal, bool loopback) {
    mb_address address = parsed(host, 1);
    MB_CHECK_EQ_INT(mb_address_is_internal(&address), internal);
    MB_CHECK_EQ_INT(mb_address_is_loopback(&address), loopback);
}

MB_TEST(internal_is_what_envoy_calls_so) {
    check_internal("10.0.0.0", true, false);
    check_internal("10.255.255.255", true, false);
    check_internal("9.255.255.255", false, false);
    check_internal("11.0.0.0", false, false);
    check_internal("172.15.255.255", false, false);
    check_internal("172.16.0.0", true, false);
    check_internal("172.31.255.255", true, false);
    check_internal("172.32.0.0", false, false);
    check_internal("192.168.0.1", true, false);
    check_internal("192.167.255.255", false, false);
    check_internal("192.169.0.0", false, false);
    check_internal("127.0.0.1", true, true);
    check_internal("127.0.0.2", false, true);
    check_internal("::1", true, true);
    check_internal("::2", false, false);
    check_internal("fd00::1", true, false);
    check_internal("fc00::1", false, false);
    check_internal("fe80::1", false, false);
    mb_address path;
    mb_address_unix(MB_SLICE_LIT("/a"), &path);
    MB_CHECK(!mb_address_is_internal(&path));
}
