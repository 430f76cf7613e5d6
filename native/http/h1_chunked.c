/* The chunked decoder and the encoder's size line; see h1_chunked.h. */
#include "http/h1_chunked.h"

#include "base/slice.h"
#include "http/chars.h"

/* A digit more than 2^63 - 1 has. */
#define DIGITS_MAX 16u

static mb_h1_fault read_size(mb_h1_chunked *c, char byte) {
    int digit = mb_ascii_hex_value(byte);

    if (digit >= 0) {
        if (c->digits == DIGITS_MAX || c->left >> 59 != 0) {
            return MB_H1_CHUNK_SIZE_FAULT;
        }
        c->left = c->left << 4 | (uint64_t)digit;
        c->digits++;
        return MB_H1_FINE;
    }
    if (c->digits == 0) {
        return MB_H1_CHUNK_SIZE_FAULT;
    }
    if (byte == '\r') {
        c->state = MB_H1_CHUNK_SIZE_LF;
    } else if (byte == ';') {
        c->state = MB_H1_CHUNK_NAME_START;
    } else if (byte == ' ' || byte == '\t') {
        c->state = MB_H1_CHUNK_SPACE;
    } else {
        return MB_H1_CHUNK_SIZE_FAULT;
    }
    return MB_H1_FINE;
}

/* What may follow a complete extension: the next one, white space before it, or the line's end. */
static mb_h1_fault end_extension(mb_h1_chunked *c, char byte) {
    if (byte == '\r') {
        c->state = MB_H1_CHUNK_SIZE_LF;
    } else if (byte == ';') {
        c->state = MB_H1_CHUNK_NAME_START;
    } else if (byte == ' ' || byte == '\t') {
        c->state = MB_H1_CHUNK_SPACE;
    } else {
        return MB_H1_CHUNK_EXTENSION;
    }
    return MB_H1_FINE;
}

static mb_h1_fault read_name(mb_h1_chunked *c, char byte) {
    bool space = byte == ' ' || byte == '\t';

    if (mb_http_is(byte, MB_CHAR_TOKEN) && c->state != MB_H1_CHUNK_NAME_SPACE) {
        c->state = MB_H1_CHUNK_NAME;
        return MB_H1_FINE;
    }
    if (c->state == MB_H1_CHUNK_NAME_START) {
        return space ? MB_H1_FINE : MB_H1_CHUNK_EXTENSION;
    }
    if (byte == '=') {
        c->state = MB_H1_CHUNK_VALUE_START;
        return MB_H1_FINE;
    }
    if (space) {
        c->state = MB_H1_CHUNK_NAME_SPACE;
        return MB_H1_FINE;
    }
    if (byte == '\r' && c->state == MB_H1_CHUNK_NAME_SPACE) {
        return MB_H1_CHUNK_EXTENSION;
    }
    return end_extension(c, byte);
}

static mb_h1_fault read_value(mb_h1_chunked *c, char byte) {
    if (mb_http_is(byte, MB_CHAR_TOKEN)) {
        c->state = MB_H1_CHUNK_VALUE;
        return MB_H1_FINE;
    }
    if (c->state == MB_H1_CHUNK_VALUE) {
        return end_extension(c, byte);
    }
    if (byte == '"') {
        c->state = MB_H1_CHUNK_QUOTED;
        return MB_H1_FINE;
    }
    return byte == ' ' || byte == '\t' ? MB_H1_FINE : MB_H1_CHUNK_EXTENSION;
}

/* quoted-string of RFC 9110 5.6.4. */
static mb_h1_fault read_quoted(mb_h1_chunked *c, char byte) {
    if (((unsigned char)byte < 0x20 && byte != '\t') || byte == 0x7f) {
        return MB_H1_CHUNK_EXTENSION;
    }
    if (c->state == MB_H1_CHUNK_ESCAPED) {
        c->state = MB_H1_CHUNK_QUOTED;
    } else if (byte == '\\') {
        c->state = MB_H1_CHUNK_ESCAPED;
    } else if (byte == '"') {
        c->state = MB_H1_CHUNK_QUOTED_END;
    }
    return MB_H1_FINE;
}

