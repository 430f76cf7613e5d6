/* Small questions about messages, reason phrases, character classes. */
#include "http/message.h"

#include "base/alloc.h"
#include "http/chars.h"
#include "http/status.h"
#include "mbtest.h"

static mb_arena_pool pool;
static mb_arena arena;
static mb_headers map;

static void open_map(void) {
    mb_arena_pool_init(&pool, mb_allocator_default(), 4);
    mb_arena_init(&arena, &pool);
    mb_headers_init(&map, &arena);
}

static void close_map(void) {
    mb_arena_clear(&arena);
    mb_arena_pool_fini(&pool);
}

MB_TEST(status_goes_in_and_out_as_a_number) {
    open_map();
    MB_CHECK_EQ_INT(mb_http_status(&map), 0);
    for (uint32_t status = 100; status < 1000; status++) {
        MB_CHECK_EQ_INT(mb_http_set_status(&map, status), MB_OK);
        MB_CHECK_EQ_INT(mb_http_status(&map), status);
    }
    MB_CHECK_EQ_INT(mb_http_set_status(&map, 99), MB_EINVAL);
    MB_CHECK_EQ_INT(mb_http_set_status(&map, 1000), MB_EINVAL);
    close_map();
}

MB_TEST(numbers_are_written_in_decimal) {
    static const struct {
        uint64_t number;
        const char *text;
    } cases[] = {{0, "0"}, {10, "10"}, {UINT64_MAX, "18446744073709551615"}};
    uint64_t length;

    open_map();
    MB_CHECK_EQ_INT(mb_http_content_length(&map, &length), MB_ENOTFOUND);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        MB_CHECK_EQ_INT(mb_http_set_number(&map, MB_TOKEN_CONTENT_LENGTH, cases[i].number), MB_OK);
        MB_CHECK_EQ_SLICE(mb_headers_value(&map, MB_TOKEN_CONTENT_LENGTH),
                          ((mb_slice){cases[i].text, strlen(cases[i].text)}));
    }
    MB_CHECK_EQ_INT(mb_http_content_length(&map, &length), MB_EINVAL);
    MB_CHECK_EQ_INT(mb_http_set_number(&map, MB_TOKEN_CONTENT_LENGTH, 7), MB_OK);
    MB_CHECK_EQ_INT(mb_http_content_length(&map, &length), MB_OK);
    MB_CHECK_EQ_INT(length, 7);
    MB_CHECK_EQ_INT(mb_headers_count(&map), 1);
    close_map();
}

MB_TEST(reasons_are_those_of_the_registry) {
    MB_CHECK_EQ_LIT(mb_http_reason(100), "Continue");
    MB_CHECK_EQ_LIT(mb_http_reason(200), "OK");
    MB_CHECK_EQ_LIT(mb_http_reason(226), "IM Used");
    MB_CHECK_EQ_LIT(mb_http_reason(304), "Not Modified");
    MB_CHECK_EQ_LIT(mb_http_reason(306), "Unknown");
    MB_CHECK_EQ_LIT(mb_http_reason(308), "Permanent Redirect");
    MB_CHECK_EQ_LIT(mb_http_reason(418), "Unknown");
    MB_CHECK_EQ_LIT(mb_http_reason(421), "Misdirected Request");
    MB_CHECK_EQ_LIT(mb_http_reason(431), "Request Header Fields Too Large");
    MB_CHECK_EQ_LIT(mb_http_reason(451), "Unavailable For Legal Reasons");
    MB_CHECK_EQ_LIT(mb_http_reason(505), "HTTP Version Not Supported");
    MB_CHECK_EQ_LIT(mb_http_reason(511), "Network Authentication Required");
    for (uint32_t status = 0; status < 1200; status++) {
        MB_CHECK(mb_http_reason(status).len > 0);
    }
}

MB_TEST(hop_by_hop_fields_can_be_stripped) {
    open_map();
    mb_headers_add(&map, MB_SLICE_LIT("connection"), MB_SLICE_LIT("close"));
    mb_headers_add(&map, MB_SLICE_LIT("te"), MB_SLICE_LIT("trailers"));
    mb_headers_add(&map, MB_SLICE_LIT("te"), MB_SLICE_LIT("gzip"));
    mb_headers_add(&map, MB_SLICE_LIT("a"), MB_SLICE_LIT("1"));
    mb_http_strip_hop_by_hop(&map);
    MB_CHECK_EQ_INT(mb_headers_count(&map), 2);
    MB_CHECK_EQ_LIT(mb_headers_value(&map, MB_TOKEN_TE), "trailers");
    close_map();
}

MB_TEST(lists_are_searched_by_element) {
    MB_CHECK(mb_http_list_has(MB_SLICE_LIT("a, Close ,b"), MB_SLICE_LIT("close")));
    MB_CHECK(!mb_http_list_has(MB_SLICE_LIT("closed, not-close"), MB_SLICE_LIT("close")));
    MB_CHECK(!mb_http_list_has(MB_SLICE_LIT(""), MB_SLICE_LIT("close")));
}

MB_TEST(character_classes_are_those_of_the_rfcs) {
    static const char token[] = "!#$%&'*+-.^_`|~";
    static const char host[] = "-._~!$&'()*+,;=%";

    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        bool digit = i >= '0' && i <= '9', upper = i >= 'A' && i <= 'Z';
        bool alnum = digit || upper || (i >= 'a' && i <= 'z');
        bool is_token = alnum || (i != 0 && strchr(token, i) != NULL);
        bool is_host = alnum || (i != 0 && strchr(host, i) != NULL);

        MB_CHECK_EQ_INT(mb_http_is(byte, MB_CHAR_TOKEN), is_token);
        MB_CHECK_EQ_INT(mb_http_is(byte, MB_CHAR_LOWER_TOKEN), is_token && !upper);
        MB_CHECK_EQ_INT(mb_http_is(byte, MB_CHAR_TARGET), i > 0x20 && i < 0x7f && i != '#');
        MB_CHECK_EQ_INT(mb_http_is(byte, MB_CHAR_HOST), is_host);
        MB_CHECK_EQ_INT(mb_http_is_value((mb_slice){&byte, 1}),
                        (i >= 0x20 && i != 0x7f) || i == '\t');
    }
}
