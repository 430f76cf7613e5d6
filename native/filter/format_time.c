/*
 * Times of access logs: strftime in UTC, with fractions of a second.
 *
 * %1f to %9f are so many digits of the fraction, %f all nine; %E3S are seconds with three digits,
 * %E*S with as many as are not zero; %s is seconds since 1970. All else is strftime's. Called by
 * format_operators.c for START_TIME and EMIT_TIME.
 * Source: Envoy's documentation of START_TIME; answers of Envoy 1.40.
 */
#include "base/slice.h"
#include "filter/format_internal.h"

#include <time.h>

typedef struct moment {
    struct tm tm;
    uint64_t seconds;
    uint32_t nanoseconds;
} moment;

static void append_fraction(const moment *at, unsigned digits, mb_text *out) {
    uint32_t value = at->nanoseconds;
    for (unsigned i = digits; i < 9; i++) {
        value /= 10;
    }
    mb_text_u64_padded(out, value, digits);
}

/* Seconds with `digits` of the fraction; 10: as many as are needed. */
static void append_seconds(const moment *at, unsigned digits, mb_text *out) {
    mb_text_u64_padded(out, (uint64_t)at->tm.tm_sec, 2);
    if (digits > 9) {
        uint32_t rest = at->nanoseconds;
        digits = rest == 0 ? 0 : 9;
        for (; rest != 0 && rest % 10 == 0; rest /= 10) {
            digits--;
        }
    }
    if (digits > 0) {
        mb_text_byte(out, '.');
        append_fraction(at, digits, out);
    }
}

static void append_default(const moment *at, mb_text *out) {
    mb_text_u64_padded(out, (uint64_t)at->tm.tm_year + 1900, 4);
    mb_text_byte(out, '-');
    mb_text_u64_padded(out, (uint64_t)at->tm.tm_mon + 1, 2);
    mb_text_byte(out, '-');
    mb_text_u64_padded(out, (uint64_t)at->tm.tm_mday, 2);
    mb_text_byte(out, 'T');
    mb_text_u64_padded(out, (uint64_t)at->tm.tm_hour, 2);
    mb_text_byte(out, ':');
    mb_text_u64_padded(out, (uint64_t)at->tm.tm_min, 2);
    mb_text_byte(out, ':');
    append_seconds(at, 3, out);
    mb_text_byte(out, 'Z');
}

/* One of our own conversions at the front of `rest` (behind the '%'). Returns its length, or 0
 * when it is strftime's. */
static size_t append_own(const moment *at, mb_slice rest, mb_text *out) {
    size_t used = rest.len > 0 && rest.ptr[0] == 'E' ? 1 : 0;
    bool extended = used == 1;
    unsigned digits = 9;
    bool given = false;
    if (rest.len > used && rest.ptr[used] >= '1' && rest.ptr[used] <= '9') {
        digits = (unsigned)(rest.ptr[used++] - '0');
        given = true;
    } else if (extended && rest.len > used && rest.ptr[used] == '*') {
        digits = 10;
        given = true;
        used++;
    }
    char conversion = rest.len > used ? rest.ptr[used] : '\0';
    if (conversion == 'f') {
        append_fraction(at, digits > 9 ? 9 : digits, out);
    } else if (conversion == 'S' && extended && given) {
        append_seconds(at, digits, out);
    } else if (conversion == 's' && !extended && !given) {
        mb_text_u64(out, at->seconds);
    } else {
        return 0;
    }
    return used + 1;
}

/* One conversion of strftime at the front of `rest` (behind the '%'); returns its length. */
static size_t append_strftime(const moment *at, mb_slice rest, mb_text *out) {
    char pattern[8] = "%";
    char made[128];
    size_t used = 0;
    /* A flag, a width or a modifier before the letter. */
    while (used < 4 && used + 1 < rest.len && strchr("-_0^#EO123456789", rest.ptr[used]) != NULL) {
        used++;
    }
    if (rest.len == 0) {
        mb_text_byte(out, '%');
        return 0;
    }
    memcpy(pattern + 1, rest.ptr, used + 1);
    size_t length = strftime(made, sizeof(made), pattern, &at->tm);
    mb_text_append(out, (mb_slice){made, length});
    return used + 1;
}

void mb__format_time(uint64_t wall_us, mb_slice format, mb_text *out) {
    moment at = {.seconds = wall_us / 1000000, .nanoseconds = (uint32_t)(wall_us % 1000000) * 1000};
    time_t seconds = (time_t)at.seconds;
    if (gmtime_r(&seconds, &at.tm) == NULL) {
        return;
    }
    at.tm.tm_zone = "UTC"; /* glibc says GMT */
    if (format.len == 0) {
        append_default(&at, out);
        return;
    }
    while (format.len > 0) {
        mb_slice plain;
        bool more = mb_slice_split(format, '%', &plain, &format);
        mb_text_append(out, plain);
        if (!more) {
            break;
        }
        size_t used = append_own(&at, format, out);
        used = used > 0 ? used : append_strftime(&at, format, out);
        format = mb_slice_skip(format, used);
    }
}
