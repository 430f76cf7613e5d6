/*
 * Slabs and leases on one thread: what is shared, what is reused, what is kept, what is copied.
 */
#include "base/slab.h"

#include "base/asan.h"
#include "mbtest.h"

static char *reserve(mb_slab_pool *pool, size_t bytes, mb_slab **slab) {
    char *at = NULL;
    size_t room = 0;
    MB_CHECK_EQ_INT(mb_slab_reserve(pool, bytes, slab, &at, &room), MB_OK);
    MB_CHECK(room >= bytes);
    return at;
}

/* A slab of its own whose bytes are all `fill`, with one reference. */
static mb_slab *filled(mb_slab_pool *pool, size_t bytes, char fill) {
    mb_slab *slab = mb_slab_new(pool, bytes);
    MB_CHECK(slab != NULL);
    memset(slab->data, fill, bytes);
    mb_slab_commit(slab, bytes);
    return slab;
}

static mb_slab_stats stats_of(const mb_slab_pool *pool) {
    mb_slab_stats stats;
    mb_slab_pool_stats(pool, &stats);
    return stats;
}

MB_TEST(second_reserve_continues_behind_what_was_committed) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slab *slab;
    char *first = reserve(pool, 100, &slab);
    mb_slab_commit(slab, 10);
    mb_slab_ref(slab);
    mb_slab *again;
    MB_CHECK(reserve(pool, 100, &again) == first + 10);
    MB_CHECK(again == slab);
    mb_slab_unref(slab);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

MB_TEST(current_slab_without_references_is_filled_from_its_front_again) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slab *slab;
    char *first = reserve(pool, 1, &slab);
    for (int i = 0; i < 1000; i++) {
        MB_CHECK(reserve(pool, 30000, &slab) == first);
        mb_slab_commit(slab, 30000);
        mb_slab_ref(slab);
        mb_slab_unref(slab);
    }
    MB_CHECK_EQ_INT(memory->requests, 2);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

MB_TEST(referenced_bytes_are_never_lent_again) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slab *held[64];
    const char *bytes[64];
    for (int i = 0; i < 64; i++) {
        char *at = reserve(pool, 5000, &held[i]);
        memset(at, 'a' + i % 26, 5000);
        mb_slab_commit(held[i], 5000);
        mb_slab_ref(held[i]);
        bytes[i] = at;
    }
    for (int i = 0; i < 64; i++) {
        for (int j = 0; j < 5000; j++) {
            MB_CHECK(bytes[i][j] == 'a' + i % 26);
        }
        mb_slab_unref(held[i]);
    }
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

MB_TEST(slab_sizes_are_small_large_and_exact) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    static const size_t asked[] = {0,
                                   1,
                                   MB_SLAB_SMALL_BYTES,
                                   MB_SLAB_SMALL_BYTES + 1,
                                   MB_SLAB_LARGE_BYTES,
                                   MB_SLAB_LARGE_BYTES + 1,
                                   1000000};
    static const size_t given[] = {MB_SLAB_SMALL_BYTES,
                                   MB_SLAB_SMALL_BYTES,
                                   MB_SLAB_SMALL_BYTES,
                                   MB_SLAB_LARGE_BYTES,
                                   MB_SLAB_LARGE_BYTES,
                                   MB_SLAB_LARGE_BYTES + 1,
                                   1000000};
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        mb_slab *slab = filled(pool, asked[i], 'x');
        MB_CHECK_EQ_INT(slab->capacity, given[i]);
        MB_CHECK_EQ_INT(slab->refs, 1);
        mb_slab_unref(slab);
    }
    MB_CHECK_EQ_INT(stats_of(pool).free_small, 1);
    MB_CHECK_EQ_INT(stats_of(pool).free_large, 1);
    MB_CHECK(mb_slab_new(pool, (size_t)MB_SLAB_HUGE_BYTES_MAX + 1) == NULL);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

MB_TEST(free_slabs_beyond_the_bound_go_back_to_the_allocator) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slab *slabs[MB_SLAB_KEEP_SMALL + 10];
    for (int i = 0; i < MB_SLAB_KEEP_SMALL + 10; i++) {
        slabs[i] = mb_slab_new(pool, 1);
    }
    MB_CHECK_EQ_INT(stats_of(pool).live_small, MB_SLAB_KEEP_SMALL + 10);
    for (int i = 0; i < MB_SLAB_KEEP_SMALL + 10; i++) {
        mb_slab_unref(slabs[i]);
    }
    MB_CHECK_EQ_INT(stats_of(pool).live_small, 0);
    MB_CHECK_EQ_INT(stats_of(pool).free_small, MB_SLAB_KEEP_SMALL);
    MB_CHECK_EQ_INT(memory->outstanding, 1 + MB_SLAB_KEEP_SMALL);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

