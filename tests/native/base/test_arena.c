/*
 * Arenas: alignment, reuse of chunks, and what does not fit in one.
 */
#include "base/arena.h"

#include "base/asan.h"
#include "mbtest.h"

typedef struct fixture {
    mbtest_alloc *memory;
    mb_arena_pool pool;
    mb_arena arena;
} fixture;

static void set_up(fixture *f, size_t fail_at) {
    f->memory = mbtest_failing_alloc(fail_at);
    mb_arena_pool_init(&f->pool, &f->memory->allocator, 4);
    mb_arena_init(&f->arena, &f->pool);
}

static void tear_down(fixture *f) {
    mb_arena_clear(&f->arena);
    mb_arena_pool_fini(&f->pool);
    mbtest_alloc_free(f->memory);
}

MB_TEST(blocks_are_aligned_and_do_not_overlap) {
    fixture f;
    set_up(&f, 0);
    unsigned char *blocks[400];
    for (size_t i = 0; i < 400; i++) {
        blocks[i] = mb_arena_alloc(&f.arena, i);
        MB_CHECK(blocks[i] != NULL);
        MB_CHECK_EQ_INT((uintptr_t)blocks[i] % MB_ARENA_ALIGN, 0);
        memset(blocks[i], (int)i, i);
        MB_CHECK(mb_arena_bytes(&f.arena, i % 5) != NULL); /* upsets the alignment */
    }
    for (size_t i = 0; i < 400; i++) {
        for (size_t j = 0; j < i; j++) {
            MB_CHECK(blocks[i][j] == (unsigned char)i);
        }
    }
    tear_down(&f);
}

MB_TEST(cleared_arena_allocates_nothing_new) {
    fixture f;
    set_up(&f, 0);
    for (int i = 0; i < 100; i++) {
        mb_arena_alloc(&f.arena, 300);
        mb_arena_alloc(&f.arena, 1900);
        mb_arena_alloc(&f.arena, 300);
        mb_arena_clear(&f.arena);
    }
    MB_CHECK_EQ_INT(f.memory->requests, 2);
    tear_down(&f);
}

MB_TEST(kept_chunks_are_bounded) {
    fixture f;
    set_up(&f, 0);
    for (int i = 0; i < 10 * 4; i++) {
        mb_arena_alloc(&f.arena, 500);
    }
    mb_arena_clear(&f.arena);
    MB_CHECK_EQ_INT(f.memory->outstanding, 4);
    tear_down(&f);
}

MB_TEST(large_block_does_not_waste_the_rest_of_the_newest_chunk) {
    fixture f;
    set_up(&f, 0);
    char *before = mb_arena_bytes(&f.arena, 10);
    MB_CHECK(mb_arena_alloc(&f.arena, 100000) != NULL);
    MB_CHECK(mb_arena_bytes(&f.arena, 10) == before + 10);
    MB_CHECK(mb_arena_alloc(&f.arena, SIZE_MAX) == NULL);
    MB_CHECK(mb_arena_alloc(&f.arena, SIZE_MAX - 15) == NULL);
    tear_down(&f);
}

MB_TEST(copies_are_independent_of_their_source) {
    fixture f;
    set_up(&f, 0);
    char source[] = "text";
    mb_slice copy;
    MB_CHECK_EQ_INT(mb_arena_dup(&f.arena, (mb_slice){source, 4}, &copy), MB_OK);
    char *with_nul = mb_arena_dup_z(&f.arena, (mb_slice){source, 4});
    source[0] = 'n';
    MB_CHECK_EQ_LIT(copy, "text");
    MB_CHECK(strcmp(with_nul, "text") == 0);
    MB_CHECK_EQ_INT(mb_arena_dup(&f.arena, (mb_slice){NULL, 0}, &copy), MB_OK);
    MB_CHECK(copy.ptr != NULL && copy.len == 0);
    MB_CHECK(strcmp(mb_arena_dup_z(&f.arena, (mb_slice){NULL, 0}), "") == 0);
    const unsigned char *zeroed = mb_arena_zalloc(&f.arena, 1500);
    for (int i = 0; i < 1500; i++) {
        MB_CHECK(zeroed[i] == 0);
    }
    tear_down(&f);
}

#ifdef MB_HAS_ASAN
MB_TEST(freed_chunks_are_poisoned) {
    fixture f;
    set_up(&f, 0);
    char *bytes = mb_arena_bytes(&f.arena, 10);
    MB_CHECK(!__asan_address_is_poisoned(bytes));
    mb_arena_clear(&f.arena);
    MB_CHECK(__asan_address_is_poisoned(bytes));
    MB_CHECK(mb_arena_bytes(&f.arena, 10) == bytes);
    MB_CHECK(!__asan_address_is_poisoned(bytes));
    tear_down(&f);
}
#endif

MB_TEST(failing_allocation_is_null_and_the_arena_stays_usable) {
    for (size_t n = 1; n <= 3; n++) {
        fixture f;
        mb_slice copy;
        set_up(&f, n);
        int failures = 0;
        failures += mb_arena_dup(&f.arena, MB_SLICE_LIT("abc"), &copy) != MB_OK;
        failures += mb_arena_zalloc(&f.arena, 5000) == NULL;
        failures += mb_arena_alloc(&f.arena, 2020) == NULL;
        failures += mb_arena_dup_z(&f.arena, MB_SLICE_LIT("abc")) == NULL;
        MB_CHECK_EQ_INT(failures, 1);
        tear_down(&f);
    }
}
