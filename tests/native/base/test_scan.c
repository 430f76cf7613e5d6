/*
 * Every scan table that this processor can run, against definitions written out here, on random
 * bytes that end at an unreadable page.
 */
#include "base/scan.h"

#include "base/random.h"
#include "mbtest.h"

#include <stdlib.h>

enum { MAX_LEN = 300 };

static bool value_byte(unsigned char c) {
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static bool target_byte(unsigned char c) {
    return c > 0x20 && c < 0x7f;
}

static bool token_byte(unsigned char c) {
    return c != 0 && (strchr("!#$%&'*+-.^_`|~", c) != NULL || (c >= '0' && c <= '9') ||
                      (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
}

typedef struct scan_kind {
    bool (*belongs)(unsigned char c);
    size_t (*scan)(const char *at, size_t len);
} scan_kind;

static size_t stop_of(bool (*belongs)(unsigned char c), const char *at, size_t len) {
    size_t i = 0;
    while (i < len && belongs((unsigned char)at[i])) {
        i++;
    }
    return i;
}

static void check_stops(const mb_scan_ops *scan, const char *at, size_t len) {
    const scan_kind kinds[] = {
        {value_byte, scan->value}, {target_byte, scan->target}, {token_byte, scan->token}};
    for (size_t i = 0; i < 3; i++) {
        MB_CHECK_EQ_INT(kinds[i].scan(at, len), stop_of(kinds[i].belongs, at, len));
    }
    bool upper = len % 2 == 0;
    size_t stop = stop_of(token_byte, at, len);
    bool want = false;
    for (size_t i = 0; i < stop; i++) {
        want |= at[i] >= 'A' && at[i] <= 'Z';
    }
    MB_CHECK_EQ_INT(scan->token_case(at, len, &upper), stop);
    MB_CHECK_EQ_INT(upper, want);
}

MB_TEST(every_byte_is_in_the_right_classes) {
    for (size_t v = 0; mb_scan_variant(v) != NULL; v++) {
        for (int byte = 0; byte < 256; byte++) {
            for (size_t len = 1; len <= 70; len++) {
                char text[70];
                memset(text, 'a', sizeof(text));
                for (size_t at = 0; at<len; at += len> 40 ? 7 : 1) {
                    text[at] = (char)byte;
                    check_stops(mb_scan_variant(v), text, len);
                    text[at] = 'a';
                }
            }
        }
    }
}

/* MAX_LEN bytes that may be written, with an unreadable page behind them. */
static char *guarded_room(void) {
    static const char zeros[MAX_LEN];
    return (char *)(uintptr_t)mbtest_guard(zeros, MAX_LEN);
}

/* Mostly bytes that belong everywhere, so that stops come late, and some of all kinds. */
static char random_byte(mb_random *random, uint32_t rare) {
    if (mb_random_below(random, rare) == 0) {
        return (char)mb_random_below(random, 256);
    }
    return "abcxyzABZ09-_"[mb_random_below(random, 13)];
}

MB_TEST(stops_agree_on_random_bytes_that_end_at_an_unreadable_page) {
    mb_random random;
    mb_random_seed(&random, 7);
    char *readable = guarded_room();
    for (int round = 0; round < 20000; round++) {
        size_t len = mb_random_below(&random, MAX_LEN + 1);
        char *at = readable + MAX_LEN - len;
        uint32_t rare = 1 + mb_random_below(&random, 200);
        for (size_t i = 0; i < len; i++) {
            at[i] = random_byte(&random, rare);
        }
        for (size_t v = 0; mb_scan_variant(v) != NULL; v++) {
            check_stops(mb_scan_variant(v), at, len);
        }
    }
    mbtest_guard_free(readable, MAX_LEN);
}

MB_TEST(lower_changes_capitals_only_and_nothing_around_them) {
    mb_random random;
    mb_random_seed(&random, 8);
    for (size_t v = 0; mb_scan_variant(v) != NULL; v++) {
        for (size_t len = 0; len < MAX_LEN; len++) {
            char text[MAX_LEN + 2];
            char want[MAX_LEN + 2];
            for (size_t i = 0; i < sizeof(text); i++) {
                text[i] = (char)mb_random_below(&random, 256);
                bool capital = i >= 1 && i <= len && text[i] >= 'A' && text[i] <= 'Z';
                want[i] = capital ? (char)(text[i] + 'a' - 'A') : text[i];
            }
            mb_scan_variant(v)->lower(text + 1, len);
            MB_CHECK(memcmp(text, want, sizeof(text)) == 0);
        }
    }
}

static size_t naive_find(const char *at, size_t len, const char *needle, size_t needle_len) {
    for (size_t i = 0; i + needle_len <= len; i++) {
        if (memcmp(at + i, needle, needle_len) == 0) {
            return i;
        }
    }
    return MB_SCAN_NONE;
}

static size_t naive_count(const char *at, size_t len, const char *needle, size_t needle_len,
                          size_t *from) {
    size_t found = 0;
    size_t match;
    while (*from <= len &&
           (match = naive_find(at + *from, len - *from, needle, needle_len)) != MB_SCAN_NONE) {
        *from += match + needle_len;
        found++;
    }
    return found;
}

static void check_search(const mb_scan_ops *scan, const char *at, size_t len, const char *needle,
                         size_t needle_len, size_t from) {
    MB_CHECK_EQ_INT(scan->find(at, len, needle, needle_len),
                    naive_find(at, len, needle, needle_len));
    size_t end = from;
    size_t want_end = from;
    size_t want = naive_count(at, len, needle, needle_len, &want_end);
    MB_CHECK_EQ_INT(scan->count(at, len, needle, needle_len, &end), want);
    if (needle_len > 1) {
        MB_CHECK_EQ_INT(end, want_end);
    } else {
        MB_CHECK(end >= want_end && end <= len);
    }
}

MB_TEST(search_agrees_on_random_bytes_that_end_at_an_unreadable_page) {
    mb_random random;
    mb_random_seed(&random, 9);
    char *readable = guarded_room();
    for (int round = 0; round < 30000; round++) {
        size_t len = mb_random_below(&random, MAX_LEN + 1);
        char *at = readable + MAX_LEN - len;
        uint32_t letters = 1 + mb_random_below(&random, 3);
        for (size_t i = 0; i < len; i++) {
            at[i] = (char)('a' + mb_random_below(&random, letters));
        }
        char needle[24];
        size_t needle_len = 1 + mb_random_below(&random, sizeof(needle));
        for (size_t i = 0; i < needle_len; i++) {
            needle[i] = (char)('a' + mb_random_below(&random, letters));
        }
        const char *guarded = mbtest_guard(needle, needle_len);
        size_t from = mb_random_below(&random, (uint32_t)len + 1);
        for (size_t v = 0; mb_scan_variant(v) != NULL; v++) {
            check_search(mb_scan_variant(v), at, len, guarded, needle_len, from);
        }
        mbtest_guard_free(guarded, needle_len);
    }
    mbtest_guard_free(readable, MAX_LEN);
}

MB_TEST(long_needles_are_compared_in_full) {
    char text[200];
    memset(text, 'x', sizeof(text));
    for (size_t v = 0; mb_scan_variant(v) != NULL; v++) {
        for (size_t wrong = 0; wrong < 60; wrong++) {
            char needle[60];
            memset(needle, 'x', sizeof(needle));
            needle[wrong] = 'y';
            MB_CHECK(mb_scan_variant(v)->find(text, sizeof(text), needle, sizeof(needle)) ==
                     MB_SCAN_NONE);
            memcpy(text + 101, needle, sizeof(needle));
            MB_CHECK_EQ_INT(mb_scan_variant(v)->find(text, sizeof(text), needle, sizeof(needle)),
                            101);
            memset(text, 'x', sizeof(text));
        }
    }
}

MB_TEST(single_bytes_are_counted_beyond_the_width_of_a_sum) {
    size_t len = 100000;
    char *text = malloc(len);
    memset(text, 'e', len);
    for (size_t v = 0; mb_scan_variant(v) != NULL; v++) {
        size_t from = 3;
        MB_CHECK_EQ_INT(mb_scan_variant(v)->count(text, len, "e", 1, &from), len - 3);
        from = 0;
        MB_CHECK_EQ_INT(mb_scan_variant(v)->count(text, len, "f", 1, &from), 0);
    }
    free(text);
}

MB_TEST(needle_longer_than_the_text_is_not_found) {
    for (size_t v = 0; mb_scan_variant(v) != NULL; v++) {
        size_t from = 0;
        MB_CHECK(mb_scan_variant(v)->find("abc", 3, "abcd", 4) == MB_SCAN_NONE);
        MB_CHECK_EQ_INT(mb_scan_variant(v)->count("abc", 3, "abcd", 4, &from), 0);
        MB_CHECK_EQ_INT(mb_scan_variant(v)->count("abc", 0, "a", 1, &from), 0);
        MB_CHECK_EQ_INT(from, 0);
    }
}

MB_TEST(the_best_variant_is_selected_and_plain_is_last) {
    size_t count = 0;
    while (mb_scan_variant(count) != NULL) {
        count++;
    }
    MB_CHECK(mb_scan_select() == mb_scan_variant(0));
    MB_CHECK(mb_scan_variant(count - 1) == &mb__scan_plain);
#if defined(__aarch64__)
    MB_CHECK_EQ_INT(count, 2);
#endif
}
