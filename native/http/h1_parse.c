/* The parser of HTTP/1.1 heads: start line and fields. See h1_parse.h; targets: h1_target.c. */
#include "http/h1_parse.h"

#include "base/slice.h"
#include "http/chars.h"
#include "http/h1_simd.h"
#include "http/message.h"

/* Room in the map beyond what came: the proxy and its filters add a few fields. */
#define SPARE_FIELDS 12u
#define VERSION_BYTES 8u

/* What all steps of one head share. */
typedef struct parser {
    char *base;
    const mb_h1_lines *lines;
    const mb_codec_options *options;
    mb_headers *headers;
    mb_h1_message *message;
} parser;

/* -- fields of the connection --------------------------------------------------------------- */

static bool is_any(mb_slice text, const mb_slice *of, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (mb_slice_equal(text, of[i])) {
            return true;
        }
    }
    return false;
}

/* A name in Connection that is no well-known option: the field of that name goes. */
static mb_h1_fault nominate(mb_h1_message *message, mb_slice name) {
    /* Taking these away would change whom a request seems to come from, or its framing. */
    static const mb_slice forbidden[] = {
        MB_SLICE_LIT("x-forwarded-for"), MB_SLICE_LIT("x-forwarded-host"),
        MB_SLICE_LIT("x-forwarded-proto"), MB_SLICE_LIT("host"), MB_SLICE_LIT("content-length")};

    if (is_any(name, forbidden, sizeof forbidden / sizeof *forbidden)) {
        return message->is_response ? MB_H1_FINE : MB_H1_CONNECTION;
    }
    if (message->nominated_count == MB_H1_NOMINATED_MAX) {
        return MB_H1_CONNECTION;
    }
    message->nominated[message->nominated_count++] = name;
    return MB_H1_FINE;
}

static mb_h1_fault read_connection(parser *p, mb_slice value) {
    static const mb_slice ignored[] = {MB_SLICE_LIT("te"), MB_SLICE_LIT("http2-settings"),
                                       MB_SLICE_LIT("connection")};
    mb_slice option;

    /* The field is not kept, so its bytes may be made lower-case too. */
    p->lines->scan->lower((char *)(uintptr_t)value.ptr, value.len);
    while (mb_slice_next_element(&value, &option)) {
        if (mb_slice_equal(option, MB_SLICE_LIT("keep-alive"))) {
            p->message->keep_alive = true;
        } else if (mb_slice_equal(option, MB_SLICE_LIT("close"))) {
            p->message->close = true;
        } else if (mb_slice_equal(option, MB_SLICE_LIT("upgrade"))) {
            p->message->connection_upgrade = true;
        } else if (!mb_http_is_all(option, MB_CHAR_TOKEN)) {
            return MB_H1_CONNECTION;
        } else if (!is_any(option, ignored, sizeof ignored / sizeof *ignored)) {
            mb_h1_fault fault = nominate(p->message, option);

            if (fault != MB_H1_FINE) {
                return fault;
            }
        }
    }
    return MB_H1_FINE;
}

/* Room is there: parse_fields reserved more than there are lines. */
static inline void append(parser *p, uint32_t token, mb_slice name, mb_slice value) {
    p->headers->byte_count += (uint32_t)(name.len + value.len + MB_FIELD_EXTRA_BYTES);
    mb__headers_push(p->headers, token, name, value);
}

