/*
 * The default clock: CLOCK_MONOTONIC and CLOCK_REALTIME in microseconds. The loop reads it once
 * an iteration; everything else uses the loop's time.
 */
#ifndef MB_BASE_CLOCK_H
#define MB_BASE_CLOCK_H

#include <moebridge/common.h>

/* Thread: any. Valid for ever. */
const mb_clock *mb_clock_default(void);

static inline uint64_t mb_clock_monotonic_us(const mb_clock *clock) {
    return clock->monotonic_us(clock->ctx);
}

static inline uint64_t mb_clock_wall_us(const mb_clock *clock) {
    return clock->wall_us(clock->ctx);
}

#endif
