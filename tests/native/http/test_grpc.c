/* What is gRPC and what is not, and how its status and message are written. */
#include "http/grpc.h"

#include "base/slice.h"
#include "mbtest.h"

#include <stdio.h>

typedef struct rig {
    mbtest_alloc *memory;
    mb_arena_pool pool;
    mb_arena arena;
    mb_headers headers;
} rig;

static void begin(rig *self) {
    self->memory = mbtest_failing_alloc(0);
    mb_arena_pool_init(&self->pool, &self->memory->allocator, 0);
    mb_arena_init(&self->arena, &self->pool);
    mb_headers_init(&self->headers, &self->arena);
}

static void end(rig *self) {
    mb_arena_clear(&self->arena);
    mb_arena_pool_fini(&self->pool);
    mbtest_alloc_free(self->memory);
}

static void set(rig *self, const char *name, const char *value) {
    MB_CHECK_EQ_INT(mb_headers_set(&self->headers, mb_slice_from_c(name), mb_slice_from_c(value)),
                    MB_OK);
}

MB_TEST(content_type_decides_what_is_grpc) {
    static const struct {
        const char *type;
        bool grpc;
    } rows[] = {{"application/grpc", true},       {"application/grpc+proto", true},
                {"application/grpc+", true},      {"application/grpc-web", false},
                {"application/grpc;x=y", false},  {"application/grpcx", false},
                {"application/grp", false},       {"", false},
                {"Application/grpc+json", false}, {"text/application/grpc", false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rig self;
        begin(&self);
        set(&self, "content-type", rows[i].type);
        MB_CHECK_EQ_INT(mb_grpc_is_content_type(mb_slice_from_c(rows[i].type)), rows[i].grpc);
        MB_CHECK(!mb_grpc_is_request(&self.headers)); /* no path */
        set(&self, ":path", "/a.B/C");
        MB_CHECK_EQ_INT(mb_grpc_is_request(&self.headers), rows[i].grpc);
        end(&self);
    }
}

MB_TEST(response_is_grpc_by_status_and_type_or_by_grpc_status_alone) {
    rig self;
    begin(&self);
    set(&self, ":status", "200");
    MB_CHECK(!mb_grpc_is_response(&self.headers, false));
    set(&self, "content-type", "application/grpc");
    MB_CHECK(mb_grpc_is_response(&self.headers, false));
    MB_CHECK(!mb_grpc_is_response(&self.headers, true));
    set(&self, ":status", "503");
    MB_CHECK(!mb_grpc_is_response(&self.headers, false));
    set(&self, "grpc-status", "14");
    MB_CHECK(!mb_grpc_is_response(&self.headers, false));
    MB_CHECK(mb_grpc_is_response(&self.headers, true));
    end(&self);
}

MB_TEST(http_status_has_a_grpc_status) {
    static const uint32_t rows[][2] = {{400, 13}, {401, 16}, {403, 7},  {404, 12}, {429, 14},
                                       {502, 14}, {503, 14}, {504, 14}, {500, 2},  {200, 2},
                                       {413, 2},  {0, 2},    {599, 2}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        MB_CHECK_EQ_INT(mb_grpc_status_of_http(rows[i][0]), rows[i][1]);
    }
}

MB_TEST(grpc_status_is_a_number) {
    static const struct {
        const char *text;
        int result;
        uint64_t number;
    } rows[] = {{"0", MB_OK, 0},
                {"16", MB_OK, 16},
                {"99", MB_OK, 99},
                {"", MB_ENOTFOUND, 7},
                {"-1", MB_EINVAL, 7},
                {"1x", MB_EINVAL, 7},
                {"4294967295", MB_OK, 4294967295u},
                {"00000000000", MB_EINVAL, 7}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t number = 7;
        rig self;
        begin(&self);
        MB_CHECK_EQ_INT(mb_grpc_status(&self.headers, &number), MB_ENOTFOUND);
        set(&self, "grpc-status", rows[i].text);
        MB_CHECK_EQ_INT(mb_grpc_status(&self.headers, &number), rows[i].result);
        MB_CHECK_EQ_INT(number, rows[i].number);
        end(&self);
    }
}

MB_TEST(status_has_two_names) {
    MB_CHECK_EQ_LIT(mb_grpc_status_name(0, false), "OK");
    MB_CHECK_EQ_LIT(mb_grpc_status_name(1, false), "Canceled");
    MB_CHECK_EQ_LIT(mb_grpc_status_name(1, true), "CANCELLED");
    MB_CHECK_EQ_LIT(mb_grpc_status_name(14, false), "Unavailable");
    MB_CHECK_EQ_LIT(mb_grpc_status_name(16, true), "UNAUTHENTICATED");
    MB_CHECK_EQ_LIT(mb_grpc_status_name(17, true), "");
    MB_CHECK_EQ_LIT(mb_grpc_status_name(UINT64_MAX, false), "");
}

MB_TEST(message_is_percent_encoded) {
    rig self;
    mb_text text;
    char every[256];
    begin(&self);
    mb_text_init(&text, &self.memory->allocator, SIZE_MAX);
    mb_grpc_append_message(&text, MB_SLICE_LIT("100% of a\tb\n\xff~"));
    MB_CHECK_EQ_LIT(mb_text_view(&text), "100%25 of a%09b%0A%FF%7E");
    mb_text_clear(&text);
    mb_grpc_append_message(&text, MB_SLICE_LIT(""));
    MB_CHECK_EQ_LIT(mb_text_view(&text), "");
    for (int i = 0; i < 256; i++) {
        every[i] = (char)i;
    }
    mb_grpc_append_message(&text, (mb_slice){every, sizeof(every)});
    set(&self, "grpc-message", "x"); /* what comes out is a header value */
    MB_CHECK_EQ_INT(
        mb_headers_set(&self.headers, MB_SLICE_LIT("grpc-message"), mb_text_view(&text)), MB_OK);
    MB_CHECK_EQ_INT(text.len, 93 + 163 * 3);
    mb_text_fini(&text);
    end(&self);
}