MB_TEST(lease_keeps_bytes_until_it_is_released) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slab *slab = filled(pool, 5, 'x');
    mb_lease *lease;
    mb_slice lent;
    MB_CHECK_EQ_INT(mb_slab_lease_bytes(pool, slab, (mb_slice){slab->data + 1, 3}, &lent, &lease),
                    MB_OK);
    mb_slab_unref(slab);
    MB_CHECK(lent.ptr == slab->data + 1);
    MB_CHECK_EQ_LIT(lent, "xxx");
    MB_CHECK_EQ_INT(stats_of(pool).leases, 1);
    MB_CHECK_EQ_INT(stats_of(pool).leased_bytes, MB_SLAB_SMALL_BYTES);
    MB_CHECK_EQ_INT(stats_of(pool).live_small, 1);
    mb_slab_lease_release(lease);
    MB_CHECK_EQ_INT(stats_of(pool).leases, 0);
    MB_CHECK_EQ_INT(stats_of(pool).leased_bytes, 0);
    MB_CHECK_EQ_INT(stats_of(pool).live_small, 0);
    mb_slab_lease_release(NULL);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

MB_TEST(several_leases_of_a_slab_charge_it_once) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slab *slab = filled(pool, 5, 'x');
    mb_lease *first = mb_slab_lease(slab);
    mb_lease *second = mb_slab_lease(slab);
    MB_CHECK_EQ_INT(stats_of(pool).leased_bytes, MB_SLAB_SMALL_BYTES);
    mb_slab_lease_release(first);
    MB_CHECK_EQ_INT(stats_of(pool).leased_bytes, MB_SLAB_SMALL_BYTES);
    mb_slab_lease_release(second);
    MB_CHECK_EQ_INT(stats_of(pool).leased_bytes, 0);
    mb_slab_unref(slab);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

MB_TEST(past_the_cap_a_lease_owns_a_copy) {
    enum { FIT = MB_SLAB_LEASED_BYTES_MAX / MB_SLAB_LARGE_BYTES };
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    static mb_lease *leases[FIT];
    for (int i = 0; i < FIT; i++) {
        mb_slab *slab = mb_slab_new_large(pool);
        leases[i] = mb_slab_lease(slab);
        mb_slab_unref(slab);
    }
    mb_slab *over = filled(pool, MB_SLAB_LARGE_BYTES, 'y');
    mb_slice lent;
    mb_lease *copy;
    MB_CHECK_EQ_INT(mb_slab_lease_bytes(pool, over, (mb_slice){over->data, 4}, &lent, &copy), 1);
    MB_CHECK(lent.ptr != over->data);
    mb_slab_unref(over);
    MB_CHECK_EQ_LIT(lent, "yyyy");
    mb_slab_lease_release(leases[0]);
    over = filled(pool, 10, 'z');
    MB_CHECK_EQ_INT(mb_slab_lease_bytes(pool, over, (mb_slice){over->data, 4}, &lent, &leases[0]),
                    MB_OK);
    mb_slab_unref(over);
    mb_slab_lease_release(copy);
    for (int i = 0; i < FIT; i++) {
        mb_slab_lease_release(leases[i]);
    }
    MB_CHECK_EQ_INT(stats_of(pool).leased_bytes, 0);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

MB_TEST(constant_and_empty_bytes_are_leased_without_a_slab) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slice lent;
    mb_lease *lease;
    MB_CHECK_EQ_INT(mb_slab_lease_bytes(pool, NULL, MB_SLICE_LIT("const"), &lent, &lease), MB_OK);
    MB_CHECK_EQ_LIT(lent, "const");
    MB_CHECK_EQ_INT(stats_of(pool).leased_bytes, 0);
    mb_slab_lease_release(lease);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

MB_TEST(pool_freed_with_leases_out_is_freed_by_the_last_one) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slab *slab = filled(pool, 3, 'a');
    mb_lease *first = mb_slab_lease(slab);
    mb_lease *second = mb_slab_lease(slab);
    mb_slab_unref(slab);
    mb_slab *other = filled(pool, 300000, 'b');
    mb_lease *third = mb_slab_lease(other);
    mb_slab_unref(other);
    mb_slab_pool_free(pool);
    MB_CHECK(slab->data[0] == 'a' && other->data[299999] == 'b');
    mb_slab_lease_release(third);
    mb_slab_lease_release(first);
    MB_CHECK(slab->data[2] == 'a');
    MB_CHECK(memory->outstanding > 0);
    mb_slab_lease_release(second);
    MB_CHECK_EQ_INT(memory->outstanding, 0);
    mbtest_alloc_free(memory);
}

