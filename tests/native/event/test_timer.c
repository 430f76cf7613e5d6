/*
 * The timer wheel against a naive model (an array that is searched), under random operations and
 * a clock that the test sets.
 */
#include "event/timer.h"

#include "mbtest.h"

#include <stdlib.h>

#define MS 1000u

typedef struct test_timer {
    mb_timer timer;
    uint64_t model_us; /* 0: not armed */
    uint32_t fired;
} test_timer;

static mb_timer_wheel *wheel;
static uint64_t now_us;
static uint32_t random_state;

static uint32_t random_below(uint32_t limit) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(random_state >> 4) * limit) >> 28);
}

static void on_expire(mb_timer *timer) {
    test_timer *self = MB_LIST_ENTRY(timer, test_timer, timer);
    MB_CHECK(!mb_timer_armed(timer));
    self->fired++;
}

static test_timer *timers_new(size_t count) {
    test_timer *timers = calloc(count, sizeof(*timers));
    for (size_t i = 0; i < count; i++) {
        timers[i].timer.on_expire = on_expire;
    }
    return timers;
}

static void wheel_start(uint64_t at_us, mbtest_alloc *memory) {
    now_us = at_us;
    wheel = mb_timer_wheel_new(&memory->allocator, at_us);
    MB_CHECK(wheel != NULL);
}

MB_TEST(timer_fires_once_at_its_millisecond_and_not_before) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    wheel_start(5 * MS + 300, memory);
    test_timer *timer = timers_new(1);
    mb_timer_arm(wheel, &timer->timer, 7 * MS + 1);
    MB_CHECK(mb_timer_armed(&timer->timer));
    MB_CHECK_EQ_INT(mb_timer_wheel_next_us(wheel), 8 * MS);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 8 * MS - 1), 0);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 8 * MS), 1);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 900 * MS), 0);
    MB_CHECK_EQ_INT(timer->fired, 1);
    MB_CHECK(mb_timer_wheel_next_us(wheel) == UINT64_MAX);
    mb_timer_wheel_free(wheel);
    mbtest_alloc_free(memory);
    free(timer);
}

MB_TEST(timer_of_the_past_fires_in_the_next_advance) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    wheel_start(5000 * MS, memory);
    test_timer *timers = timers_new(2);
    mb_timer_arm(wheel, &timers[0].timer, 1);
    mb_timer_arm(wheel, &timers[1].timer, 0);
    MB_CHECK_EQ_INT(mb_timer_wheel_next_us(wheel), 5001 * MS);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 5001 * MS), 2);
    mb_timer_wheel_free(wheel);
    mbtest_alloc_free(memory);
    free(timers);
}

MB_TEST(deadline_at_the_end_of_time_never_fires) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    wheel_start(1, memory);
    test_timer *timer = timers_new(1);
    mb_timer_arm(wheel, &timer->timer, UINT64_MAX);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, UINT64_MAX / 2), 0);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, UINT64_MAX - MS), 0);
    MB_CHECK(mb_timer_armed(&timer->timer));
    mb_timer_wheel_free(wheel);
    MB_CHECK(!mb_timer_armed(&timer->timer));
    mbtest_alloc_free(memory);
    free(timer);
}

MB_TEST(arming_anew_to_a_later_time_leaves_the_timer_in_its_slot) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    wheel_start(0, memory);
    test_timer *timer = timers_new(1);
    mb_timer_arm(wheel, &timer->timer, 10 * MS);
    mb_list_node *before = timer->timer.node.prev;
    mb_timer_arm(wheel, &timer->timer, 5000 * MS);
    MB_CHECK(timer->timer.node.prev == before);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 4999 * MS), 0);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 5000 * MS), 1);
    mb_timer_wheel_free(wheel);
    mbtest_alloc_free(memory);
    free(timer);
}

