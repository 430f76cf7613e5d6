/*
 * Character classes of HTTP: which bytes may stand in a name, a target, a host, a value.
 *
 * Used by the parser, the header map (what filters set) and the writer. RFC 9110 5.6.2 (token),
 * 5.5 (field value), RFC 3986 3.2.2 (host).
 */
#ifndef MB_HTTP_CHARS_H
#define MB_HTTP_CHARS_H

#include <moebridge/common.h>

typedef enum mb_char_class {
    MB_CHAR_TOKEN = 1,       /* names of fields, methods */
    MB_CHAR_TARGET = 2,      /* printable ASCII without space and '#' */
    MB_CHAR_HOST = 4,        /* reg-name: unreserved, sub-delims, '%' */
    MB_CHAR_LOWER_TOKEN = 8, /* token without A-Z: names in the header map */
} mb_char_class;

extern const uint8_t mb__char_class[256];

static inline bool mb_http_is(char c, mb_char_class which) {
    return (mb__char_class[(uint8_t)c] & which) != 0;
}

/* Every byte is of that class. An empty text is true. */
bool mb_http_is_all(mb_slice text, mb_char_class which);
/* A field value: no control but HTAB, no DEL. Bytes above 0x7f are allowed (obs-text). */
bool mb_http_is_value(mb_slice text);
/* uri-host [":" port]: what may stand in Host and :authority. Not empty, no user name. RFC 3986
 * 3.2.2; the inside of an IP literal is checked for its characters only. */
bool mb_http_is_authority(mb_slice text);
/* Three digits, 100 to 999. */
bool mb_http_is_status(mb_slice text);

#endif
