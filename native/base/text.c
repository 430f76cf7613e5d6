/*
 * Text: growth and numbers. See text.h; JSON strings are in text_json.c.
 */
#include "base/text.h"

#include "base/alloc.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAPACITY 256u

void mb_text_fini(mb_text *text) {
    mb_free(text->allocator, text->ptr, text->capacity);
    *text = (mb_text){.allocator = text->allocator, .limit = text->limit};
}

static void fail(mb_text *text, int status) {
    if (text->status == MB_OK) {
        text->status = status;
    }
}

/* Makes the capacity at least `needed`, which is within the limit. */
static bool grow(mb_text *text, size_t needed) {
    size_t capacity = text->capacity > 0 ? text->capacity : FIRST_CAPACITY;
    while (capacity < needed) {
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    }
    if (capacity > text->limit) {
        capacity = text->limit;
    }
    char *ptr = text->ptr == NULL ? mb_alloc(text->allocator, capacity)
                                  : mb_resize(text->allocator, text->ptr, text->capacity, capacity);
    if (ptr == NULL) {
        fail(text, MB_ENOMEM);
        return false;
    }
    text->ptr = ptr;
    text->capacity = capacity;
    return true;
}

char *mb_text_room(mb_text *text, size_t bytes) {
    if (text->status != MB_OK) {
        return NULL;
    }
    if (bytes > text->limit - text->len) {
        fail(text, MB_ELIMIT);
        return NULL;
    }
    if (bytes > text->capacity - text->len || text->ptr == NULL) {
        if (!grow(text, bytes > 0 ? text->len + bytes : 1)) {
            return NULL;
        }
    }
    return text->ptr + text->len;
}

void mb__text_append_slow(mb_text *text, const char *ptr, size_t len) {
    if (text->status != MB_OK || len == 0) {
        return;
    }
    /* What fits is kept: a line that was cut still says something. */
    size_t left = text->limit - text->len;
    size_t fits = len < left ? len : left;
    char *at = fits > 0 ? mb_text_room(text, fits) : NULL;
    if (at != NULL) {
        memcpy(at, ptr, fits);
        text->len += fits;
    }
    if (fits < len) {
        fail(text, MB_ELIMIT);
    }
}

/* Writes the digits so that they end at `end`; returns where they begin. */
static char *write_digits(char *end, uint64_t value) {
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    while (value >= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10) {
        end -= 2;
        memcpy(end, pairs + 2 * value, 2);
    } else {
        *--end = (char)('0' + value);
    }
    return end;
}

void mb_text_u64(mb_text *text, uint64_t value) {
    char digits[20];
    char *end = digits + sizeof(digits);
    char *at = write_digits(end, value);
    mb_text_append(text, (mb_slice){at, (size_t)(end - at)});
}

void mb_text_i64(mb_text *text, int64_t value) {
    char digits[21];
    char *end = digits + sizeof(digits);
    uint64_t magnitude = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
    char *at = write_digits(end, magnitude);
    if (value < 0) {
        *--at = '-';
    }
    mb_text_append(text, (mb_slice){at, (size_t)(end - at)});
}

void mb_text_u64_padded(mb_text *text, uint64_t value, unsigned digits) {
    char padded[40];
    char *end = padded + sizeof(padded);
    char *at = write_digits(end, value);
    memset(padded, '0', (size_t)(at - padded));
    if (digits > 20) {
        digits = 20;
    }
    if ((unsigned)(end - at) < digits) {
        at = end - digits;
    }
    mb_text_append(text, (mb_slice){at, (size_t)(end - at)});
}

void mb_text_hex(mb_text *text, uint64_t value) {
    char digits[16];
    char *end = digits + sizeof(digits);
    char *at = end;
    do {
        *--at = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value != 0);
    mb_text_append(text, (mb_slice){at, (size_t)(end - at)});
}

void mb_text_double(mb_text *text, double value) {
    if (isnan(value) || isinf(value)) {
        mb_text_c(text, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    for (const char *at = digits; *at != '\0'; at++) {
        bool plain = (*at >= '0' && *at <= '9') || *at == '-' || *at == '+' || *at == 'e';
        if (plain) {
            mb_text_byte(text, *at);
        } else if (at == digits || (at[-1] >= '0' && at[-1] <= '9')) {
            /* The decimal point of the locale, which may be several bytes. */
            mb_text_byte(text, '.');
        }
    }
}

void mb_text_format(mb_text *text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char small[256];
    int len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (len < 0) {
        fail(text, MB_ELIMIT); /* longer than INT_MAX */
        return;
    }
    if ((size_t)len < sizeof(small)) {
        mb_text_append(text, (mb_slice){small, (size_t)len});
        return;
    }
    /* One more for the NUL, which does not stay. */
    char *at = mb_text_room(text, (size_t)len + 1);
    if (at == NULL) {
        return;
    }
    va_start(args, format);
    vsnprintf(at, (size_t)len + 1, format, args);
    va_end(args);
    text->len += (size_t)len;
}