MB_TEST(one_that_rests_does_not_fire_and_keeps_its_place_for_the_next_time) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    wheel_start(0, memory);
    test_timer *timer = timers_new(1);
    mb_timer_arm(wheel, &timer->timer, 10 * MS);
    mb_list_node *before = timer->timer.node.prev;
    mb_timer_rest(&timer->timer);
    MB_CHECK(!mb_timer_armed(&timer->timer));
    mb_timer_arm(wheel, &timer->timer, 20 * MS);
    MB_CHECK(timer->timer.node.prev == before);
    mb_timer_rest(&timer->timer);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 15 * MS), 0);
    MB_CHECK(!mb_list_is_linked(&timer->timer.node)); /* its slot is over */
    mb_timer_arm(wheel, &timer->timer, 30 * MS);
    mb_timer_rest(&timer->timer);
    mb_timer_arm(wheel, &timer->timer, 16 * MS); /* before its slot: a new one */
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 16 * MS), 1);
    mb_timer_arm(wheel, &timer->timer, 30 * MS);
    mb_timer_rest(&timer->timer);
    mb_timer_disarm(&timer->timer);
    MB_CHECK(!mb_list_is_linked(&timer->timer.node));
    mb_timer_wheel_free(wheel);
    mbtest_alloc_free(memory);
    free(timer);
}

/* A pair whose first disarms or arms the second from its callback. */
typedef struct chained {
    mb_timer timer;
    mb_timer *other;
    uint64_t other_us; /* 0: disarm */
    bool rests;        /* instead of disarming */
} chained;

static void on_expire_chained(mb_timer *timer) {
    chained *self = MB_LIST_ENTRY(timer, chained, timer);
    if (self->rests) {
        mb_timer_rest(self->other);
    } else if (self->other_us == 0) {
        mb_timer_disarm(self->other);
    } else {
        mb_timer_arm(wheel, self->other, self->other_us);
    }
}

static void end_one_that_is_due(bool rests) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    wheel_start(0, memory);
    test_timer *victim = timers_new(1);
    chained first = {.timer.on_expire = on_expire_chained, .other = &victim->timer, .rests = rests};
    mb_timer_arm(wheel, &first.timer, 3 * MS);
    mb_timer_arm(wheel, &victim->timer, 3 * MS);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 10 * MS), 1);
    MB_CHECK_EQ_INT(victim->fired, 0);
    mb_timer_wheel_free(wheel);
    mbtest_alloc_free(memory);
    free(victim);
}

MB_TEST(callback_may_disarm_a_timer_that_is_due_in_the_same_millisecond) {
    end_one_that_is_due(false);
}

MB_TEST(callback_may_lay_to_rest_a_timer_that_is_due_in_the_same_millisecond) {
    end_one_that_is_due(true);
}

MB_TEST(callback_that_arms_itself_for_now_does_not_keep_the_advance_running) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    wheel_start(0, memory);
    chained self = {.timer.on_expire = on_expire_chained, .other_us = 1};
    self.other = &self.timer;
    mb_timer_arm(wheel, &self.timer, 1 * MS);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 50 * MS), 1);
    MB_CHECK(mb_timer_armed(&self.timer));
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 51 * MS), 1);
    mb_timer_wheel_free(wheel);
    mbtest_alloc_free(memory);
}

MB_TEST(callback_may_arm_a_waiting_timer_to_an_earlier_and_a_later_time) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    wheel_start(0, memory);
    test_timer *other = timers_new(1);
    chained first = {.timer.on_expire = on_expire_chained, .other = &other->timer};
    first.other_us = 20 * MS;
    mb_timer_arm(wheel, &other->timer, 8000 * MS);
    mb_timer_arm(wheel, &first.timer, 2 * MS);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 19 * MS), 1);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 20 * MS), 1);
    first.other_us = 60 * MS;
    mb_timer_arm(wheel, &first.timer, 30 * MS);
    mb_timer_arm(wheel, &other->timer, 30 * MS);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 59 * MS), 1);
    MB_CHECK_EQ_INT(mb_timer_wheel_advance(wheel, 60 * MS), 1);
    MB_CHECK_EQ_INT(other->fired, 2);
    mb_timer_wheel_free(wheel);
    mbtest_alloc_free(memory);
    free(other);
}

