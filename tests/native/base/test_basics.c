/*
 * The small ones: default allocator and clock, error texts, random numbers and UUIDs.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"

#include "mbtest.h"

#include <time.h>

MB_TEST(default_allocator_gives_resizes_and_frees) {
    const mb_allocator *allocator = mb_allocator_default();
    char *block = mb_zalloc(allocator, 10);
    MB_CHECK(block != NULL && block[9] == 0);
    block[9] = 'x';
    block = mb_resize(allocator, block, 10, 100000);
    MB_CHECK(block != NULL && block[9] == 'x');
    mb_free(allocator, block, 100000);
    mb_free(allocator, NULL, 0);
}

MB_TEST(default_clock_agrees_with_the_system) {
    const mb_clock *clock = mb_clock_default();
    uint64_t first = mb_clock_monotonic_us(clock);
    uint64_t second = mb_clock_monotonic_us(clock);
    MB_CHECK(first > 0 && second >= first);
    uint64_t before = (uint64_t)time(NULL);
    uint64_t wall = mb_clock_wall_us(clock) / 1000000;
    MB_CHECK(wall + 1 >= before && wall <= (uint64_t)time(NULL) + 1);
}

MB_TEST(every_error_has_a_text_of_its_own) {
    for (int a = MB_ETHREAD; a <= MB_OK; a++) {
        MB_CHECK(strcmp(mb_strerror(a), "unknown error") != 0);
        for (int b = MB_ETHREAD; b < a; b++) {
            MB_CHECK(strcmp(mb_strerror(a), mb_strerror(b)) != 0);
        }
    }
    MB_CHECK(strcmp(mb_strerror(17), "ok") == 0);
    MB_CHECK(strcmp(mb_strerror(MB_ETHREAD - 1), "unknown error") == 0);
}

MB_TEST(xoshiro_gives_the_published_sequence) {
    /* State 1, 2, 3, 4, by hand from the algorithm's definition. */
    mb_random random = {{1, 2, 3, 4}};
    static const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240};
    for (size_t i = 0; i < 4; i++) {
        MB_CHECK(mb_random_u64(&random) == want[i]);
    }
}

MB_TEST(same_seed_gives_the_same_numbers_and_the_kernel_other_ones) {
    mb_random a;
    mb_random b;
    mb_random_seed(&a, 5);
    mb_random_seed(&b, 5);
    MB_CHECK(mb_random_u64(&a) == mb_random_u64(&b));
    MB_CHECK_EQ_INT(mb_random_init(&a), MB_OK);
    MB_CHECK_EQ_INT(mb_random_init(&b), MB_OK);
    MB_CHECK(mb_random_u64(&a) != mb_random_u64(&b));
}

MB_TEST(numbers_below_a_bound_reach_all_of_it) {
    mb_random random;
    bool seen[7] = {false};
    mb_random_seed(&random, 1);
    for (int i = 0; i < 500; i++) {
        uint32_t value = mb_random_below(&random, 7);
        MB_CHECK(value < 7);
        seen[value] = true;
        MB_CHECK_EQ_INT(mb_random_below(&random, 1), 0);
    }
    for (int i = 0; i < 7; i++) {
        MB_CHECK(seen[i]);
    }
}

MB_TEST(uuid_has_the_form_of_version_4) {
    mb_random random;
    char last[MB_UUID_BYTES] = {0};
    bool seen[16] = {false};
    mb_random_seed(&random, 2);
    for (int round = 0; round < 1000; round++) {
        char uuid[MB_UUID_BYTES + 1];
        uuid[MB_UUID_BYTES] = '!';
        mb_random_uuid(&random, uuid);
        MB_CHECK(uuid[MB_UUID_BYTES] == '!');
        for (int i = 0; i < MB_UUID_BYTES; i++) {
            if (i == 8 || i == 13 || i == 18 || i == 23) {
                MB_CHECK(uuid[i] == '-');
            } else {
                const char *digit = memchr("0123456789abcdef", uuid[i], 16);
                MB_CHECK(digit != NULL);
            }
        }
        MB_CHECK(uuid[14] == '4');
        MB_CHECK(strchr("89ab", uuid[19]) != NULL);
        MB_CHECK(memcmp(uuid, last, MB_UUID_BYTES) != 0);
        memcpy(last, uuid, MB_UUID_BYTES);
        seen[uuid[35] <= '9' ? uuid[35] - '0' : uuid[35] - 'a' + 10] = true;
    }
    for (int i = 0; i < 16; i++) {
        MB_CHECK(seen[i]);
    }
}
