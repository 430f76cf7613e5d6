/*
 * Fuzzes the reader of ClientHellos and that of HTTP's first line. What is read must wait in every
 * shorter part, be the same with bytes behind it, and be the same in records of one byte more or
 * less; slices must lie in the input.
 */
#include "net/client_hello.h"
#include "net/http_inspect.h"

#include "base/alloc.h"
#include "base/slice.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void expect(bool good) {
    if (!good) {
        abort();
    }
}

static void inspect_http(mb_slice input) {
    mb_http_inspect whole = {0}, pieces = {0};
    mb_http_kind kind = MB_HTTP_KIND_10, piece_kind = MB_HTTP_KIND_10;
    int want = mb_http_inspect_next(&whole, input, &kind);
    int got = MB_EAGAIN;
    for (size_t i = 0; i <= input.len && got == MB_EAGAIN; i++) {
        got = mb_http_inspect_next(&pieces, mb_slice_take(input, i), &piece_kind);
    }
    expect(got == want && kind == piece_kind);
}

/* The message of `input` in records of at most `size` bytes. */
static void cut_again(mb_slice input, size_t size, mb_text *out) {
    mb_text_clear(out);
    for (size_t at = 0; at < input.len;) {
        size_t record = (size_t)(uint8_t)input.ptr[at + 3] << 8 | (uint8_t)input.ptr[at + 4];
        for (size_t done = 0; done < record; done += size) {
            size_t part = record - done < size ? record - done : size;
            char head[5] = {22, 3, 1, (char)(part >> 8), (char)part};
            mb_text_append(out, mb_slice_of(head, sizeof(head)));
            mb_text_append(out, mb_slice_of(input.ptr + at + 5 + done, part));
        }
        at += 5 + record;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    mb_slice input = {(const char *)bytes, len};
    mb_text joined, again, other;
    mb_client_hello hello, part;
    inspect_http(mb_slice_take(input, 4096));
    mb_text_init(&joined, mb_allocator_default(), SIZE_MAX);
    mb_text_init(&again, mb_allocator_default(), SIZE_MAX);
    mb_text_init(&other, mb_allocator_default(), SIZE_MAX);
    int64_t read = mb_client_hello_read(input, MB_CLIENT_HELLO_MAX_BYTES, &joined, &hello);
    expect(read <= (int64_t)len && read != 0);
    if (read > 0) {
        mb_slice rest = hello.alpn, name;
        while (mb_alpn_next(&rest, &name)) {
            expect(name.len > 0);
        }
        expect(rest.len == 0 && hello.server_name.len <= 255);
        for (size_t i = 0; i < (size_t)read; i += 1 + i / 16) {
            expect(mb_client_hello_read(mb_slice_take(input, i), MB_CLIENT_HELLO_MAX_BYTES, &other,
                                        &part) == MB_EAGAIN);
        }
        cut_again(mb_slice_take(input, (size_t)read), 1 + len % 97, &again);
        mb_slice cut = mb_text_view(&again);
        expect(mb_client_hello_read(cut, SIZE_MAX, &other, &part) == (int64_t)cut.len);
        expect(mb_slice_equal(part.server_name, hello.server_name));
        expect(mb_slice_equal(part.alpn, hello.alpn) && part.version == hello.version);
    }
    mb_text_fini(&joined);
    mb_text_fini(&again);
    mb_text_fini(&other);
    return 0;
}
