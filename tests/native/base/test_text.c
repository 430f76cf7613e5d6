/*
 * Text: numbers, limits, memory that runs out, JSON strings.
 */
#include "base/text.h"

#include "base/random.h"
#include "mbtest.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct fixture {
    mbtest_alloc *memory;
    mb_text text;
} fixture;

static void set_up(fixture *f) {
    f->memory = mbtest_failing_alloc(0);
    mb_text_init(&f->text, &f->memory->allocator, SIZE_MAX);
}

static void tear_down(fixture *f) {
    mb_text_fini(&f->text);
    mbtest_alloc_free(f->memory);
}

static void check(fixture *f, const char *want) {
    MB_CHECK_EQ_INT(f->text.status, MB_OK);
    MB_CHECK_EQ_SLICE(mb_text_view(&f->text), ((mb_slice){want, strlen(want)}));
    mb_text_clear(&f->text);
}

MB_TEST(pieces_are_joined_in_order) {
    fixture f;
    set_up(&f);
    MB_CHECK_EQ_LIT(mb_text_view(&f.text), "");
    mb_text_append(&f.text, (mb_slice){NULL, 0});
    mb_text_c(&f.text, "GET ");
    mb_text_append(&f.text, MB_SLICE_LIT("/path"));
    mb_text_byte(&f.text, '\n');
    check(&f, "GET /path\n");
    mb_text_c(&f.text, "abcdef");
    mb_text_truncate(&f.text, 3);
    mb_text_truncate(&f.text, 9);
    check(&f, "abc");
    tear_down(&f);
}

MB_TEST(integers_are_written_at_both_ends_of_their_range) {
    fixture f;
    set_up(&f);
    static const uint64_t values[] = {0, 9, 10, 99, 100, 101, 65535, 1000000, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char want[32];
        mb_text_u64(&f.text, values[i]);
        snprintf(want, sizeof(want), "%llu", (unsigned long long)values[i]);
        check(&f, want);
        mb_text_i64(&f.text, (int64_t)values[i]);
        snprintf(want, sizeof(want), "%lld", (long long)values[i]);
        check(&f, want);
        mb_text_hex(&f.text, values[i]);
        snprintf(want, sizeof(want), "%llx", (unsigned long long)values[i]);
        check(&f, want);
    }
    mb_text_i64(&f.text, INT64_MIN);
    check(&f, "-9223372036854775808");
    mb_text_u64_padded(&f.text, 7, 3);
    mb_text_u64_padded(&f.text, 1234, 3);
    mb_text_u64_padded(&f.text, 0, 0);
    check(&f, "00712340");
    mb_text_u64_padded(&f.text, 1, 99);
    check(&f, "00000000000000000001");
    tear_down(&f);
}

MB_TEST(doubles_read_back_as_the_same_number) {
    fixture f;
    set_up(&f);
    static const char *const want[] = {"0", "0.1", "-1.5", "100", "1e+300", "0.30000000000000004"};
    static const double values[] = {0, 0.1, -1.5, 100, 1e300, 0.1 + 0.2};
    for (size_t i = 0; i < 6; i++) {
        mb_text_double(&f.text, values[i]);
        check(&f, want[i]);
    }
    mb_random random;
    mb_random_seed(&random, 4);
    for (int i = 0; i < 2000; i++) {
        uint64_t bits = mb_random_u64(&random);
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (isfinite(value)) {
            mb_text_double(&f.text, value);
            mb_text_byte(&f.text, '\0');
            MB_CHECK(strtod(f.text.ptr, NULL) == value);
            mb_text_clear(&f.text);
        }
    }
    mb_text_double(&f.text, NAN);
    mb_text_double(&f.text, INFINITY);
    mb_text_double(&f.text, -INFINITY);
    check(&f, "naninf-inf");
    tear_down(&f);
}

MB_TEST(limit_cuts_and_sticks) {
    fixture f;
    set_up(&f);
    f.text.limit = 8;
    mb_text_c(&f.text, "12345");
    mb_text_c(&f.text, "67890");
    MB_CHECK_EQ_INT(f.text.status, MB_ELIMIT);
    mb_text_c(&f.text, "x");
    mb_text_u64(&f.text, 1);
    MB_CHECK(mb_text_room(&f.text, 1) == NULL);
    MB_CHECK_EQ_LIT(mb_text_view(&f.text), "12345678");
    MB_CHECK(f.text.capacity <= 8);
    mb_text_clear(&f.text);
    mb_text_c(&f.text, "12345678");
    check(&f, "12345678");
    MB_CHECK(mb_text_room(&f.text, 9) == NULL);
    MB_CHECK_EQ_INT(f.text.status, MB_ELIMIT);
    tear_down(&f);
}

