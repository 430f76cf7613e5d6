/* Chunk sizes as they are written, and that the decoder reads them back. */
#include "http/h1_chunked.h"

#include "mbtest.h"

static mb_slice size_line(uint64_t size) {
    static char at[MB_H1_CHUNK_SIZE_BYTES];

    return (mb_slice){at, mb_h1_chunk_size(at, size)};
}

MB_TEST(sizes_are_written_in_hex_without_zeros) {
    MB_CHECK_EQ_LIT(size_line(0), "0\r\n");
    MB_CHECK_EQ_LIT(size_line(1), "1\r\n");
    MB_CHECK_EQ_LIT(size_line(15), "f\r\n");
    MB_CHECK_EQ_LIT(size_line(16), "10\r\n");
    MB_CHECK_EQ_LIT(size_line(0xabcdef), "abcdef\r\n");
    MB_CHECK_EQ_LIT(size_line(INT64_MAX), "7fffffffffffffff\r\n");
}

MB_TEST(what_is_written_is_read_back) {
    for (unsigned bit = 0; bit < 63; bit++) {
        for (int less = 0; less < 2; less++) {
            uint64_t size = (1ull << bit) - (uint64_t)less;
            mb_slice line = size_line(size);
            mb_h1_chunked chunked;
            size_t used = 0;

            mb_h1_chunked_init(&chunked);
            MB_CHECK_EQ_INT(mb_h1_chunked_read(&chunked, line.ptr, line.len, &used), MB_H1_FINE);
            MB_CHECK_EQ_INT(used, line.len);
            MB_CHECK_EQ_INT(chunked.left, size);
            MB_CHECK_EQ_INT(chunked.state, size == 0 ? MB_H1_CHUNK_LAST : MB_H1_CHUNK_DATA);
        }
    }
}

MB_TEST(a_chunk_may_be_taken_in_parts) {
    mb_h1_chunked chunked;
    size_t used = 0;

    mb_h1_chunked_init(&chunked);
    MB_CHECK_EQ_INT(mb_h1_chunked_read(&chunked, "5\r\nhello", 8, &used), MB_H1_FINE);
    MB_CHECK_EQ_INT(used, 3);
    mb_h1_chunked_take(&chunked, 2);
    MB_CHECK_EQ_INT(chunked.state, MB_H1_CHUNK_DATA);
    mb_h1_chunked_take(&chunked, 3);
    MB_CHECK_EQ_INT(mb_h1_chunked_read(&chunked, "\r\n0\r\n\r\n", 7, &used), MB_H1_FINE);
    MB_CHECK_EQ_INT(used, 5);
    MB_CHECK_EQ_INT(chunked.state, MB_H1_CHUNK_LAST);
}
