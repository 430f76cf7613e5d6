/*
 * The msgpack reader with any bytes: never outside them, its functions agree with each other, and
 * what is accepted comes back the same when written again.
 */
#include "base/alloc.h"
#include "base/msgpack.h"
#include "base/slice.h"

#include <stdlib.h>

#define JSON_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool good) {
    if (!good) {
        abort();
    }
}

static void write_token(mb_text *out, const mb_msgpack_token *token) {
    switch (token->type) {
    case MB_MSGPACK_NIL:
        mb_msgpack_put_nil(out);
        break;
    case MB_MSGPACK_BOOL:
        mb_msgpack_put_bool(out, token->boolean);
        break;
    case MB_MSGPACK_INT:
        mb_msgpack_put_i64(out, token->integer);
        break;
    case MB_MSGPACK_UINT:
        mb_msgpack_put_u64(out, token->uinteger);
        break;
    case MB_MSGPACK_DOUBLE:
        mb_msgpack_put_double(out, token->number);
        break;
    case MB_MSGPACK_STR:
        mb_msgpack_put_str(out, token->bytes);
        break;
    case MB_MSGPACK_ARRAY:
        mb_msgpack_put_array(out, token->count);
        break;
    case MB_MSGPACK_MAP:
        mb_msgpack_put_map(out, token->count);
        break;
    default: /* there is no writer for ext */
        mb_msgpack_put_bin(out, token->bytes);
        break;
    }
}

static void expect_same(const mb_msgpack_token *a, const mb_msgpack_token *b) {
    if (a->type == MB_MSGPACK_EXT) {
        expect(b->type == MB_MSGPACK_BIN);
    } else {
        expect(a->type == b->type);
        bool number = a->type == MB_MSGPACK_DOUBLE;
        expect(number ? memcmp(&a->number, &b->number, sizeof(a->number)) == 0 ||
                            a->number != a->number
                      : a->uinteger == b->uinteger);
    }
    expect(mb_slice_equal(a->bytes, b->bytes));
}

/* Token by token, written and read again. */
static void round_trip(mb_slice input, mb_text *out) {
    mb_msgpack from = mb_msgpack_read(input);
    mb_msgpack_token token;
    int result;
    while ((result = mb_msgpack_next(&from, &token)) == MB_OK) {
        mb_msgpack_token again;
        mb_text_clear(out);
        write_token(out, &token);
        expect(out->status == MB_OK);
        mb_msgpack back = mb_msgpack_read(mb_text_view(out));
        expect(mb_msgpack_next(&back, &again) == MB_OK);
        expect(mb_msgpack_at_end(&back));
        expect_same(&token, &again);
    }
    expect(result == (mb_msgpack_at_end(&from) ? MB_ENOTFOUND : MB_EPROTO));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mb_slice input = {(const char *)data, size};
    mb_slice value;
    mb_text out;
    mb_text_init(&out, mb_allocator_default(), JSON_BYTES_MAX);

    int checked = mb_msgpack_check(input, MB_MSGPACK_DEPTH_MAX, SIZE_MAX);
    mb_msgpack cursor = mb_msgpack_read(input);
    int valued = mb_msgpack_value(&cursor, &value);
    expect(checked != MB_OK || (valued == MB_OK && value.len == size));
    expect(mb_msgpack_check(input, 3, 10) != MB_OK || checked == MB_OK);

    int written = mb_msgpack_to_json(input, &out);
    expect(written == MB_EINVAL || written == MB_ELIMIT ||
           (written == MB_OK) == (checked == MB_OK));
    int found = mb_msgpack_find(input, MB_SLICE_LIT("a"), &value);
    if (found == MB_OK) {
        expect(mb_msgpack_check(value, 0, 1) != MB_EPROTO);
    }
    round_trip(input, &out);
    mb_text_fini(&out);
    return 0;
}
