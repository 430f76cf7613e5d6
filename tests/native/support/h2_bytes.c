/* See h2_bytes.h. */
#include "h2_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

h2_bytes *h2_bytes_new(void) {
    h2_bytes *bytes = malloc(sizeof *bytes);

    if (bytes == NULL) {
        abort();
    }
    bytes->length = 0;
    return bytes;
}

mb_slice h2_bytes_slice(const h2_bytes *bytes) {
    return (mb_slice){bytes->data, bytes->length};
}

void h2_put(h2_bytes *bytes, mb_slice raw) {
    if (raw.len > sizeof bytes->data - bytes->length) {
        abort();
    }
    if (raw.len != 0) {
        memcpy(bytes->data + bytes->length, raw.ptr, raw.len);
    }
    bytes->length += raw.len;
}

static void put_number(h2_bytes *bytes, uint32_t value, int octets) {
    while (octets-- > 0) {
        char octet = (char)(value >> (8 * octets));

        h2_put(bytes, (mb_slice){&octet, 1});
    }
}

void h2_put_frame(h2_bytes *bytes, int type, int flags, uint32_t id, mb_slice payload) {
    put_number(bytes, (uint32_t)payload.len, 3);
    put_number(bytes, (uint32_t)type, 1);
    put_number(bytes, (uint32_t)flags, 1);
    put_number(bytes, id, 4);
    h2_put(bytes, payload);
}