/* A distance that reaches every level of the wheel, mostly the lower ones. */
static uint64_t random_distance_us(void) {
    static const uint64_t spans_us[] = {3 * MS,      70 * MS,          5000 * MS,
                                        400000 * MS, 20000000ull * MS, 3000000000ull * MS};
    uint64_t span = spans_us[random_below(6)];
    return ((uint64_t)random_below(1u << 20) * span >> 20) + random_below(MS);
}

static void check_against_model(test_timer *timers, size_t count, const uint32_t *fired_before) {
    uint64_t earliest = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        bool due = timers[i].model_us != 0 && (timers[i].model_us + MS - 1) / MS <= now_us / MS;
        MB_CHECK_EQ_INT(timers[i].fired - fired_before[i], due ? 1 : 0);
        if (due) {
            timers[i].model_us = 0;
        }
        MB_CHECK_EQ_INT(timers[i].timer.deadline_us, timers[i].model_us);
        if (timers[i].model_us != 0 && timers[i].model_us < earliest) {
            earliest = timers[i].model_us;
        }
    }
    uint64_t next = mb_timer_wheel_next_us(wheel);
    MB_CHECK(earliest == UINT64_MAX || next <= earliest + MS);
    MB_CHECK(next > now_us / MS * MS);
}

static void random_operations(uint64_t start_us, uint32_t seed, size_t count) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    wheel_start(start_us, memory);
    random_state = seed;
    test_timer *timers = timers_new(count);
    uint32_t *fired_before = calloc(count, sizeof(*fired_before));
    for (int step = 0; step < 3000; step++) {
        for (uint32_t some = random_below(8); some > 0; some--) {
            test_timer *timer = &timers[random_below((uint32_t)count)];
            if (random_below(4) == 0) {
                mb_timer_disarm(&timer->timer);
                timer->model_us = 0;
            } else {
                timer->model_us = now_us + MS + random_distance_us();
                mb_timer_arm(wheel, &timer->timer, timer->model_us);
            }
        }
        for (size_t i = 0; i < count; i++) {
            fired_before[i] = timers[i].fired;
        }
        now_us += random_below(3) == 0 ? random_distance_us() : random_below(3 * MS);
        mb_timer_wheel_advance(wheel, now_us);
        check_against_model(timers, count, fired_before);
    }
    mb_timer_wheel_free(wheel);
    mbtest_alloc_free(memory);
    free(fired_before);
    free(timers);
}

MB_TEST(random_operations_fire_what_the_model_fires) {
    random_operations(0, 1, 50);
    random_operations(123456789, 2, 50);
}

MB_TEST(random_operations_agree_across_the_borders_of_all_levels) {
    for (uint32_t bits = 6; bits < 54; bits += 6) {
        random_operations(((1ull << bits) - 3) * MS, bits, 20);
    }
}

MB_TEST(waking_at_next_fires_every_timer_within_its_millisecond) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    wheel_start(777 * MS, memory);
    random_state = 9;
    test_timer *timers = timers_new(200);
    for (size_t i = 0; i < 200; i++) {
        timers[i].model_us = now_us + MS + random_distance_us();
        mb_timer_arm(wheel, &timers[i].timer, timers[i].model_us);
    }
    uint32_t fired = 0;
    uint64_t next;
    while ((next = mb_timer_wheel_next_us(wheel)) != UINT64_MAX) {
        MB_CHECK(next > now_us);
        now_us = next;
        fired += mb_timer_wheel_advance(wheel, now_us);
        for (size_t i = 0; i < 200; i++) {
            bool due = timers[i].model_us <= now_us;
            MB_CHECK_EQ_INT(timers[i].fired, due ? 1 : 0);
        }
    }
    MB_CHECK_EQ_INT(fired, 200);
    mb_timer_wheel_free(wheel);
    mbtest_alloc_free(memory);
    free(timers);
}

MB_TEST(wheel_without_memory_is_refused) {
    mbtest_alloc *memory = mbtest_failing_alloc(1);
    MB_CHECK(mb_timer_wheel_new(&memory->allocator, 0) == NULL);
    mbtest_alloc_free(memory);
}
