/* The inline vectors against the scan tables' plain C, at every length and at a guard page. */
#include "http/h1_simd.h"

#include "base/scan.h"
#include "mbtest.h"

static unsigned state = 1;

static unsigned random_number(void) {
    state = state * 1103515245u + 12345u;
    return state >> 16;
}

MB_TEST(text_stops_where_the_scan_table_stops) {
    char bytes[70];

    for (size_t len = 0; len <= sizeof bytes; len++) {
        for (int c = 0; c < 256; c++) {
            size_t at = len == 0 ? 0 : random_number() % len;
            const char *guarded;

            memset(bytes, 'x', sizeof bytes);
            bytes[at] = (char)c;
            bytes[len == 0 ? 0 : random_number() % len] = (char)random_number();
            guarded = mbtest_guard(bytes, len);
            MB_CHECK_EQ_INT(mb__text_length(guarded, len), mb__scan_plain.value(guarded, len));
            mbtest_guard_free(guarded, len);
        }
    }
}

static size_t lower_plain(char *at, size_t len) {
    size_t i = 0;

    while (i < len && (at[i] == '-' || (at[i] >= '0' && at[i] <= '9') ||
                       (at[i] >= 'a' && at[i] <= 'z') || (at[i] >= 'A' && at[i] <= 'Z'))) {
        i++;
    }
    mb__scan_plain.lower(at, i);
    return i;
}

MB_TEST(names_are_made_lower_case_and_nothing_behind_them) {
    char bytes[70], want[70];

    for (size_t len = 0; len <= sizeof bytes; len++) {
        for (int c = 0; c < 256; c++) {
            size_t expected;
            char *guarded;

            memset(bytes, 'X', sizeof bytes);
            bytes[len == 0 ? 0 : random_number() % len] = (char)c;
            memcpy(want, bytes, sizeof bytes);
            expected = lower_plain(want, len);
            guarded = (char *)(uintptr_t)mbtest_guard(bytes, len);
            MB_CHECK_EQ_INT(mb__name_lower(guarded, len), expected);
            MB_CHECK(memcmp(guarded, want, len) == 0);
            mbtest_guard_free(guarded, len);
        }
    }
}
