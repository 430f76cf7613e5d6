/*
 * gRPC's words; see grpc.h. Nothing here keeps state.
 */
#include "http/grpc.h"

#include "base/slice.h"
#include "http/message.h"

bool mb_grpc_is_content_type(mb_slice value) {
    mb_slice type = MB_SLICE_LIT("application/grpc");
    return mb_slice_starts_with(value, type) &&
           (value.len == type.len || value.ptr[type.len] == '+');
}

bool mb_grpc_is_request(const mb_headers *request) {
    return mb_headers_pseudo(request, MB_PSEUDO_PATH).len > 0 &&
           mb_grpc_is_content_type(mb_headers_value(request, MB_TOKEN_CONTENT_TYPE));
}

bool mb_grpc_is_response(const mb_headers *response, bool end_stream) {
    if (end_stream) {
        return mb_headers_has(response, MB_TOKEN_GRPC_STATUS);
    }
    return mb_http_status(response) == 200 &&
           mb_grpc_is_content_type(mb_headers_value(response, MB_TOKEN_CONTENT_TYPE));
}

uint32_t mb_grpc_status_of_http(uint32_t status) {
    switch (status) {
    case 400:
        return MB_GRPC_INTERNAL;
    case 401:
        return MB_GRPC_UNAUTHENTICATED;
    case 403:
        return MB_GRPC_PERMISSION_DENIED;
    case 404:
        return MB_GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return MB_GRPC_UNAVAILABLE;
    default:
        return MB_GRPC_UNKNOWN;
    }
}

int mb_grpc_status(const mb_headers *headers, uint64_t *out) {
    mb_slice text = mb_headers_value(headers, MB_TOKEN_GRPC_STATUS);
    uint64_t number = 0;
    if (text.len == 0) {
        return MB_ENOTFOUND;
    }
    if (text.len > 10) {
        return MB_EINVAL;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return MB_EINVAL;
        }
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *out = number;
    return MB_OK;
}

mb_slice mb_grpc_status_name(uint64_t status, bool snake) {
    static const char *const names[][2] = {
        {"OK", "OK"},
        {"Canceled", "CANCELLED"},
        {"Unknown", "UNKNOWN"},
        {"InvalidArgument", "INVALID_ARGUMENT"},
        {"DeadlineExceeded", "DEADLINE_EXCEEDED"},
        {"NotFound", "NOT_FOUND"},
        {"AlreadyExists", "ALREADY_EXISTS"},
        {"PermissionDenied", "PERMISSION_DENIED"},
        {"ResourceExhausted", "RESOURCE_EXHAUSTED"},
        {"FailedPrecondition", "FAILED_PRECONDITION"},
        {"Aborted", "ABORTED"},
        {"OutOfRange", "OUT_OF_RANGE"},
        {"Unimplemented", "UNIMPLEMENTED"},
        {"Internal", "INTERNAL"},
        {"Unavailable", "UNAVAILABLE"},
        {"DataLoss", "DATA_LOSS"},
        {"Unauthenticated", "UNAUTHENTICATED"},
    };
    bool known = status < sizeof(names) / sizeof(names[0]);
    return known ? mb_slice_from_c(names[status][snake]) : (mb_slice){NULL, 0};
}

void mb_grpc_append_message(mb_text *out, mb_slice message) {
    static const char digits[] = "0123456789ABCDEF";
    size_t plain = 0; /* where what needs no escape begins */
    for (size_t i = 0; i < message.len; i++) {
        unsigned char c = (unsigned char)message.ptr[i];
        if (c >= ' ' && c < '~' && c != '%') {
            continue;
        }
        char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
        mb_text_append(out, (mb_slice){message.ptr + plain, i - plain});
        mb_text_append(out, (mb_slice){escape, sizeof(escape)});
        plain = i + 1;
    }
    mb_text_append(out, mb_slice_skip(message, plain));
}
