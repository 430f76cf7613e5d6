/* Ranges of addresses. */
#include "net/cidr.h"

#include "base/slice.h"
#include "mbtest.h"

static bool contains(const char *host, uint32_t bits, const char *text) {
    mb_cidr range;
    mb_address address;
    MB_CHECK_EQ_INT(mb_cidr_parse(mb_slice_from_c(host), bits, &range), MB_OK);
    MB_CHECK_EQ_INT(mb_address_parse(mb_slice_from_c(text), 80, &address), MB_OK);
    return mb_cidr_contains(&range, &address);
}

MB_TEST(an_address_is_in_the_range_that_shares_its_first_bits) {
    MB_CHECK(contains("10.0.0.0", 8, "10.255.0.1"));
    MB_CHECK(!contains("10.0.0.0", 8, "11.0.0.1"));
    MB_CHECK(contains("10.1.2.3", 8, "10.9.9.9")); /* what is behind the range does not count */
    MB_CHECK(contains("192.168.1.128", 25, "192.168.1.200"));
    MB_CHECK(!contains("192.168.1.128", 25, "192.168.1.127"));
    MB_CHECK(contains("1.2.3.4", 32, "1.2.3.4"));
    MB_CHECK(!contains("1.2.3.4", 32, "1.2.3.5"));
    MB_CHECK(contains("0.0.0.0", 0, "255.255.255.255"));
    MB_CHECK(contains("2001:db8::", 32, "2001:db8:ffff::1"));
    MB_CHECK(!contains("2001:db8::", 32, "2001:db9::"));
    MB_CHECK(contains("::1", 128, "::1"));
    MB_CHECK(!contains("::1", 128, "::2"));
    MB_CHECK(contains("::1", 127, "::"));
}

MB_TEST(families_do_not_mix) {
    MB_CHECK(!contains("0.0.0.0", 0, "::1"));
    MB_CHECK(!contains("::", 0, "1.2.3.4"));
    mb_cidr range;
    mb_address path;
    MB_CHECK_EQ_INT(mb_cidr_parse(MB_SLICE_LIT("0.0.0.0"), 0, &range), MB_OK);
    MB_CHECK_EQ_INT(mb_address_unix(MB_SLICE_LIT("/tmp/x"), &path), MB_OK);
    MB_CHECK(!mb_cidr_contains(&range, &path));
    path.length = 0;
    MB_CHECK(!mb_cidr_contains(&range, &path));
}

MB_TEST(more_bits_than_there_are_count_as_all) {
    mb_cidr range;
    MB_CHECK_EQ_INT(mb_cidr_parse(MB_SLICE_LIT("1.2.3.4"), 33, &range), MB_OK);
    MB_CHECK_EQ_INT(range.bits, 32);
    MB_CHECK_EQ_INT(mb_cidr_parse(MB_SLICE_LIT("::1"), 4000000000u, &range), MB_OK);
    MB_CHECK_EQ_INT(range.bits, 128);
    MB_CHECK_EQ_INT(mb_cidr_parse(MB_SLICE_LIT("host"), 8, &range), MB_EINVAL);
}
