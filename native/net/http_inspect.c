/*
 * Which HTTP it is. See http_inspect.h; called by the HTTP inspector.
 *
 * A request line is recognised byte by byte: a token, the target, "HTTP/" and a version. The
 * codec that gets the connection reads the line again, and strictly; here only what can't become
 * a request line at all is refused, as early as possible, so that protocols in which the server
 * speaks first or later do not wait. Versions other than 1.1 count as 1.0, as in Envoy.
 */
#include "net/http_inspect.h"

#include "base/slice.h"
#include "http/chars.h"

enum { IN_METHOD = 0, IN_TARGET, IN_VERSION, IN_END };

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* Of a target: anything but blanks and controls. */
static bool is_target_char(char c) {
    return (unsigned char)c > ' ' && c != 0x7f;
}

static bool version_may_go_on(const char *version, size_t len) {
    static const char form[] = "HTTP/0.0";
    char c = version[len - 1];
    return form[len - 1] == '0' ? mb_ascii_is_digit(c) : c == form[len - 1];
}

/* One byte of a request line. MB_OK: it is complete; MB_EAGAIN; MB_EPROTO. */
static int step(mb_http_inspect *inspect, char c, size_t *version_len) {
    switch (inspect->state) {
    case IN_METHOD:
        if (c == ' ' && inspect->seen > 0) {
            inspect->state = IN_TARGET;
            return MB_EAGAIN;
        }
        return mb_http_is(c, MB_CHAR_TOKEN) ? MB_EAGAIN : MB_EPROTO;
    case IN_TARGET:
        if (c == ' ') {
            inspect->state = IN_VERSION;
            return MB_EAGAIN;
        }
        return is_target_char(c) ? MB_EAGAIN : MB_EPROTO;
    case IN_VERSION:
        inspect->version[(*version_len)++] = c;
        if (!version_may_go_on(inspect->version, *version_len)) {
            return MB_EPROTO;
        }
        if (*version_len == sizeof(inspect->version)) {
            inspect->state = IN_END;
        }
        return MB_EAGAIN;
    default:
        return c == '\n' ? MB_OK : c == '\r' ? MB_EAGAIN : MB_EPROTO;
    }
}

static int request_line(mb_http_inspect *inspect, mb_slice bytes, mb_http_kind *kind) {
    size_t version_len = strnlen(inspect->version, sizeof(inspect->version));
    while (inspect->seen < bytes.len) {
        int result = step(inspect, bytes.ptr[inspect->seen], &version_len);
        inspect->seen++;
        if (result == MB_OK) {
            bool is_11 = memcmp(inspect->version, "HTTP/1.1", sizeof(inspect->version)) == 0;
            *kind = is_11 ? MB_HTTP_KIND_11 : MB_HTTP_KIND_10;
        }
        if (result != MB_EAGAIN) {
            return result;
        }
    }
    return inspect->seen >= MB_HTTP_INSPECT_MAX_BYTES ? MB_ELIMIT : MB_EAGAIN;
}

int mb_http_inspect_next(mb_http_inspect *inspect, mb_slice bytes, mb_http_kind *kind) {
    mb_slice preface = MB_SLICE_LIT(PREFACE);
    if (mb_slice_starts_with(bytes, preface)) {
        *kind = MB_HTTP_KIND_2;
        return MB_OK;
    }
    if (mb_slice_starts_with(preface, bytes)) {
        return MB_EAGAIN;
    }
    return request_line(inspect, bytes, kind);
}

mb_slice mb_http_kind_name(mb_http_kind kind) {
    switch (kind) {
    case MB_HTTP_KIND_11:
        return MB_SLICE_LIT("http/1.1");
    case MB_HTTP_KIND_2:
        return MB_SLICE_LIT("h2c");
    default:
        return MB_SLICE_LIT("http/1.0");
    }
}
