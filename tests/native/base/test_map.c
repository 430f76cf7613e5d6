/*
 * Maps against an array, with few distinct keys so that entries meet, grow and move.
 */
#include "base/map.h"

#include "base/random.h"
#include "mbtest.h"

#include <stdio.h>

enum { KEYS = 300 };

static char key_text[KEYS][8];

static mb_slice key(size_t index) {
    int len = snprintf(key_text[index], sizeof(key_text[index]), "k%zu", index);
    return (mb_slice){key_text[index], (size_t)len};
}

static void check_all(const mb_map *map, void *const *want) {
    size_t count = 0;
    for (size_t i = 0; i < KEYS; i++) {
        MB_CHECK(mb_map_get(map, key(i)) == want[i]);
        count += want[i] != NULL;
    }
    MB_CHECK_EQ_INT(mb_map_count(map), count);
    size_t seen = 0;
    size_t place = 0;
    const mb_map_entry *entry;
    while ((entry = mb_map_next(map, &place)) != NULL) {
        MB_CHECK(mb_map_get(map, entry->key) == entry->value);
        seen++;
    }
    MB_CHECK_EQ_INT(seen, count);
}

MB_TEST(random_changes_agree_with_an_array) {
    static int values[1000];
    for (uint64_t seed = 0; seed < 20; seed++) {
        mbtest_alloc *memory = mbtest_failing_alloc(0);
        void *want[KEYS] = {0};
        mb_random random;
        mb_map map;
        mb_random_seed(&random, seed);
        mb_map_init(&map, &memory->allocator, seed);
        uint32_t range = 1 + mb_random_below(&random, KEYS);
        for (int step = 0; step < 2000; step++) {
            size_t index = mb_random_below(&random, range);
            if (mb_random_below(&random, 2) == 0) {
                void *old = &map;
                void *value = &values[mb_random_below(&random, 1000)];
                MB_CHECK_EQ_INT(mb_map_set(&map, key(index), value, &old), MB_OK);
                MB_CHECK(old == want[index]);
                want[index] = value;
            } else {
                MB_CHECK(mb_map_remove(&map, key(index)) == want[index]);
                want[index] = NULL;
            }
            if (step % 100 == 0) {
                check_all(&map, want);
            }
        }
        check_all(&map, want);
        mb_map_fini(&map);
        mbtest_alloc_free(memory);
    }
}

MB_TEST(empty_map_and_empty_keys_work) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_map map;
    int value = 0;
    mb_map_init(&map, &memory->allocator, 1);
    MB_CHECK(mb_map_get(&map, MB_SLICE_LIT("x")) == NULL);
    MB_CHECK(mb_map_remove(&map, MB_SLICE_LIT("x")) == NULL);
    MB_CHECK_EQ_INT(memory->requests, 0);
    MB_CHECK_EQ_INT(mb_map_set(&map, (mb_slice){NULL, 0}, &value, NULL), MB_OK);
    MB_CHECK(mb_map_get(&map, MB_SLICE_LIT("")) == &value);
    MB_CHECK_EQ_INT(mb_map_set(&map, MB_SLICE_LIT("x"), NULL, NULL), MB_EINVAL);
    mb_map_fini(&map);
    mbtest_alloc_free(memory);
}

MB_TEST(reserved_entries_do_not_allocate) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_map map;
    mb_map_init(&map, &memory->allocator, 1);
    MB_CHECK_EQ_INT(mb_map_reserve(&map, KEYS), MB_OK);
    for (size_t i = 0; i < KEYS; i++) {
        MB_CHECK_EQ_INT(mb_map_set(&map, key(i), &map, NULL), MB_OK);
    }
    MB_CHECK_EQ_INT(memory->requests, 1);
    MB_CHECK_EQ_INT(mb_map_reserve(&map, SIZE_MAX / 2), MB_ENOMEM);
    mb_map_fini(&map);
    mbtest_alloc_free(memory);
}

MB_TEST(map_without_memory_is_unchanged) {
    for (size_t n = 1; n <= 6; n++) {
        mbtest_alloc *memory = mbtest_failing_alloc(n);
        void *want[KEYS] = {0};
        int failures = 0;
        mb_map map;
        mb_map_init(&map, &memory->allocator, 3);
        for (size_t i = 0; i < 150; i++) {
            int result = mb_map_set(&map, key(i), &key_text[i], NULL);
            want[i] = result == MB_OK ? &key_text[i] : NULL;
            failures += result == MB_ENOMEM;
        }
        MB_CHECK_EQ_INT(failures, 1);
        check_all(&map, want);
        mb_map_fini(&map);
        mbtest_alloc_free(memory);
    }
}

MB_TEST(hash_depends_on_the_seed) {
    MB_CHECK(mb_hash(MB_SLICE_LIT("a"), 1) != mb_hash(MB_SLICE_LIT("a"), 2));
    MB_CHECK(mb_hash(MB_SLICE_LIT("a"), 1) == mb_hash(MB_SLICE_LIT("a"), 1));
}
