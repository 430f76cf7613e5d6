/*
 * Base64 and SHA-1 against their published examples, and each other way round.
 */
#include "base/base64.h"
#include "base/sha1.h"

#include "base/random.h"
#include "mbtest.h"

#include <stdlib.h>

typedef struct example {
    mb_slice plain, coded;
} example;

/* RFC 4648 10. */
static const example examples[] = {
    {MB_SLICE_LIT(""), MB_SLICE_LIT("")},
    {MB_SLICE_LIT("f"), MB_SLICE_LIT("Zg==")},
    {MB_SLICE_LIT("fo"), MB_SLICE_LIT("Zm8=")},
    {MB_SLICE_LIT("foo"), MB_SLICE_LIT("Zm9v")},
    {MB_SLICE_LIT("foob"), MB_SLICE_LIT("Zm9vYg==")},
    {MB_SLICE_LIT("fooba"), MB_SLICE_LIT("Zm9vYmE=")},
    {MB_SLICE_LIT("foobar"), MB_SLICE_LIT("Zm9vYmFy")},
    {MB_SLICE_LIT("\xfb\xff\xfe"), MB_SLICE_LIT("+//+")},
};

MB_TEST(published_examples_are_coded_both_ways) {
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        char out[16];
        size_t len = mb_base64_encode(examples[i].plain, out);
        MB_CHECK_EQ_INT(len, mb_base64_encoded_bytes(examples[i].plain.len));
        MB_CHECK_EQ_SLICE(((mb_slice){out, len}), examples[i].coded);
        int64_t back = mb_base64_decode(examples[i].coded, out);
        MB_CHECK(back >= 0);
        MB_CHECK_EQ_SLICE(((mb_slice){out, (size_t)back}), examples[i].plain);
    }
}

MB_TEST(random_bytes_come_back) {
    mb_random random;
    mb_random_seed(&random, 3);
    for (size_t len = 0; len < 200; len++) {
        char plain[200];
        for (size_t i = 0; i < len; i++) {
            plain[i] = (char)mb_random_below(&random, 256);
        }
        const char *guarded = mbtest_guard(plain, len);
        char coded[400];
        char back[300];
        size_t coded_len = mb_base64_encode((mb_slice){guarded, len}, coded);
        mbtest_guard_free(guarded, len);
        const char *text = mbtest_guard(coded, coded_len);
        MB_CHECK_EQ_INT(mb_base64_decode((mb_slice){text, coded_len}, back), len);
        MB_CHECK(memcmp(plain, back, len) == 0);
        MB_CHECK(len <= mb_base64_decoded_bytes_max(coded_len));
        mbtest_guard_free(text, coded_len);
    }
}

MB_TEST(anything_but_canonical_base64_is_refused) {
    static const mb_slice refused[] = {
        MB_SLICE_LIT("Zg"),       MB_SLICE_LIT("Zg="),        MB_SLICE_LIT("Zg==="),
        MB_SLICE_LIT("===="),     MB_SLICE_LIT("A==="),       MB_SLICE_LIT("Z=g="),
        MB_SLICE_LIT("Zg==Zg=="), MB_SLICE_LIT("Zm9v\n"),     MB_SLICE_LIT("Zm 9v"),
        MB_SLICE_LIT("Zm-_"),     MB_SLICE_LIT("Zh=="),       MB_SLICE_LIT("Zm9="),
        MB_SLICE_LIT("Zm9\0"),    MB_SLICE_LIT("\xc3\xa4=="), MB_SLICE_LIT("Zm9v===="),
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char out[16];
        MB_CHECK_EQ_INT(mb_base64_decode(refused[i], out), MB_EINVAL);
    }
}

MB_TEST(each_character_has_its_value_and_others_none) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int c = 0; c < 256; c++) {
        const char text[4] = {(char)c, 'A', '=', '='};
        char out[3];
        const char *at = c == 0 ? NULL : strchr(alphabet, c);
        int64_t got = mb_base64_decode((mb_slice){text, 4}, out);
        MB_CHECK_EQ_INT(got, at == NULL ? MB_EINVAL : 1);
        MB_CHECK(at == NULL || (unsigned char)out[0] >> 2 == at - alphabet);
    }
}

static void check_sha1(mb_slice bytes, const char *want) {
    uint8_t digest[MB_SHA1_BYTES];
    char hex[2 * MB_SHA1_BYTES];
    mb_sha1(bytes, digest);
    for (size_t i = 0; i < MB_SHA1_BYTES; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    MB_CHECK_EQ_SLICE(((mb_slice){hex, sizeof(hex)}), ((mb_slice){want, strlen(want)}));
}

MB_TEST(sha1_of_published_examples) {
    check_sha1(MB_SLICE_LIT(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_sha1(MB_SLICE_LIT("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_sha1(MB_SLICE_LIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
               "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    check_sha1((mb_slice){million, 1000000}, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    free(million);
}

/* Lengths around a block's end take different paddings. */
MB_TEST(sha1_of_every_padding) {
    static const char *const want[] = {
        "c1c8bbdc22796e28c0e15163d20899b65621d65a", /* 55 */
        "c2db330f6083854c99d4b5bfb6e8f29f201be699", /* 56 */
        "03f09f5b158a7a8cdad920bddc29b81c18a551f5", /* 63 */
        "0098ba824b5c16427bd7a1122a5a442a25ec644d", /* 64 */
        "11655326c708d70319be2610e8a57d9a5b959d3b", /* 65 */
    };
    static const size_t lengths[] = {55, 56, 63, 64, 65};
    for (size_t i = 0; i < 5; i++) {
        char text[65];
        memset(text, 'a', sizeof(text));
        const char *guarded = mbtest_guard(text, lengths[i]);
        check_sha1((mb_slice){guarded, lengths[i]}, want[i]);
        mbtest_guard_free(guarded, lengths[i]);
    }
}
