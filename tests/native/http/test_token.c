/* The table of known names: found by text, by nothing else. */
#include "http/token.h"

#include "mbtest.h"

MB_TEST(every_name_is_found_at_a_guard_page) {
    for (uint32_t token = 1; token < MB_TOKEN_COUNT; token++) {
        mb_slice name = mb_token_name(token);
        const char *guarded = mbtest_guard(name.ptr, name.len);

        MB_CHECK(name.len > 0 && name.len <= MB_TOKEN_NAME_MAX);
        MB_CHECK_EQ_INT(mb_token_find((mb_slice){guarded, name.len}), token);
        mbtest_guard_free(guarded, name.len);
    }
}

MB_TEST(a_name_that_differs_in_one_byte_is_not_found) {
    for (uint32_t token = 1; token < MB_TOKEN_COUNT; token++) {
        mb_slice name = mb_token_name(token);
        char changed[MB_TOKEN_NAME_MAX + 1];

        for (size_t i = 0; i < name.len; i++) {
            memcpy(changed, name.ptr, name.len);
            changed[i] = '!';
            MB_CHECK_EQ_INT(mb_token_find((mb_slice){changed, name.len}), MB_TOKEN_NONE);
        }
        memcpy(changed, name.ptr, name.len);
        changed[name.len] = 's';
        MB_CHECK_EQ_INT(mb_token_find((mb_slice){changed, name.len + 1}), MB_TOKEN_NONE);
        uint32_t shorter = mb_token_find((mb_slice){changed, name.len - 1});
        MB_CHECK(shorter == MB_TOKEN_NONE || mb_token_name(shorter).len == name.len - 1);
    }
}

MB_TEST(odd_names_have_no_token) {
    char big[4096];

    memset(big, 'a', sizeof big);
    MB_CHECK_EQ_INT(mb_token_find((mb_slice){NULL, 0}), MB_TOKEN_NONE);
    MB_CHECK_EQ_INT(mb_token_find((mb_slice){big, sizeof big}), MB_TOKEN_NONE);
    MB_CHECK_EQ_INT(mb_token_find(MB_SLICE_LIT("Host")), MB_TOKEN_NONE);
    MB_CHECK_EQ_INT(mb_token_find(MB_SLICE_LIT(":path")), MB_TOKEN_NONE);
    MB_CHECK_EQ_INT(mb_token_name(MB_TOKEN_NONE).len, 0);
    MB_CHECK_EQ_INT(mb_token_name(MB_TOKEN_COUNT).len, 0);
    MB_CHECK_EQ_INT(mb_token_name(UINT32_MAX).len, 0);
}

MB_TEST(hop_by_hop_names_are_those_of_rfc_9110) {
    static const uint32_t named[] = {MB_TOKEN_CONNECTION,       MB_TOKEN_KEEP_ALIVE,
                                     MB_TOKEN_PROXY_CONNECTION, MB_TOKEN_TRANSFER_ENCODING,
                                     MB_TOKEN_UPGRADE,          MB_TOKEN_TE,
                                     MB_TOKEN_TRAILER,          MB_TOKEN_HTTP2_SETTINGS};
    unsigned count = 0;

    for (uint32_t token = 0; token < MB_TOKEN_COUNT; token++) {
        count += mb_token_is_hop_by_hop(token);
    }
    MB_CHECK_EQ_INT(count, sizeof named / sizeof *named);
    for (unsigned i = 0; i < count; i++) {
        MB_CHECK(mb_token_is_hop_by_hop(named[i]));
    }
    /* The parser and the writer test for these by range. */
    MB_CHECK_EQ_INT(MB_TOKEN_HOST, MB_TOKEN_HOP_BY_HOP_LAST + 1);
    MB_CHECK_EQ_INT(MB_TOKEN_CONTENT_LENGTH, MB_TOKEN_HOP_BY_HOP_LAST + 2);
}

MB_TEST(pseudo_headers_are_found_by_name_and_host_is_the_authority) {
    for (int i = 0; i < MB_PSEUDO_COUNT; i++) {
        MB_CHECK_EQ_INT(mb_pseudo_find(mb_pseudo_name((mb_pseudo)i)), i);
    }
    MB_CHECK_EQ_INT(mb_pseudo_find(MB_SLICE_LIT("host")), MB_PSEUDO_AUTHORITY);
    MB_CHECK_EQ_INT(mb_pseudo_find(MB_SLICE_LIT("path")), MB_PSEUDO_COUNT);
    MB_CHECK_EQ_INT(mb_pseudo_find(MB_SLICE_LIT(":foo")), MB_PSEUDO_COUNT);
    MB_CHECK_EQ_INT(mb_pseudo_find(MB_SLICE_LIT("")), MB_PSEUDO_COUNT);
    MB_CHECK_EQ_INT(mb_pseudo_name(MB_PSEUDO_COUNT).len, 0);
}