static mb_h1_fault end_size_line(mb_h1_chunked *c, char byte) {
    if (byte != '\n') {
        return MB_H1_CHUNK_SIZE_FAULT;
    }
    c->digits = 0;
    c->extension_bytes = 0;
    c->state = c->left == 0 ? MB_H1_CHUNK_LAST : MB_H1_CHUNK_DATA;
    return MB_H1_FINE;
}

static mb_h1_fault expect(mb_h1_chunked *c, char byte, char wanted, mb_h1_chunk_state next) {
    if (byte != wanted) {
        return MB_H1_CHUNK_END;
    }
    c->state = next;
    return MB_H1_FINE;
}

static mb_h1_fault step(mb_h1_chunked *c, char byte) {
    switch (c->state) {
    case MB_H1_CHUNK_SIZE:
        return read_size(c, byte);
    case MB_H1_CHUNK_SIZE_LF:
        return end_size_line(c, byte);
    case MB_H1_CHUNK_DATA_CR:
        return expect(c, byte, '\r', MB_H1_CHUNK_DATA_LF);
    case MB_H1_CHUNK_DATA_LF:
        return expect(c, byte, '\n', MB_H1_CHUNK_SIZE);
    default:
        break;
    }
    if (++c->extension_bytes > MB_H1_EXTENSION_BYTES_MAX) {
        return MB_H1_CHUNK_EXTENSION;
    }
    switch (c->state) {
    case MB_H1_CHUNK_SPACE:
        if (byte == ' ' || byte == '\t') {
            return MB_H1_FINE;
        }
        return byte == ';' ? end_extension(c, byte) : MB_H1_CHUNK_EXTENSION;
    case MB_H1_CHUNK_VALUE_START:
    case MB_H1_CHUNK_VALUE:
        return read_value(c, byte);
    case MB_H1_CHUNK_QUOTED:
    case MB_H1_CHUNK_ESCAPED:
        return read_quoted(c, byte);
    case MB_H1_CHUNK_QUOTED_END:
        return end_extension(c, byte);
    default:
        return read_name(c, byte);
    }
}

mb_h1_fault mb_h1_chunked_read(mb_h1_chunked *chunked, const char *at, size_t len, size_t *used) {
    mb_h1_fault fault = MB_H1_FINE;
    size_t i = 0;

    while (i < len && fault == MB_H1_FINE && chunked->state != MB_H1_CHUNK_DATA &&
           chunked->state != MB_H1_CHUNK_LAST) {
        fault = step(chunked, at[i++]);
    }
    *used = i;
    chunked->overhead_bytes += i;
    if (fault == MB_H1_FINE && chunked->overhead_bytes > MB_H1_CHUNK_OVERHEAD_BYTES &&
        chunked->overhead_bytes / 4 > chunked->data_bytes) {
        fault = MB_H1_CHUNK_OVERHEAD;
    }
    return fault;
}

void mb_h1_chunked_take(mb_h1_chunked *chunked, uint64_t bytes) {
    chunked->left -= bytes;
    chunked->data_bytes += bytes;
    if (chunked->left == 0) {
        chunked->state = MB_H1_CHUNK_DATA_CR;
    }
}

size_t mb_h1_chunk_size(char *at, uint64_t size) {
    static const char digits[] = "0123456789abcdef";
    unsigned count = size == 0 ? 1 : (unsigned)(67 - __builtin_clzll(size)) / 4;

    for (unsigned i = count; i > 0; i--) {
        at[i - 1] = digits[size & 15];
        size >>= 4;
    }
    at[count] = '\r';
    at[count + 1] = '\n';
    return count + 2;
}
