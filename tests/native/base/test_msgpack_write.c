/*
 * msgpack: what is written is the shortest form and reads back; values as JSON.
 */
#include "base/msgpack.h"

#include "mbtest.h"

#include <math.h>

typedef struct fixture {
    mbtest_alloc *memory;
    mb_text text;
} fixture;

static void set_up(fixture *f, size_t fail_at) {
    f->memory = mbtest_failing_alloc(fail_at);
    mb_text_init(&f->text, &f->memory->allocator, SIZE_MAX);
}

static void tear_down(fixture *f) {
    mb_text_fini(&f->text);
    mbtest_alloc_free(f->memory);
}

/* How many bytes the head of what is in the text has, before `payload`; empties it. */
static void check_head(fixture *f, mb_slice want, size_t payload) {
    MB_CHECK_EQ_INT(f->text.status, MB_OK);
    MB_CHECK_EQ_INT(f->text.len, want.len + payload);
    MB_CHECK_EQ_SLICE(((mb_slice){f->text.ptr, want.len}), want);
    mb_text_clear(&f->text);
}

#define LIT(text) MB_SLICE_LIT(text)

MB_TEST(numbers_are_written_in_their_shortest_form) {
    fixture f;
    set_up(&f, 0);
    static const struct {
        int64_t value;
        mb_slice want;
    } cases[] = {
        {0, LIT("\x00")},
        {127, LIT("\x7f")},
        {128, LIT("\xcc\x80")},
        {255, LIT("\xcc\xff")},
        {256, LIT("\xcd\x01\x00")},
        {65536, LIT("\xce\x00\x01\x00\x00")},
        {4294967296, LIT("\xcf\x00\x00\x00\x01\x00\x00\x00\x00")},
        {-1, LIT("\xff")},
        {-32, LIT("\xe0")},
        {-33, LIT("\xd0\xdf")},
        {-128, LIT("\xd0\x80")},
        {-129, LIT("\xd1\xff\x7f")},
        {-32769, LIT("\xd2\xff\xff\x7f\xff")},
        {INT64_MIN, LIT("\xd3\x80\x00\x00\x00\x00\x00\x00\x00")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mb_msgpack_put_i64(&f.text, cases[i].value);
        check_head(&f, cases[i].want, 0);
    }
    mb_msgpack_put_nil(&f.text);
    mb_msgpack_put_bool(&f.text, true);
    mb_msgpack_put_bool(&f.text, false);
    mb_msgpack_put_double(&f.text, 1.5);
    check_head(&f, LIT("\xc0\xc3\xc2\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), 0);
    tear_down(&f);
}

MB_TEST(lengths_are_written_in_their_shortest_form) {
    static char bytes[70000];
    fixture f;
    set_up(&f, 0);
    static const struct {
        size_t len;
        mb_slice str, bin;
    } cases[] = {
        {0, LIT("\xa0"), LIT("\xc4\x00")},
        {31, LIT("\xbf"), LIT("\xc4\x1f")},
        {32, LIT("\xd9\x20"), LIT("\xc4\x20")},
        {256, LIT("\xda\x01\x00"), LIT("\xc5\x01\x00")},
        {65536, LIT("\xdb\x00\x01\x00\x00"), LIT("\xc6\x00\x01\x00\x00")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mb_msgpack_put_str(&f.text, (mb_slice){bytes, cases[i].len});
        check_head(&f, cases[i].str, cases[i].len);
        mb_msgpack_put_bin(&f.text, (mb_slice){bytes, cases[i].len});
        check_head(&f, cases[i].bin, cases[i].len);
    }
    mb_msgpack_put_array(&f.text, 15);
    mb_msgpack_put_array(&f.text, 16);
    mb_msgpack_put_array(&f.text, 65536);
    check_head(&f, LIT("\x9f\xdc\x00\x10\xdd\x00\x01\x00\x00"), 0);
    mb_msgpack_put_map(&f.text, 15);
    mb_msgpack_put_map(&f.text, 16);
    mb_msgpack_put_map(&f.text, 65536);
    check_head(&f, LIT("\x8f\xde\x00\x10\xdf\x00\x01\x00\x00"), 0);
    tear_down(&f);
}

static void check_json(mb_slice value, const char *want) {
    fixture f;
    set_up(&f, 0);
    MB_CHECK_EQ_INT(mb_msgpack_to_json(value, &f.text), MB_OK);
    MB_CHECK_EQ_SLICE(mb_text_view(&f.text), ((mb_slice){want, strlen(want)}));
    tear_down(&f);
}

MB_TEST(values_become_json) {
    check_json(LIT("\xc0"), "null");
    check_json(LIT("\xc3"), "true");
    check_json(LIT("\xff"), "-1");
    check_json(LIT("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615");
    check_json(LIT("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), "1.5");
    check_json(LIT("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), "\"NaN\"");
    check_json(LIT("\xca\xff\x80\x00\x00"), "\"-Infinity\"");
    check_json(LIT("\xa3\"\n\xff"), "\"\\\"\\n\xef\xbf\xbd\"");
    check_json(LIT("\xc4\x03\x00\x01\x02"), "\"AAEC\"");
    check_json(LIT("\xd4\x07x"), "\"eA==\"");
    check_json(LIT("\x90"), "[]");
    check_json(LIT("\x80"), "{}");
    check_json(LIT("\x83\xa1"
                   "a\x92\x01\x02\x05\x81\xc2\xc0\xca\x3f\xc0\x00\x00\xa0"),
               "{\"a\":[1,2],\"5\":{\"false\":null},\"1.5\":\"\"}");
}

MB_TEST(what_has_no_json_is_refused) {
    static const struct {
        mb_slice value;
        int want;
    } cases[] = {
        {LIT(""), MB_EPROTO},
        {LIT("\x92\x01"), MB_EPROTO},
        {LIT("\x01\x02"), MB_EPROTO},
        {LIT("\x81\xa1x"), MB_EPROTO},
        {LIT("\x81\x90\x01"), MB_EINVAL},
        {LIT("\x81\x80\x01"), MB_EINVAL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fixture f;
        set_up(&f, 0);
        MB_CHECK_EQ_INT(mb_msgpack_to_json(cases[i].value, &f.text), cases[i].want);
        tear_down(&f);
    }
}

MB_TEST(json_without_memory_says_so) {
    for (size_t n = 1; n <= 2; n++) {
        fixture f;
        set_up(&f, n);
        mb_text value;
        mb_text_init(&value, &f.memory->allocator, SIZE_MAX);
        char bytes[300] = {0};
        mb_msgpack_put_bin(&value, (mb_slice){bytes, sizeof(bytes)});
        int result = value.status;
        if (result == MB_OK) {
            result = mb_msgpack_to_json(mb_text_view(&value), &f.text);
        }
        MB_CHECK_EQ_INT(result, MB_ENOMEM);
        mb_text_fini(&value);
        tear_down(&f);
    }
}
