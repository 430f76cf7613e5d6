/* See message.h. */
#include "http/message.h"

#include "base/slice.h"
#include "http/chars.h"
#include "http/status.h"

#define U64_DIGITS 20

uint32_t mb_http_status(const mb_headers *headers) {
    mb_slice text = headers->pseudo[MB_PSEUDO_STATUS];

    if (text.ptr == NULL || !mb_http_is_status(text)) {
        return 0;
    }
    return (uint32_t)((text.ptr[0] - '0') * 100 + (text.ptr[1] - '0') * 10 + (text.ptr[2] - '0'));
}

int mb_http_set_status(mb_headers *headers, uint32_t status) {
    char *digits;

    if (status < 100 || status > 999) {
        return MB_EINVAL;
    }
    digits = mb_arena_bytes(headers->arena, 3);
    if (digits == NULL) {
        return MB_ENOMEM;
    }
    mb_http_status_digits(digits, status);
    headers->pseudo[MB_PSEUDO_STATUS] = (mb_slice){digits, 3};
    return MB_OK;
}

int mb_http_set_number(mb_headers *headers, uint32_t token, uint64_t number) {
    char digits[U64_DIGITS];
    size_t at = sizeof digits;
    mb_slice value;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    if (mb_arena_dup(headers->arena, mb_slice_of(digits + at, sizeof digits - at), &value) !=
        MB_OK) {
        return MB_ENOMEM;
    }
    return mb_headers_set_token(headers, token, value);
}

int mb_http_content_length(const mb_headers *headers, uint64_t *out) {
    const mb_field *field = mb_headers_find(headers, MB_TOKEN_CONTENT_LENGTH);
    uint64_t value;

    if (field == NULL) {
        return MB_ENOTFOUND;
    }
    if (field->next != 0 || mb_slice_parse_u64(field->value, &value) != MB_OK ||
        value > INT64_MAX) {
        return MB_EINVAL;
    }
    *out = value;
    return MB_OK;
}

bool mb_http_is_head(const mb_headers *request) {
    return mb_slice_equal(request->pseudo[MB_PSEUDO_METHOD], MB_SLICE_LIT("HEAD"));
}

bool mb_http_expects_continue(const mb_headers *request) {
    return mb_slice_equal_nocase(mb_headers_value(request, MB_TOKEN_EXPECT),
                                 MB_SLICE_LIT("100-continue"));
}

bool mb_http_response_has_no_body(uint32_t status, bool head_request) {
    return head_request || status < 200 || status == 204 || status == 304;
}

bool mb_http_list_has(mb_slice list, mb_slice element) {
    mb_slice found;

    while (mb_slice_next_element(&list, &found)) {
        if (mb_slice_equal_nocase(found, element)) {
            return true;
        }
    }
    return false;
}

bool mb_http_may_be_trailer(uint32_t token) {
    switch (token) {
    case MB_TOKEN_HOST:
    case MB_TOKEN_CONTENT_LENGTH:
    case MB_TOKEN_CONTENT_ENCODING:
    case MB_TOKEN_CONTENT_RANGE:
    case MB_TOKEN_CONTENT_TYPE:
    case MB_TOKEN_AUTHORIZATION:
    case MB_TOKEN_PROXY_AUTHENTICATE:
    case MB_TOKEN_PROXY_AUTHORIZATION:
    case MB_TOKEN_WWW_AUTHENTICATE:
    case MB_TOKEN_COOKIE:
    case MB_TOKEN_SET_COOKIE:
    case MB_TOKEN_CACHE_CONTROL:
    case MB_TOKEN_EXPECT:
    case MB_TOKEN_MAX_FORWARDS:
    case MB_TOKEN_X_FORWARDED_FOR:
    case MB_TOKEN_X_FORWARDED_HOST:
    case MB_TOKEN_X_FORWARDED_PROTO:
        return false;
    default:
        return !mb_token_is_hop_by_hop(token);
    }
}

static bool is_stale(void *ctx, const mb_field *field) {
    (void)ctx;
    return mb_token_is_hop_by_hop(field->token) &&
           !(field->token == MB_TOKEN_TE && mb_slice_equal(field->value, MB_SLICE_LIT("trailers")));
}

void mb_http_strip_hop_by_hop(mb_headers *headers) {
    mb_headers_remove_if(headers, is_stale, NULL);
}