void h2_put_preface(h2_bytes *bytes) {
    h2_put(bytes, MB_SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    h2_put_frame(bytes, H2_SETTINGS, 0, 0, MB_SLICE_LIT(""));
}

void h2_put_u32(h2_bytes *bytes, int type, uint32_t id, uint32_t value) {
    put_number(bytes, 4, 3);
    put_number(bytes, (uint32_t)type, 1);
    put_number(bytes, 0, 1);
    put_number(bytes, id, 4);
    put_number(bytes, value, 4);
}

void h2_put_setting(h2_bytes *bytes, uint16_t which, uint32_t value) {
    put_number(bytes, 6, 3);
    put_number(bytes, H2_SETTINGS, 1);
    put_number(bytes, 0, 5 - 4);
    put_number(bytes, 0, 4);
    put_number(bytes, which, 2);
    put_number(bytes, value, 4);
}

void h2_put_goaway(h2_bytes *bytes, uint32_t last, uint32_t code) {
    put_number(bytes, 8, 3);
    put_number(bytes, H2_GOAWAY, 1);
    put_number(bytes, 0, 1);
    put_number(bytes, 0, 4);
    put_number(bytes, last, 4);
    put_number(bytes, code, 4);
}

/* RFC 7541 5.1 with a prefix of 7 bits, no Huffman. */
static void put_text(h2_bytes *bytes, mb_slice text) {
    size_t rest = text.len;

    if (rest < 127) {
        put_number(bytes, (uint32_t)rest, 1);
    } else {
        put_number(bytes, 127, 1);
        for (rest -= 127; rest >= 128; rest /= 128) {
            put_number(bytes, (uint32_t)(rest % 128 + 128), 1);
        }
        put_number(bytes, (uint32_t)rest, 1);
    }
    h2_put(bytes, text);
}

void h2_put_field(h2_bytes *bytes, mb_slice name, mb_slice value) {
    put_number(bytes, 0, 1);
    put_text(bytes, name);
    put_text(bytes, value);
}

static void put_fields(h2_bytes *bytes, const char *fields) {
    while (*fields != '\0') {
        /* A pseudo-header's name begins with a colon. */
        const char *colon = strchr(fields + 1, ':'), *end = strchr(fields, '\n');
        mb_slice name, value;

        if (colon == NULL || end == NULL || colon > end) {
            abort();
        }
        name = (mb_slice){fields, (size_t)(colon - fields)};
        value = (mb_slice){colon + 2, end > colon + 2 ? (size_t)(end - colon) - 2 : 0};
        h2_put_field(bytes, name, value);
        fields = end + 1;
    }
}

void h2_put_headers(h2_bytes *bytes, uint32_t id, int flags, const char *fields) {
    size_t start = bytes->length, length;

    h2_put_frame(bytes, H2_HEADERS, flags | H2_END_HEADERS, id, MB_SLICE_LIT(""));
    put_fields(bytes, fields);
    length = bytes->length - start - 9;
    bytes->data[start] = (char)(length >> 16);
    bytes->data[start + 1] = (char)(length >> 8);
    bytes->data[start + 2] = (char)length;
}

void h2_put_get(h2_bytes *bytes, uint32_t id, int flags, const char *path) {
    char fields[512];

    snprintf(fields, sizeof fields,
             ":method: GET\n:scheme: https\n:path: %s\n:authority: example.com\n", path);
    h2_put_headers(bytes, id, flags, fields);
}

/* -- as text ---------------------------------------------------------------------------------- */

static uint32_t number(const char *at, int octets) {
    uint32_t value = 0;

    while (octets-- > 0) {
        value = value << 8 | (uint8_t)*at++;
    }
    return value;
}

static const char *code_name(uint32_t code) {
    static const char *const names[] = {
        "NO_ERROR",         "PROTOCOL_ERROR",    "INTERNAL_ERROR",   "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT", "STREAM_CLOSED",     "FRAME_SIZE_ERROR", "REFUSED_STREAM",
        "CANCEL",           "COMPRESSION_ERROR", "CONNECT_ERROR",    "ENHANCE_YOUR_CALM"};

    return code < sizeof names / sizeof *names ? names[code] : "?";
}

static int describe_frame(const char *frame, char *text, size_t room) {
    static const char *const names[] = {"DATA",          "HEADERS",      "PRIORITY", "RST_STREAM",
                                        "SETTINGS",      "PUSH_PROMISE", "PING",     "GOAWAY",
                                        "WINDOW_UPDATE", "CONTINUATION"};
    uint32_t length = number(frame, 3), id = number(frame + 5, 4);
    const char *end = (frame[4] & H2_END_STREAM) != 0 ? " end" : "";
    const char *ack = (frame[4] & H2_ACK) != 0 ? " ack" : "";
    unsigned type = (uint8_t)frame[3];

    switch (type) {
    case H2_DATA:
        return snprintf(text, room, "DATA %u %u%s", id, length, end);
    case H2_HEADERS:
        return snprintf(text, room, "HEADERS %u%s", id, end);
    case H2_SETTINGS:
        return *ack != '\0' ? snprintf(text, room, "SETTINGS ack")
                            : snprintf(text, room, "SETTINGS %u", length / 6);
    case H2_PING:
        return snprintf(text, room, "PING%s", ack);
    case H2_RST_STREAM:
        return snprintf(text, room, "RST_STREAM %u %s", id, code_name(number(frame + 9, 4)));
    case H2_GOAWAY:
        return snprintf(text, room, "GOAWAY %u %s", number(frame + 9, 4),
                        code_name(number(frame + 13, 4)));
    case H2_WINDOW_UPDATE:
        return snprintf(text, room, "WINDOW_UPDATE %u %u", id, number(frame + 9, 4));
    default:
        return snprintf(text, room, "%s %u", type < 10 ? names[type] : "UNKNOWN", id);
    }
}

size_t h2_describe(mb_slice wire, char *text, size_t room) {
    size_t length = 0;

    text[0] = '\0';
    if (wire.len >= 24 && memcmp(wire.ptr, "PRI * HTTP/2.0", 14) == 0) {
        length += (size_t)snprintf(text, room, "preface; ");
        wire = (mb_slice){wire.ptr + 24, wire.len - 24};
    }
    while (wire.len >= 9) {
        size_t whole = 9 + number(wire.ptr, 3);

        if (whole > wire.len || room - length < 64) {
            abort();
        }
        length += (size_t)describe_frame(wire.ptr, text + length, room - length);
        length += (size_t)snprintf(text + length, room - length, "; ");
        wire = (mb_slice){wire.ptr + whole, wire.len - whole};
    }
    length -= length >= 2 ? 2 : 0;
    text[length] = '\0';
    return length;
}
