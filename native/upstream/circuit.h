/*
 * Circuit breakers: how many connections, waiting requests, requests and retries a cluster may
 * have at once (Envoy's thresholds of priority DEFAULT). Beyond them requests are refused at once
 * instead of piling up.
 *
 * One breaker counts what is out; its gauge `..._open` is 1 while nothing more may be taken.
 */
#ifndef MB_UPSTREAM_CIRCUIT_H
#define MB_UPSTREAM_CIRCUIT_H

#include "base/stats.h"

typedef struct mb_breaker {
    uint32_t now, max;
    mb_metric *open; /* gauge */
} mb_breaker;

typedef struct mb_circuit {
    mb_breaker connections, pending, requests, retries;
} mb_circuit;

static inline void mb_breaker_init(mb_breaker *breaker, uint32_t max, mb_metric *open) {
    *breaker = (mb_breaker){.max = max, .open = open};
    mb_metric_set(open, max == 0);
}

static inline bool mb_breaker_is_open(const mb_breaker *breaker) {
    return breaker->now >= breaker->max;
}

/* Counts one more, whatever the limit says. */
static inline void mb_breaker_force(mb_breaker *breaker) {
    breaker->now++;
    if (breaker->now == breaker->max) {
        mb_metric_set(breaker->open, 1);
    }
}

/* False: the breaker is open. */
static inline bool mb_breaker_take(mb_breaker *breaker) {
    if (mb_breaker_is_open(breaker)) {
        return false;
    }
    mb_breaker_force(breaker);
    return true;
}

static inline void mb_breaker_give(mb_breaker *breaker) {
    if (breaker->now == breaker->max) {
        mb_metric_set(breaker->open, 0);
    }
    breaker->now--;
}

#endif
