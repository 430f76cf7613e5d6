/* The default clock. See clock.h. */
#include "base/clock.h"

#include <time.h>

static uint64_t read_us(clockid_t id) {
    struct timespec now = {0};
    /* Can only fail for a bad id or address. */
    (void)clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t system_monotonic_us(void *ctx) {
    (void)ctx;
    return read_us(CLOCK_MONOTONIC);
}

static uint64_t system_wall_us(void *ctx) {
    (void)ctx;
    return read_us(CLOCK_REALTIME);
}

const mb_clock *mb_clock_default(void) {
    static const mb_clock clock = {
        .ctx = NULL,
        .monotonic_us = system_monotonic_us,
        .wall_us = system_wall_us,
    };
    return &clock;
}