/* Hop-by-hop fields, Host and Content-Length. */
static mb_h1_fault special_field(parser *p, uint32_t token, mb_slice value) {
    mb_h1_message *message = p->message;

    switch (token) {
    case MB_TOKEN_CONNECTION:
        return read_connection(p, value);
    case MB_TOKEN_PROXY_CONNECTION:
        message->close |= mb_http_list_has(value, MB_SLICE_LIT("close"));
        return MB_H1_FINE;
    case MB_TOKEN_TRANSFER_ENCODING:
        if (message->coding_count == 0) {
            message->coding = value;
        }
        message->coding_count += message->coding_count < 2;
        return MB_H1_FINE;
    case MB_TOKEN_UPGRADE:
        /* Offers of h2c are ignored, as by Envoy. */
        if (!message->has_upgrade && !mb_slice_equal_nocase(value, MB_SLICE_LIT("h2c"))) {
            message->has_upgrade = true;
            message->upgrade = value;
        }
        return MB_H1_FINE;
    case MB_TOKEN_TE:
        message->te_trailers |= mb_http_list_has(value, MB_SLICE_LIT("trailers"));
        return MB_H1_FINE;
    case MB_TOKEN_TRAILER:
        if (message->trailer.ptr == NULL) {
            message->trailer = value;
        }
        return MB_H1_FINE;
    case MB_TOKEN_HOST:
        message->host = value;
        message->host_count += message->host_count < 2;
        return MB_H1_FINE;
    case MB_TOKEN_CONTENT_LENGTH:
        if (mb_headers_has(p->headers, token)) {
            return MB_H1_LENGTH_REPEATED;
        }
        append(p, token, mb_token_name(token), value);
        return MB_H1_FINE;
    default: /* keep-alive, http2-settings: of no use to us */
        return MB_H1_FINE;
    }
}

/* -- field lines ---------------------------------------------------------------------------- */

static inline bool is_space(char c) {
    return c == ' ' || c == '\t';
}

/* A name ended at something else than a colon. */
static mb_h1_fault name_fault(const char *at, size_t name_len, size_t line_len) {
    if (name_len == line_len) {
        return MB_H1_FIELD_NO_COLON;
    }
    if (is_space(at[name_len])) {
        return name_len == 0 ? MB_H1_FIELD_LEADING_SPACE : MB_H1_FIELD_NAME_SPACE;
    }
    return MB_H1_FIELD_NAME;
}

static bool has_underscore(mb_slice name) {
    return memchr(name.ptr, '_', name.len) != NULL;
}

static inline mb_slice trim_value(const char *at, const char *end) {
    while (at < end && is_space(*at)) {
        at++;
    }
    while (at < end && is_space(end[-1])) {
        end--;
    }
    return (mb_slice){at, (size_t)(end - at)};
}

/* Cuts line `index` into a lower-case name and a value. */
static inline mb_h1_fault split_field(const parser *p, uint32_t index, mb_slice *name,
                                      mb_slice *value) {
    const mb_h1_lines *lines = p->lines;
    uint32_t start = index == 0 ? 0 : lines->ends[index - 1] + 2;
    char *at = p->base + start;
    size_t len = lines->ends[index] - start;
    /* Up to the end of the section: there is nearly always a whole vector to read, and the CR
     * stops it in any case. */
    size_t name_len = mb__name_lower(at, lines->scanned - start);

    if (at[name_len] != ':') {
        size_t rest = lines->scanned - start - name_len;
        size_t more = lines->scan->token(at + name_len, rest);

        lines->scan->lower(at + name_len, more);
        name_len += more;
    }
    if (name_len == 0 || at[name_len] != ':') {
        return name_len == 0 && at[0] == ':' ? MB_H1_FIELD_NAME : name_fault(at, name_len, len);
    }
    *name = (mb_slice){at, name_len};
    *value = trim_value(at + name_len + 1, at + len);
    return MB_H1_FINE;
}

static mb_h1_fault parse_field(parser *p, uint32_t index) {
    mb_slice name, value;
    mb_h1_fault fault = split_field(p, index, &name, &value);
    uint32_t token;

    if (fault != MB_H1_FINE) {
        return fault;
    }
    token = mb_token_find(name);
    if (token != MB_TOKEN_NONE && token <= MB_TOKEN_CONTENT_LENGTH) {
        return special_field(p, token, value);
    }
    if (token == MB_TOKEN_NONE &&
        (p->options->reject_underscores || p->options->drop_underscores) && has_underscore(name)) {
        return p->options->reject_underscores ? MB_H1_UNDERSCORE : MB_H1_FINE;
    }
    append(p, token, name, value);
    return MB_H1_FINE;
}

