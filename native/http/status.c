/* The table behind status.h. */
#include "http/status.h"

/* clang-format off */
static const mb_slice informational[] = {
    MB_SLICE_LIT("Continue"), MB_SLICE_LIT("Switching Protocols"), MB_SLICE_LIT("Processing"),
    MB_SLICE_LIT("Early Hints"),
};
static const mb_slice successful[] = {
    MB_SLICE_LIT("OK"), MB_SLICE_LIT("Created"), MB_SLICE_LIT("Accepted"),
    MB_SLICE_LIT("Non-Authoritative Information"), MB_SLICE_LIT("No Content"),
    MB_SLICE_LIT("Reset Content"), MB_SLICE_LIT("Partial Content"), MB_SLICE_LIT("Multi-Status"),
    MB_SLICE_LIT("Already Reported"), [26] = MB_SLICE_LIT("IM Used"),
};
static const mb_slice redirection[] = {
    MB_SLICE_LIT("Multiple Choices"), MB_SLICE_LIT("Moved Permanently"), MB_SLICE_LIT("Found"),
    MB_SLICE_LIT("See Other"), MB_SLICE_LIT("Not Modified"), MB_SLICE_LIT("Use Proxy"),
    [7] = MB_SLICE_LIT("Temporary Redirect"), MB_SLICE_LIT("Permanent Redirect"),
};
static const mb_slice client_error[] = {
    MB_SLICE_LIT("Bad Request"), MB_SLICE_LIT("Unauthorized"), MB_SLICE_LIT("Payment Required"),
    MB_SLICE_LIT("Forbidden"), MB_SLICE_LIT("Not Found"), MB_SLICE_LIT("Method Not Allowed"),
    MB_SLICE_LIT("Not Acceptable"), MB_SLICE_LIT("Proxy Authentication Required"),
    MB_SLICE_LIT("Request Timeout"), MB_SLICE_LIT("Conflict"), MB_SLICE_LIT("Gone"),
    MB_SLICE_LIT("Length Required"), MB_SLICE_LIT("Precondition Failed"),
    MB_SLICE_LIT("Payload Too Large"), MB_SLICE_LIT("URI Too Long"),
    MB_SLICE_LIT("Unsupported Media Type"), MB_SLICE_LIT("Range Not Satisfiable"),
    MB_SLICE_LIT("Expectation Failed"), [21] = MB_SLICE_LIT("Misdirected Request"),
    MB_SLICE_LIT("Unprocessable Entity"), MB_SLICE_LIT("Locked"), MB_SLICE_LIT("Failed Dependency"),
    MB_SLICE_LIT("Too Early"), MB_SLICE_LIT("Upgrade Required"),
    [28] = MB_SLICE_LIT("Precondition Required"), MB_SLICE_LIT("Too Many Requests"),
    [31] = MB_SLICE_LIT("Request Header Fields Too Large"),
    [51] = MB_SLICE_LIT("Unavailable For Legal Reasons"),
};
static const mb_slice server_error[] = {
    MB_SLICE_LIT("Internal Server Error"), MB_SLICE_LIT("Not Implemented"),
    MB_SLICE_LIT("Bad Gateway"), MB_SLICE_LIT("Service Unavailable"),
    MB_SLICE_LIT("Gateway Timeout"), MB_SLICE_LIT("HTTP Version Not Supported"),
    MB_SLICE_LIT("Variant Also Negotiates"), MB_SLICE_LIT("Insufficient Storage"),
    MB_SLICE_LIT("Loop Detected"), [10] = MB_SLICE_LIT("Not Extended"),
    MB_SLICE_LIT("Network Authentication Required"),
};
/* clang-format on */

typedef struct status_class {
    const mb_slice *reasons;
    uint32_t count;
} status_class;

#define STATUS_CLASS(of)                                                                           \
    { of, sizeof(of) / sizeof *(of) }

static const status_class classes[] = {
    {NULL, 0},
    STATUS_CLASS(informational),
    STATUS_CLASS(successful),
    STATUS_CLASS(redirection),
    STATUS_CLASS(client_error),
    STATUS_CLASS(server_error),
};

mb_slice mb_http_reason(uint32_t status) {
    const status_class *of = &classes[status < 600 ? status / 100 : 0];
    uint32_t index = status % 100;

    if (index >= of->count || of->reasons[index].ptr == NULL) {
        return MB_SLICE_LIT("Unknown");
    }
    return of->reasons[index];
}
