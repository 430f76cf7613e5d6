/*
 * Text: JSON strings from bytes that may not be UTF-8. RFC 8259 7, RFC 3629 4.
 */
#include "base/text.h"

/* Length of the well-formed UTF-8 sequence at the front, or 0. No overlong forms, no surrogates,
 * nothing above U+10FFFF. */
static size_t utf8_length(const unsigned char *at, size_t len) {
    unsigned char lead = at[0];
    size_t want = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (want == 0 || lead > 0xf4 || want > len) {
        return 0;
    }
    for (size_t i = 1; i < want; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((lead == 0xe0 && at[1] < 0xa0) || (lead == 0xed && at[1] > 0x9f) ||
        (lead == 0xf0 && at[1] < 0x90) || (lead == 0xf4 && at[1] > 0x8f)) {
        return 0;
    }
    return want;
}

bool mb_text_is_utf8(mb_slice bytes) {
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    for (size_t i = 0; i < bytes.len;) {
        size_t length = utf8_length(at + i, bytes.len - i);
        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

static void append_escape(mb_text *text, unsigned char byte) {
    static const char short_form[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    for (const char *at = short_form; *at != '\0'; at += 2) {
        if ((unsigned char)at[0] == byte) {
            char escape[2] = {'\\', at[1]};
            mb_text_append(text, (mb_slice){escape, sizeof(escape)});
            return;
        }
    }
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
    mb_text_append(text, (mb_slice){escape, sizeof(escape)});
}

void mb_text_json(mb_text *text, mb_slice string) {
    const unsigned char *bytes = (const unsigned char *)string.ptr;
    size_t plain = 0; /* where the run begins that goes out as it is */
    size_t i = 0;
    mb_text_byte(text, '"');
    while (i < string.len) {
        unsigned char byte = bytes[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
            i++;
            continue;
        }
        size_t length = byte < 0x80 ? 0 : utf8_length(bytes + i, string.len - i);
        if (length > 0) {
            i += length;
            continue;
        }
        mb_text_append(text, (mb_slice){string.ptr + plain, i - plain});
        if (byte < 0x80) {
            append_escape(text, byte);
        } else {
            mb_text_append(text, MB_SLICE_LIT("\xef\xbf\xbd"));
        }
        plain = ++i;
    }
    if (i > plain) {
        mb_text_append(text, (mb_slice){string.ptr + plain, i - plain});
    }
    mb_text_byte(text, '"');
}
