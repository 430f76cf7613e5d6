/*
 * msgpack: every form of the specification, cut at every byte, and what a hostile peer would send.
 */
#include "base/msgpack.h"

#include "base/random.h"
#include "mbtest.h"

#include <math.h>

#define LIT(text) MB_SLICE_LIT(text)

/* Reads one token that must be all of `bytes`; every shorter prefix must be refused. */
static mb_msgpack_token only_token(mb_slice bytes) {
    mb_msgpack_token token = {0};
    for (size_t len = 0; len <= bytes.len; len++) {
        const char *guarded = mbtest_guard(bytes.ptr, len);
        mb_msgpack cursor = mb_msgpack_read((mb_slice){guarded, len});
        int want = len == bytes.len ? MB_OK : len == 0 ? MB_ENOTFOUND : MB_EPROTO;
        MB_CHECK_EQ_INT(mb_msgpack_next(&cursor, &token), want);
        MB_CHECK(cursor.at == (want == MB_OK ? guarded + len : guarded));
        if (want == MB_OK && token.bytes.len > 0) {
            token.bytes.ptr = bytes.ptr + (token.bytes.ptr - guarded);
        }
        mbtest_guard_free(guarded, len);
    }
    return token;
}

static void check_uint(mb_slice bytes, uint64_t want) {
    mb_msgpack_token token = only_token(bytes);
    MB_CHECK_EQ_INT(token.type, MB_MSGPACK_UINT);
    MB_CHECK(token.uinteger == want);
}

static void check_int(mb_slice bytes, int64_t want) {
    mb_msgpack_token token = only_token(bytes);
    MB_CHECK_EQ_INT(token.type, MB_MSGPACK_INT);
    MB_CHECK_EQ_INT(token.integer, want);
}

