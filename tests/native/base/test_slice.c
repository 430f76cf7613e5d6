/*
 * Slices: comparing, cutting and reading numbers, with empty slices and the ends of ranges.
 */
#include "base/slice.h"

#include "mbtest.h"

#define LIT(text) MB_SLICE_LIT(text)
static const mb_slice none = {NULL, 0};

MB_TEST(equality_is_by_length_and_bytes) {
    MB_CHECK(mb_slice_equal(LIT("a\0b"), LIT("a\0b")));
    MB_CHECK(!mb_slice_equal(LIT("a\0b"), LIT("a\0c")));
    MB_CHECK(!mb_slice_equal(LIT("ab"), LIT("abc")));
    MB_CHECK(mb_slice_equal(none, LIT("")));
    MB_CHECK(mb_slice_equal_secret(LIT("secret"), LIT("secret")));
    MB_CHECK(!mb_slice_equal_secret(LIT("secret"), LIT("secreT")));
    MB_CHECK(!mb_slice_equal_secret(LIT("secret"), LIT("secre")));
    MB_CHECK(mb_slice_equal_secret(none, none));
    MB_CHECK(mb_slice_equal(mb_slice_from_c("abc"), LIT("abc")));
}

MB_TEST(case_is_ignored_for_ascii_letters_only) {
    MB_CHECK(mb_slice_equal_nocase(LIT("Content-LENGTH"), LIT("content-length")));
    MB_CHECK(!mb_slice_equal_nocase(LIT("@["), LIT("`{")));
    MB_CHECK(!mb_slice_equal_nocase(LIT("\xc4"), LIT("\xe4")));
    MB_CHECK(mb_slice_starts_with_nocase(LIT("BASIC x"), LIT("basic ")));
    MB_CHECK(!mb_slice_starts_with_nocase(LIT("bas"), LIT("basic")));
    MB_CHECK(mb_slice_ends_with_nocase(LIT("a.EXAMPLE"), LIT(".example")));
    MB_CHECK(mb_slice_ends_with_nocase(none, none));
}

MB_TEST(order_is_by_unsigned_bytes_then_length) {
    MB_CHECK(mb_slice_compare(LIT("a"), LIT("b")) < 0);
    MB_CHECK(mb_slice_compare(LIT("\xff"), LIT("a")) > 0);
    MB_CHECK(mb_slice_compare(LIT("ab"), LIT("a")) > 0);
    MB_CHECK(mb_slice_compare(none, LIT("a")) < 0);
    MB_CHECK_EQ_INT(mb_slice_compare(none, LIT("")), 0);
}

MB_TEST(prefixes_and_suffixes_may_be_empty_or_everything) {
    MB_CHECK(mb_slice_starts_with(LIT("/path"), LIT("/pa")));
    MB_CHECK(mb_slice_starts_with(LIT("/path"), LIT("/path")));
    MB_CHECK(!mb_slice_starts_with(LIT("/path"), LIT("/path/")));
    MB_CHECK(mb_slice_starts_with(none, none));
    MB_CHECK(mb_slice_ends_with(LIT("a.com"), LIT(".com")));
    MB_CHECK(!mb_slice_ends_with(LIT("com"), LIT(".com")));
    MB_CHECK(mb_slice_ends_with(LIT("com"), none));
    MB_CHECK(mb_slice_ends_with(none, none));
}

MB_TEST(skip_and_take_stop_at_the_end) {
    MB_CHECK_EQ_LIT(mb_slice_skip(LIT("abc"), 1), "bc");
    MB_CHECK_EQ_LIT(mb_slice_skip(LIT("abc"), 9), "");
    MB_CHECK_EQ_INT(mb_slice_skip(none, 1).len, 0);
    MB_CHECK_EQ_LIT(mb_slice_take(LIT("abc"), 2), "ab");
    MB_CHECK_EQ_LIT(mb_slice_take(LIT("abc"), 9), "abc");
}

MB_TEST(index_finds_first_and_last) {
    MB_CHECK_EQ_INT(mb_slice_index(LIT("a:b:c"), ':'), 1);
    MB_CHECK_EQ_INT(mb_slice_rindex(LIT("a:b:c"), ':'), 3);
    MB_CHECK_EQ_INT(mb_slice_index(LIT("abc"), ':'), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_slice_rindex(none, ':'), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_slice_index(none, ':'), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_slice_index(LIT("a\xff"), '\xff'), 1);
}