MB_TEST(format_writes_short_and_long_lines) {
    fixture f;
    set_up(&f);
    mb_slice name = MB_SLICE_LIT("name");
    mb_slice none = {NULL, 0};
    mb_text_format(&f.text, "%.*s=%d%.*s", MB_TEXT_ARG(name), 5, MB_TEXT_ARG(none));
    check(&f, "name=5");
    char filler[700];
    memset(filler, 'x', sizeof(filler));
    mb_text_format(&f.text, "<%.*s>", 700, filler);
    MB_CHECK_EQ_INT(f.text.len, 702);
    MB_CHECK(f.text.ptr[701] == '>');
    mb_text_c(&f.text, "!");
    MB_CHECK(f.text.ptr[702] == '!');
    tear_down(&f);
}

MB_TEST(text_without_memory_keeps_what_it_had) {
    for (size_t n = 1; n <= 4; n++) {
        mbtest_alloc *memory = mbtest_failing_alloc(n);
        mb_text text;
        mb_text_init(&text, &memory->allocator, SIZE_MAX);
        for (int i = 0; i < 300; i++) {
            mb_text_c(&text, "0123456789");
        }
        MB_CHECK_EQ_INT(text.status, MB_ENOMEM);
        for (size_t i = 0; i < text.len; i++) {
            MB_CHECK(text.ptr[i] == (char)('0' + i % 10));
        }
        MB_CHECK_EQ_INT(text.len % 10, 0);
        mb_text_clear(&text);
        mb_text_c(&text, "again");
        MB_CHECK_EQ_LIT(mb_text_view(&text), "again");
        mb_text_fini(&text);
        mbtest_alloc_free(memory);
    }
}

static void check_json(mb_slice string, const char *want) {
    fixture f;
    set_up(&f);
    const char *guarded = mbtest_guard(string.ptr, string.len);
    mb_text_json(&f.text, (mb_slice){guarded, string.len});
    mbtest_guard_free(guarded, string.len);
    check(&f, want);
    tear_down(&f);
}

#define REPLACED "\xef\xbf\xbd"

MB_TEST(json_escapes_what_must_be_and_nothing_else) {
    check_json(MB_SLICE_LIT(""), "\"\"");
    check_json(MB_SLICE_LIT("plain /text"), "\"plain /text\"");
    check_json(MB_SLICE_LIT("a\"b\\c"), "\"a\\\"b\\\\c\"");
    check_json(MB_SLICE_LIT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"");
    check_json(MB_SLICE_LIT("\0\x1f\x7f"), "\"\\u0000\\u001f\\u007f\"");
}

MB_TEST(json_keeps_utf8_and_replaces_the_rest) {
    check_json(MB_SLICE_LIT("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x99\x82"),
               "\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x99\x82\"");
    check_json(MB_SLICE_LIT("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"),
               "\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"");
    check_json(MB_SLICE_LIT("a\xff"), "\"a" REPLACED "\"");
    check_json(MB_SLICE_LIT("\xc3"), "\"" REPLACED "\"");
    check_json(MB_SLICE_LIT("\xc0\x80"), "\"" REPLACED REPLACED "\"");
    check_json(MB_SLICE_LIT("\xe0\x80\x80"), "\"" REPLACED REPLACED REPLACED "\"");
    check_json(MB_SLICE_LIT("\xed\xa0\x80"), "\"" REPLACED REPLACED REPLACED "\"");
    check_json(MB_SLICE_LIT("\xf0\x80\x80\x80"), "\"" REPLACED REPLACED REPLACED REPLACED "\"");
    check_json(MB_SLICE_LIT("\xf4\x90\x80\x80"), "\"" REPLACED REPLACED REPLACED REPLACED "\"");
    check_json(MB_SLICE_LIT("\xe2\x82x"), "\"" REPLACED REPLACED "x\"");
}