MB_TEST(integers_of_every_form) {
    check_uint(LIT("\x00"), 0);
    check_uint(LIT("\x7f"), 127);
    check_uint(LIT("\xcc\xff"), 255);
    check_uint(LIT("\xcd\x01\x02"), 258);
    check_uint(LIT("\xce\xff\xff\xff\xff"), UINT32_MAX);
    check_uint(LIT("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), UINT64_MAX);
    check_uint(LIT("\xd0\x7f"), 127);
    check_uint(LIT("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff"), INT64_MAX);
    check_int(LIT("\xff"), -1);
    check_int(LIT("\xe0"), -32);
    check_int(LIT("\xd0\x80"), -128);
    check_int(LIT("\xd1\x80\x00"), INT16_MIN);
    check_int(LIT("\xd2\x80\x00\x00\x00"), INT32_MIN);
    check_int(LIT("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), INT64_MIN);
}

MB_TEST(other_scalars_of_every_form) {
    MB_CHECK_EQ_INT(only_token(LIT("\xc0")).type, MB_MSGPACK_NIL);
    MB_CHECK(only_token(LIT("\xc3")).boolean);
    MB_CHECK(!only_token(LIT("\xc2")).boolean);
    MB_CHECK_EQ_INT(only_token(LIT("\xc2")).type, MB_MSGPACK_BOOL);
    MB_CHECK(only_token(LIT("\xca\x3f\xc0\x00\x00")).number == 1.5);
    MB_CHECK(only_token(LIT("\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00")).number == -1.5);
    mb_msgpack cursor = mb_msgpack_read(LIT("\xc1"));
    mb_msgpack_token token;
    MB_CHECK_EQ_INT(mb_msgpack_next(&cursor, &token), MB_EPROTO);
}

static void check_bytes(mb_slice bytes, mb_msgpack_type type, mb_slice want) {
    mb_msgpack_token token = only_token(bytes);
    MB_CHECK_EQ_INT(token.type, type);
    MB_CHECK_EQ_SLICE(token.bytes, want);
}

MB_TEST(strings_bytes_and_extensions_of_every_form) {
    check_bytes(LIT("\xa0"), MB_MSGPACK_STR, LIT(""));
    check_bytes(LIT("\xa2hi"), MB_MSGPACK_STR, LIT("hi"));
    check_bytes(LIT("\xd9\x02hi"), MB_MSGPACK_STR, LIT("hi"));
    check_bytes(LIT("\xda\x00\x02hi"), MB_MSGPACK_STR, LIT("hi"));
    check_bytes(LIT("\xdb\x00\x00\x00\x02hi"), MB_MSGPACK_STR, LIT("hi"));
    check_bytes(LIT("\xc4\x01x"), MB_MSGPACK_BIN, LIT("x"));
    check_bytes(LIT("\xc5\x00\x01x"), MB_MSGPACK_BIN, LIT("x"));
    check_bytes(LIT("\xc6\x00\x00\x00\x01x"), MB_MSGPACK_BIN, LIT("x"));
    check_bytes(LIT("\xd4\xffx"), MB_MSGPACK_EXT, LIT("x"));
    check_bytes(LIT("\xd8\x05"
                    "0123456789abcdef"),
                MB_MSGPACK_EXT, LIT("0123456789abcdef"));
    check_bytes(LIT("\xc7\x02\x05xy"), MB_MSGPACK_EXT, LIT("xy"));
    check_bytes(LIT("\xc8\x00\x02\x05xy"), MB_MSGPACK_EXT, LIT("xy"));
    check_bytes(LIT("\xc9\x00\x00\x00\x02\x05xy"), MB_MSGPACK_EXT, LIT("xy"));
    MB_CHECK_EQ_INT(only_token(LIT("\xd4\xffx")).ext, -1);
}

MB_TEST(containers_give_their_counts) {
    static const mb_slice arrays[] = {LIT("\x92"), LIT("\xdc\x00\x02"),
                                      LIT("\xdd\x00\x00\x00\x02")};
    static const mb_slice maps[] = {LIT("\x82"), LIT("\xde\x00\x02"), LIT("\xdf\x00\x00\x00\x02")};
    for (int i = 0; i < 3; i++) {
        MB_CHECK_EQ_INT(only_token(arrays[i]).type, MB_MSGPACK_ARRAY);
        MB_CHECK_EQ_INT(only_token(arrays[i]).count, 2);
        MB_CHECK_EQ_INT(only_token(maps[i]).type, MB_MSGPACK_MAP);
        MB_CHECK_EQ_INT(only_token(maps[i]).count, 2);
    }
}

/* {"a": [1, {"b": nil}], 5: "five", "a": 2, b"key": true} */
#define DOCUMENT                                                                                   \
    "\x84\xa1"                                                                                     \
    "a\x92\x01\x81\xa1"                                                                            \
    "b\xc0\x05\xa4"                                                                                \
    "five\xa1"                                                                                     \
    "a\x02\xc4\x03key\xc3"

MB_TEST(whole_values_are_skipped_and_cut_ones_refused) {
    mb_slice all = LIT(DOCUMENT);
    mb_msgpack cursor = mb_msgpack_read(all);
    mb_slice value;
    MB_CHECK_EQ_INT(mb_msgpack_value(&cursor, &value), MB_OK);
    MB_CHECK_EQ_SLICE(value, all);
    MB_CHECK(mb_msgpack_at_end(&cursor));
    MB_CHECK_EQ_INT(mb_msgpack_skip(&cursor), MB_ENOTFOUND);
    for (size_t len = 1; len < all.len; len++) {
        const char *guarded = mbtest_guard(all.ptr, len);
        cursor = mb_msgpack_read((mb_slice){guarded, len});
        MB_CHECK_EQ_INT(mb_msgpack_skip(&cursor), MB_EPROTO);
        MB_CHECK(cursor.at == guarded);
        MB_CHECK_EQ_INT(mb_msgpack_check((mb_slice){guarded, len}, 64, SIZE_MAX), MB_EPROTO);
        mbtest_guard_free(guarded, len);
    }
}

MB_TEST(keys_are_found_in_maps_first_one_first) {
    mb_slice all = LIT(DOCUMENT);
    mb_slice value;
    MB_CHECK_EQ_INT(mb_msgpack_find(all, LIT("a"), &value), MB_OK);
    MB_CHECK_EQ_LIT(value, "\x92\x01\x81\xa1"
                           "b\xc0");
    MB_CHECK_EQ_INT(mb_msgpack_find(all, LIT("key"), &value), MB_OK);
    MB_CHECK_EQ_LIT(value, "\xc3");
    MB_CHECK_EQ_INT(mb_msgpack_find(all, LIT("b"), &value), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_msgpack_find(LIT("\x80"), LIT("b"), &value), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_msgpack_find(LIT("\x93\x01\x02\x03"), LIT("b"), &value), MB_EINVAL);
    MB_CHECK_EQ_INT(mb_msgpack_find(LIT(""), LIT("b"), &value), MB_EPROTO);
    for (size_t len = 1; len < all.len; len++) {
        MB_CHECK_EQ_INT(mb_msgpack_find((mb_slice){all.ptr, len}, LIT("none"), &value), MB_EPROTO);
    }
}

MB_TEST(check_bounds_depth_and_items) {
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT("\x01"), 0, 1), MB_OK);
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT("\x01"), 0, 0), MB_ELIMIT);
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT("\x90"), 0, 1), MB_ELIMIT);
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT("\x91\x90"), 2, 2), MB_OK);
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT("\x91\x90"), 1, 2), MB_ELIMIT);
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT(DOCUMENT), 3, 13), MB_OK);
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT(DOCUMENT), 2, 13), MB_ELIMIT);
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT(DOCUMENT), 3, 12), MB_ELIMIT);
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT("\x01\x02"), 3, 9), MB_EPROTO);
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT(""), 3, 9), MB_EPROTO);
    MB_CHECK_EQ_INT(mb_msgpack_check(LIT("\x91\xc1"), 3, 9), MB_EPROTO);
}