static bool is_tunnel(const parser *p) {
    const mb_h1_message *message = p->message;

    return message->connection_upgrade && message->has_upgrade && message->minor == 1 &&
           (message->is_response ? message->status == 101
                                 : message->method != MB_H1_CONNECT_METHOD);
}

/* The end of a head: takes out what Connection named, puts back what travels on. */
static void finish_fields(parser *p) {
    mb_h1_message *message = p->message;

    for (uint32_t i = 0; i < message->nominated_count; i++) {
        mb_headers_remove(p->headers, message->nominated[i]);
    }
    if (message->te_trailers && !message->is_response) {
        append(p, MB_TOKEN_TE, mb_token_name(MB_TOKEN_TE), MB_SLICE_LIT("trailers"));
    }
    if (is_tunnel(p)) {
        append(p, MB_TOKEN_UPGRADE, mb_token_name(MB_TOKEN_UPGRADE), message->upgrade);
    }
    if (message->trailer.ptr != NULL && p->options->enable_trailers) {
        append(p, MB_TOKEN_TRAILER, mb_token_name(MB_TOKEN_TRAILER), message->trailer);
    }
}

static mb_h1_fault parse_fields(parser *p) {
    if (mb_headers_reserve(p->headers, p->lines->count + SPARE_FIELDS) != MB_OK) {
        return MB_H1_NO_MEMORY;
    }
    for (uint32_t i = 1; i < p->lines->count; i++) {
        mb_h1_fault fault = parse_field(p, i);

        if (fault != MB_H1_FINE) {
            return fault;
        }
    }
    finish_fields(p);
    return MB_H1_FINE;
}

/* -- start lines ---------------------------------------------------------------------------- */

static mb_h1_fault parse_version(mb_slice text, mb_h1_message *message) {
    if (text.len == VERSION_BYTES && memcmp(text.ptr, "HTTP/1.1", VERSION_BYTES) == 0) {
        return MB_H1_FINE;
    }
    if (text.len != VERSION_BYTES || memcmp(text.ptr, "HTTP/", 5) != 0 ||
        !mb_ascii_is_digit(text.ptr[5]) || text.ptr[6] != '.' || !mb_ascii_is_digit(text.ptr[7])) {
        return MB_H1_VERSION;
    }
    if (memcmp(text.ptr + 5, "1.0", 3) != 0) {
        return MB_H1_VERSION_UNSUPPORTED;
    }
    message->minor = 0;
    return MB_H1_FINE;
}

static mb_h1_method method_of(mb_slice name) {
    if (mb_slice_equal(name, MB_SLICE_LIT("GET"))) {
        return MB_H1_GET;
    }
    if (mb_slice_equal(name, MB_SLICE_LIT("HEAD"))) {
        return MB_H1_HEAD;
    }
    if (mb_slice_equal(name, MB_SLICE_LIT("CONNECT"))) {
        return MB_H1_CONNECT_METHOD;
    }
    return mb_slice_equal(name, MB_SLICE_LIT("OPTIONS")) ? MB_H1_OPTIONS : MB_H1_OTHER_METHOD;
}

/* method SP request-target SP HTTP-version, each SP exactly one. */
static mb_h1_fault parse_request_line(parser *p, mb_slice *target) {
    const mb_scan_ops *scan = p->lines->scan;
    mb_slice line = mb_h1_lines_get(p->lines, p->base, 0);
    size_t method = scan->token(line.ptr, line.len);

    if (method == 0 || method == line.len || line.ptr[method] != ' ') {
        return method == line.len ? MB_H1_REQUEST_LINE : MB_H1_METHOD;
    }
    if (method > MB_H1_METHOD_BYTES_MAX) {
        return MB_H1_METHOD_TOO_LONG;
    }
    p->headers->pseudo[MB_PSEUDO_METHOD] = mb_slice_take(line, method);
    p->message->method = method_of(p->headers->pseudo[MB_PSEUDO_METHOD]);
    line = mb_slice_skip(line, method + 1);
    target->ptr = line.ptr;
    target->len = scan->target(line.ptr, line.len);
    if (target->len == 0 || target->len == line.len) {
        return MB_H1_REQUEST_LINE;
    }
    if (line.ptr[target->len] != ' ') {
        return MB_H1_TARGET;
    }
    if (target->len > p->options->max_uri_bytes) {
        return MB_H1_URI_TOO_LONG;
    }
    return parse_version(mb_slice_skip(line, target->len + 1), p->message);
}

