/* The length of a message: see h1_framing.h. RFC 9112 6.1 to 6.3. */
#include "http/h1_framing.h"

#include "base/slice.h"
#include "http/message.h"

/* Only exactly one `chunked` is spoken. A coding that we don't know is 501; chunked anywhere but
 * alone is an attempt to be read in two ways. */
static mb_h1_fault check_coding(const mb_headers *headers, const mb_h1_message *message) {
    mb_slice rest = message->coding, element;
    bool chunked = false;

    if (message->minor == 0) {
        return MB_H1_CODING_NOT_ALLOWED;
    }
    if (mb_headers_has(headers, MB_TOKEN_CONTENT_LENGTH)) {
        return MB_H1_LENGTH_AND_CHUNKED;
    }
    if (message->coding_count > 1 || message->coding.len == 0) {
        return MB_H1_CODING_REPEATED;
    }
    if (mb_slice_equal_nocase(message->coding, MB_SLICE_LIT("chunked"))) {
        return MB_H1_FINE;
    }
    while (mb_slice_next_element(&rest, &element)) {
        if (chunked) {
            return MB_H1_CODING_REPEATED;
        }
        chunked = mb_slice_equal_nocase(element, MB_SLICE_LIT("chunked"));
    }
    return MB_H1_CODING;
}

static bool is_persistent(const mb_h1_message *message) {
    return !message->close && (message->minor == 1 || message->keep_alive);
}

mb_h1_fault mb_h1_frame_request(const mb_headers *headers, const mb_h1_message *message,
                                mb_h1_framing *out) {
    int rc;

    *out = (mb_h1_framing){.body = MB_H1_BODY_NONE, .keep_alive = is_persistent(message)};
    if (message->coding_count != 0) {
        out->body = MB_H1_BODY_CHUNKED;
        return check_coding(headers, message);
    }
    rc = mb_http_content_length(headers, &out->length);
    if (rc == MB_EINVAL) {
        return MB_H1_LENGTH;
    }
    if (rc == MB_OK && out->length != 0) {
        out->body = MB_H1_BODY_LENGTH;
    }
    return MB_H1_FINE;
}

/* 1xx and 204 have neither body nor a length of one. Envoy forgives `content-length: 0` too. */
static mb_h1_fault check_bodiless(mb_headers *headers, const mb_h1_message *message) {
    if (message->coding_count != 0) {
        return MB_H1_CODING_NOT_ALLOWED;
    }
    if (mb_headers_has(headers, MB_TOKEN_CONTENT_LENGTH)) {
        if (!mb_slice_equal(mb_headers_value(headers, MB_TOKEN_CONTENT_LENGTH),
                            MB_SLICE_LIT("0"))) {
            return MB_H1_LENGTH_NOT_ALLOWED;
        }
        mb_headers_remove_token(headers, MB_TOKEN_CONTENT_LENGTH);
    }
    return MB_H1_FINE;
}

mb_h1_fault mb_h1_frame_response(mb_headers *headers, const mb_h1_message *message,
                                 bool head_request, mb_h1_framing *out) {
    bool bodiless = head_request || message->status == 304;
    mb_h1_fault fault;

    if (message->status < 200 || message->status == 204) {
        *out = (mb_h1_framing){.body = MB_H1_BODY_NONE, .keep_alive = is_persistent(message)};
        return check_bodiless(headers, message);
    }
    fault = mb_h1_frame_request(headers, message, out);
    if (fault != MB_H1_FINE) {
        return fault;
    }
    if (bodiless) {
        /* What it says of a length is that of the body it would have had. */
        out->body = MB_H1_BODY_NONE;
    } else if (message->coding_count == 0 && !mb_headers_has(headers, MB_TOKEN_CONTENT_LENGTH)) {
        out->body = MB_H1_BODY_UNTIL_CLOSE;
        out->keep_alive = false;
    }
    return MB_H1_FINE;
}