MB_TEST(nesting_beyond_the_fixed_depth_is_refused_whatever_is_allowed) {
    char deep[200];
    memset(deep, '\x91', sizeof(deep));
    for (size_t len = 1; len < sizeof(deep); len++) {
        mb_slice bytes = {deep, len};
        deep[len - 1] = '\xc0';
        int want = len - 1 <= MB_MSGPACK_DEPTH_MAX ? MB_OK : MB_ELIMIT;
        MB_CHECK_EQ_INT(mb_msgpack_check(bytes, 1000, SIZE_MAX), want);
        mbtest_alloc *memory = mbtest_failing_alloc(0);
        mb_text json;
        mb_text_init(&json, &memory->allocator, SIZE_MAX);
        MB_CHECK_EQ_INT(mb_msgpack_to_json(bytes, &json), want);
        mb_text_fini(&json);
        mbtest_alloc_free(memory);
        deep[len - 1] = '\x91';
    }
}

MB_TEST(announced_counts_beyond_the_input_end_at_once) {
    static const mb_slice bombs[] = {
        LIT("\xdd\xff\xff\xff\xff"),
        LIT("\xdf\xff\xff\xff\xff"),
        LIT("\xdd\xff\xff\xff\xff\xdf\xff\xff\xff\xff"),
        LIT("\xc6\xff\xff\xff\xff"),
        LIT("\xdb\xff\xff\xff\xff"),
        LIT("\xc9\xff\xff\xff\xff\x01"),
    };
    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
        mb_msgpack cursor = mb_msgpack_read(bombs[i]);
        MB_CHECK_EQ_INT(mb_msgpack_skip(&cursor), MB_EPROTO);
        MB_CHECK_EQ_INT(mb_msgpack_check(bombs[i], 10, SIZE_MAX), MB_EPROTO);
    }
}