MB_TEST(trim_takes_spaces_and_tabs_only) {
    MB_CHECK_EQ_LIT(mb_slice_trim_ows(LIT(" \t a b \t")), "a b");
    MB_CHECK_EQ_LIT(mb_slice_trim_ows(LIT("\r\n")), "\r\n");
    MB_CHECK_EQ_LIT(mb_slice_trim_ows(LIT(" \t ")), "");
    MB_CHECK_EQ_INT(mb_slice_trim_ows(none).len, 0);
}

MB_TEST(split_cuts_at_the_first_byte_and_may_write_over_its_argument) {
    mb_slice before;
    mb_slice rest = LIT("user:pass:word");
    MB_CHECK(mb_slice_split(rest, ':', &before, &rest));
    MB_CHECK_EQ_LIT(before, "user");
    MB_CHECK_EQ_LIT(rest, "pass:word");
    MB_CHECK(!mb_slice_split(LIT("alone"), ':', &before, &rest));
    MB_CHECK_EQ_LIT(before, "alone");
    MB_CHECK_EQ_LIT(rest, "");
    MB_CHECK(mb_slice_split(LIT(":"), ':', &before, &rest));
    MB_CHECK(before.len == 0 && rest.len == 0);
}

MB_TEST(list_elements_are_trimmed_and_empty_ones_skipped) {
    mb_slice rest = LIT(" , gzip ,,\tbr;q=1.0 ,");
    mb_slice element;
    MB_CHECK(mb_slice_next_element(&rest, &element));
    MB_CHECK_EQ_LIT(element, "gzip");
    MB_CHECK(mb_slice_next_element(&rest, &element));
    MB_CHECK_EQ_LIT(element, "br;q=1.0");
    MB_CHECK(!mb_slice_next_element(&rest, &element));
    rest = none;
    MB_CHECK(!mb_slice_next_element(&rest, &element));
}

MB_TEST(decimal_takes_digits_only) {
    uint64_t value = 7;
    static const char *const refused[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1,0", "1e3", "a"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        MB_CHECK_EQ_INT(mb_slice_parse_u64(mb_slice_from_c(refused[i]), &value), MB_EINVAL);
    }
    MB_CHECK_EQ_INT(mb_slice_parse_u64(LIT("18446744073709551616"), &value), MB_ELIMIT);
    MB_CHECK_EQ_INT(mb_slice_parse_u64(LIT("99999999999999999999"), &value), MB_ELIMIT);
    MB_CHECK_EQ_INT(mb_slice_parse_u64(LIT("99999999999999999999x"), &value), MB_EINVAL);
    MB_CHECK_EQ_INT(value, 7);
    MB_CHECK_EQ_INT(mb_slice_parse_u64(LIT("18446744073709551615"), &value), MB_OK);
    MB_CHECK(value == UINT64_MAX);
    MB_CHECK_EQ_INT(mb_slice_parse_u64(LIT("000000000000000000000042"), &value), MB_OK);
    MB_CHECK_EQ_INT(value, 42);
}

MB_TEST(hexadecimal_takes_both_cases_and_no_prefix) {
    uint64_t value = 7;
    static const char *const refused[] = {"", "0x1", "g", "-1", " 1", "1h"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        MB_CHECK_EQ_INT(mb_slice_parse_hex(mb_slice_from_c(refused[i]), &value), MB_EINVAL);
    }
    MB_CHECK_EQ_INT(mb_slice_parse_hex(LIT("10000000000000000"), &value), MB_ELIMIT);
    MB_CHECK_EQ_INT(value, 7);
    MB_CHECK_EQ_INT(mb_slice_parse_hex(LIT("FfffFFFFffffffff"), &value), MB_OK);
    MB_CHECK(value == UINT64_MAX);
    MB_CHECK_EQ_INT(mb_slice_parse_hex(LIT("0000000000000000001a"), &value), MB_OK);
    MB_CHECK_EQ_INT(value, 26);
    for (int c = 0; c < 256; c++) {
        const char *digits = "0123456789abcdefABCDEF";
        const char *at = c == 0 ? NULL : strchr(digits, c);
        int want = at == NULL ? -1 : (int)(at - digits < 16 ? at - digits : at - digits - 6);
        MB_CHECK_EQ_INT(mb_ascii_hex_value((char)c), want);
    }
}
