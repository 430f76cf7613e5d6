/* CRC-32C against published values, and in pieces. */
#include "base/crc32c.h"

#include "base/slice.h"
#include "mbtest.h"

MB_TEST(published_values) {
    MB_CHECK_EQ_INT(mb_crc32c(0, MB_SLICE_LIT("")), 0);
    MB_CHECK_EQ_INT(mb_crc32c(0, MB_SLICE_LIT("123456789")), 0xe3069283);
    char bytes[32];
    memset(bytes, 0, sizeof(bytes)); /* RFC 3720 B.4 */
    MB_CHECK_EQ_INT(mb_crc32c(0, mb_slice_of(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    MB_CHECK_EQ_INT(mb_crc32c(0, mb_slice_of(bytes, 32)), 0x62a8ab43);
    for (int i = 0; i < 32; i++) {
        bytes[i] = (char)i;
    }
    MB_CHECK_EQ_INT(mb_crc32c(0, mb_slice_of(bytes, 32)), 0x46dd794e);
}

MB_TEST(pieces_give_what_the_whole_gives) {
    mb_slice text = MB_SLICE_LIT("The quick brown fox jumps over the lazy dog");
    for (size_t cut = 0; cut <= text.len; cut++) {
        uint32_t first = mb_crc32c(0, mb_slice_take(text, cut));
        MB_CHECK_EQ_INT(mb_crc32c(first, mb_slice_skip(text, cut)), mb_crc32c(0, text));
    }
}