MB_TEST(typed_reads_leave_the_cursor_when_the_type_differs) {
    mb_slice bytes = LIT("\xff\x05\xc3\xca\x3f\xc0\x00\x00\xa1x\xc4\x01y\x91\x80");
    mb_msgpack cursor = mb_msgpack_read(bytes);
    uint64_t u = 0;
    int64_t i = 0;
    double d = 0;
    bool b = false;
    mb_slice s;
    uint32_t count;
    MB_CHECK_EQ_INT(mb_msgpack_get_u64(&cursor, &u), MB_EINVAL);
    MB_CHECK_EQ_INT(mb_msgpack_get_bool(&cursor, &b), MB_EINVAL);
    MB_CHECK(cursor.at == bytes.ptr);
    MB_CHECK(mb_msgpack_get_i64(&cursor, &i) == MB_OK && i == -1);
    mb_msgpack again = cursor;
    MB_CHECK(mb_msgpack_get_double(&again, &d) == MB_OK && d == 5);
    MB_CHECK(mb_msgpack_get_u64(&cursor, &u) == MB_OK && u == 5);
    MB_CHECK_EQ_INT(mb_msgpack_get_str(&cursor, &s), MB_EINVAL);
    MB_CHECK(mb_msgpack_get_bool(&cursor, &b) == MB_OK && b);
    MB_CHECK_EQ_INT(mb_msgpack_get_i64(&cursor, &i), MB_EINVAL);
    MB_CHECK(mb_msgpack_get_double(&cursor, &d) == MB_OK && d == 1.5);
    MB_CHECK_EQ_INT(mb_msgpack_get_double(&cursor, &d), MB_EINVAL);
    MB_CHECK_EQ_INT(mb_msgpack_get_str(&cursor, &s), MB_OK);
    MB_CHECK_EQ_LIT(s, "x");
    MB_CHECK_EQ_INT(mb_msgpack_get_str(&cursor, &s), MB_OK);
    MB_CHECK_EQ_LIT(s, "y");
    MB_CHECK_EQ_INT(mb_msgpack_get_map(&cursor, &count), MB_EINVAL);
    MB_CHECK(mb_msgpack_get_array(&cursor, &count) == MB_OK && count == 1);
    MB_CHECK(mb_msgpack_get_map(&cursor, &count) == MB_OK && count == 0);
    MB_CHECK_EQ_INT(mb_msgpack_get_map(&cursor, &count), MB_ENOTFOUND);
    cursor = mb_msgpack_read(LIT("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"));
    MB_CHECK_EQ_INT(mb_msgpack_get_i64(&cursor, &i), MB_EINVAL);
}

MB_TEST(random_bytes_never_lead_outside_their_end) {
    mb_random random;
    mb_random_seed(&random, 11);
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_text json;
    mb_text_init(&json, &memory->allocator, 1u << 20);
    for (int round = 0; round < 20000; round++) {
        char bytes[40];
        size_t len = mb_random_below(&random, sizeof(bytes));
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (char)(mb_random_below(&random, 3) == 0 ? mb_random_below(&random, 16)
                                                               : mb_random_below(&random, 256));
        }
        const char *guarded = mbtest_guard(bytes, len);
        mb_slice all = {guarded, len};
        mb_msgpack cursor = mb_msgpack_read(all);
        mb_slice value;
        int checked = mb_msgpack_check(all, 64, SIZE_MAX);
        int valued = mb_msgpack_value(&cursor, &value);
        MB_CHECK(checked != MB_OK || (valued == MB_OK && value.len == len));
        int written = mb_msgpack_to_json(all, &json);
        MB_CHECK(written == MB_EINVAL || (written == MB_OK) == (checked == MB_OK));
        mb_msgpack_find(all, LIT("a"), &value);
        mb_text_clear(&json);
        mbtest_guard_free(guarded, len);
    }
    mb_text_fini(&json);
    mbtest_alloc_free(memory);
}