/* HTTP-version SP status-code [SP reason-phrase]. Many servers leave out the last SP. */
static mb_h1_fault parse_status_line(parser *p) {
    mb_slice line = mb_h1_lines_get(p->lines, p->base, 0);
    mb_slice code = mb_slice_take(mb_slice_skip(line, VERSION_BYTES + 1), 3);
    mb_h1_fault fault = parse_version(mb_slice_take(line, VERSION_BYTES), p->message);

    if (fault != MB_H1_FINE) {
        return fault;
    }
    if (line.len < VERSION_BYTES + 4 || line.ptr[VERSION_BYTES] != ' ' ||
        !mb_http_is_status(code)) {
        return MB_H1_STATUS_LINE;
    }
    if (line.len > VERSION_BYTES + 4 && line.ptr[VERSION_BYTES + 4] != ' ') {
        return MB_H1_STATUS_LINE;
    }
    p->headers->pseudo[MB_PSEUDO_STATUS] = code;
    p->message->status =
        (uint16_t)((code.ptr[0] - '0') * 100 + (code.ptr[1] - '0') * 10 + (code.ptr[2] - '0'));
    return MB_H1_FINE;
}

/* -- whole sections ------------------------------------------------------------------------- */

static void message_init(mb_h1_message *message, bool is_response) {
    /* `nominated` is written before it is read. */
    memset(message, 0, offsetof(mb_h1_message, nominated));
    message->is_response = is_response;
    message->minor = 1;
}

mb_h1_fault mb_h1_parse_request(char *base, const mb_h1_lines *lines,
                                const mb_codec_options *options, mb_headers *headers,
                                mb_h1_message *message) {
    parser p = {base, lines, options, headers, message};
    mb_slice target;
    mb_h1_fault fault;

    message_init(message, false);
    fault = parse_request_line(&p, &target);
    if (fault == MB_H1_FINE) {
        fault = parse_fields(&p);
    }
    if (fault == MB_H1_FINE && message->minor == 0 && !options->accept_http_10) {
        fault = MB_H1_LOW_VERSION;
    }
    return fault == MB_H1_FINE ? mb_h1_parse_target(target, options, headers, message) : fault;
}

mb_h1_fault mb_h1_parse_response(char *base, const mb_h1_lines *lines,
                                 const mb_codec_options *options, mb_headers *headers,
                                 mb_h1_message *message) {
    parser p = {base, lines, options, headers, message};
    mb_h1_fault fault;

    message_init(message, true);
    fault = parse_status_line(&p);
    return fault == MB_H1_FINE ? parse_fields(&p) : fault;
}

mb_h1_fault mb_h1_parse_trailers(char *base, const mb_h1_lines *lines,
                                 const mb_codec_options *options, mb_headers *trailers) {
    parser p = {base, lines, options, trailers, NULL};

    for (uint32_t i = 0; i < lines->count; i++) {
        mb_slice name, value;
        mb_h1_fault fault = split_field(&p, i, &name, &value);
        uint32_t token;

        if (fault != MB_H1_FINE) {
            return fault;
        }
        token = mb_token_find(name);
        if (token == MB_TOKEN_NONE && options->reject_underscores && has_underscore(name)) {
            return MB_H1_UNDERSCORE;
        }
        if (!mb_http_may_be_trailer(token) || (options->drop_underscores && has_underscore(name))) {
            continue;
        }
        if (trailers != NULL && mb_headers_append_raw(trailers, token, name, value) != MB_OK) {
            return MB_H1_NO_MEMORY;
        }
    }
    return MB_H1_FINE;
}
