#include "base/slice.h"
#include "http/grpc.h"
#include "mbtest.h"

typedef struct world {
    mbtest_alloc *memory;
    mb_arena_pool pool;
    mb_arena arena;
    mb_headers headers;
} world;

static void world_init(world *self) {
    self->memory = mbtest_failing_alloc(0);
    mb_arena_pool_init(&self->pool, &self->memory->allocator, 0);
    mb_arena_init(&self->arena, &self->pool);
    mb_headers_init(&self->headers, &self->arena);
}

static void world_fini(world *self) {
    mb_arena_clear(&self->arena);
    mb_arena_pool_fini(&self->pool);
    mbtest_alloc_free(self->memory);
}

MB_TEST(timeouts_in_all_units) {
    static const struct {
        const char *text;
        int rc;
        uint64_t us;
    } cases[] = {{"1H", MB_OK, 3600000000u},
                 {"2M", MB_OK, 120000000},
                 {"3S", MB_OK, 3000000},
                 {"4m", MB_OK, 4000},
                 {"5u", MB_OK, 1000},
                 {"1001u", MB_OK, 2000},
                 {"1n", MB_OK, 1000},
                 {"0S", MB_OK, 0},
                 {"99999999H", MB_OK, 359999996400000000u},
                 {"123456789S", MB_EINVAL, 0},
                 {"S", MB_EINVAL, 0},
                 {"1", MB_EINVAL, 0},
                 {"1s", MB_EINVAL, 0},
                 {"-1S", MB_EINVAL, 0},
                 {"1.5S", MB_EINVAL, 0},
                 {" 1S", MB_EINVAL, 0}};
    world self;
    uint64_t us;

    world_init(&self);
    MB_CHECK_EQ_INT(mb_grpc_timeout(&self.headers, &us), MB_ENOTFOUND);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mb_headers_set_token(&self.headers, MB_TOKEN_GRPC_TIMEOUT, mb_slice_from_c(cases[i].text));
        MB_CHECK_EQ_INT(mb_grpc_timeout(&self.headers, &us), cases[i].rc);
        if (cases[i].rc == MB_OK) {
            MB_CHECK_EQ_INT(us, cases[i].us);
        }
    }
    world_fini(&self);
}

MB_TEST(timeout_is_written_within_eight_digits) {
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        {0, "0m"}, {1500000, "1500m"}, {99999999000u, "99999999m"}, {100000000000u, "100000S"}};
    world self;

    world_init(&self);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        MB_CHECK_EQ_INT(mb_grpc_set_timeout(&self.headers, cases[i].us), MB_OK);
        MB_CHECK_EQ_SLICE(mb_headers_value(&self.headers, MB_TOKEN_GRPC_TIMEOUT),
                          mb_slice_from_c(cases[i].text));
    }
    MB_CHECK_EQ_INT(mb_grpc_set_timeout(&self.headers, UINT64_MAX), MB_OK);
    MB_CHECK(mb_headers_value(&self.headers, MB_TOKEN_GRPC_TIMEOUT).len <= 9);
    world_fini(&self);
}