MB_TEST(without_an_owner_releases_wait_for_collect) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slab *slab = filled(pool, 3, 'a');
    mb_lease *leases[3];
    for (int i = 0; i < 3; i++) {
        leases[i] = mb_slab_lease(slab);
    }
    mb_slab_unref(slab);
    mb_slab_pool_disown(pool);
    for (int i = 0; i < 3; i++) {
        mb_slab_lease_release(leases[i]);
    }
    MB_CHECK_EQ_INT(stats_of(pool).leases, 3);
    mb_slab_pool_adopt(pool);
    mb_slab_pool_collect(pool);
    MB_CHECK_EQ_INT(stats_of(pool).leases, 0);
    MB_CHECK_EQ_INT(stats_of(pool).live_small, 0);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

#ifdef MB_HAS_ASAN
MB_TEST(released_bytes_are_poisoned_and_lent_ones_are_not) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slab *slab = filled(pool, 100, 'x');
    MB_CHECK(__asan_region_is_poisoned(slab->data, slab->capacity) == NULL);
    mb_slab_unref(slab);
    MB_CHECK(__asan_address_is_poisoned(slab->data));
    MB_CHECK(__asan_address_is_poisoned(slab->data + slab->capacity - 1));
    mb_slab *again = filled(pool, 100, 'y');
    MB_CHECK(again == slab);
    MB_CHECK(__asan_region_is_poisoned(slab->data, slab->capacity) == NULL);
    mb_slab_unref(again);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}

MB_TEST(released_bytes_of_the_current_slab_are_poisoned_at_once) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    mb_slab *slab;
    char *at = reserve(pool, 100, &slab);
    mb_slab_commit(slab, 50);
    mb_slab_ref(slab);
    mb_slab_ref(slab);
    mb_slab_unref(slab);
    MB_CHECK(!__asan_address_is_poisoned(at));
    mb_slab_unref(slab);
    MB_CHECK(__asan_address_is_poisoned(at) && __asan_address_is_poisoned(at + 40));
    MB_CHECK(reserve(pool, 100, &slab) == at);
    MB_CHECK(__asan_region_is_poisoned(at, 100) == NULL);
    mb_slab_pool_free(pool);
    mbtest_alloc_free(memory);
}
#endif

static int use_everything(mb_allocator *allocator) {
    mb_slab_pool *pool = mb_slab_pool_new(allocator);
    if (pool == NULL) {
        return MB_ENOMEM;
    }
    mb_slab *slab = NULL;
    mb_slab *own = NULL;
    mb_lease *lease = NULL;
    mb_lease *copy = NULL;
    char *at;
    size_t room;
    int result = mb_slab_reserve(pool, 10, &slab, &at, &room);
    if (result == MB_OK) {
        mb_slab_commit(slab, 10);
        mb_slab_ref(slab);
        own = mb_slab_new_large(pool);
        lease = own == NULL ? NULL : mb_slab_lease(own);
        result = lease == NULL ? MB_ENOMEM : MB_OK;
    }
    if (result == MB_OK) {
        mb_slice lent;
        pool->leased_bytes += MB_SLAB_LEASED_BYTES_MAX; /* as if others had them */
        result = mb_slab_lease_bytes(pool, slab, (mb_slice){at, 10}, &lent, &copy);
        pool->leased_bytes -= MB_SLAB_LEASED_BYTES_MAX;
        MB_CHECK(result == 1 || result == MB_ENOMEM);
        result = result < 0 ? result : MB_OK;
    }
    mb_slab_lease_release(copy);
    mb_slab_lease_release(lease);
    if (own != NULL) {
        mb_slab_unref(own);
    }
    if (slab != NULL) {
        mb_slab_unref(slab);
    }
    mb_slab_pool_free(pool);
    return result;
}

MB_TEST(every_failing_allocation_is_reported_and_leaks_nothing) {
    for (size_t n = 1, failed = 1; failed; n++) {
        mbtest_alloc *memory = mbtest_failing_alloc(n);
        int result = use_everything(&memory->allocator);
        failed = memory->requests >= n;
        MB_CHECK_EQ_INT(result, failed ? MB_ENOMEM : MB_OK);
        MB_CHECK_EQ_INT(memory->outstanding, 0);
        mbtest_alloc_free(memory);
    }
}
