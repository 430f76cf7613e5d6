/*
 * Timers: a hierarchical wheel of milliseconds, so that arming and disarming cost O(1) whatever
 * their number: every stream arms several and nearly none fires.
 *
 * A timer is intrusive and belongs to its owner, who zeroes it, sets `on_expire`, and disarms it
 * before freeing it. Re-arming a timer to a later time only stores the new deadline; the wheel
 * moves it when the old one comes. One that rests only loses its deadline: neither touches the
 * neighbours in its slot, which are other connections' and in no cache.
 */
#ifndef MB_EVENT_TIMER_H
#define MB_EVENT_TIMER_H

#include "base/list.h"
#include <moebridge/common.h>

typedef struct mb_timer mb_timer;
typedef struct mb_timer_wheel mb_timer_wheel;

struct mb_timer {
    mb_list_node node;
    uint64_t deadline_us; /* absolute, monotonic; 0: not armed, though perhaps in the wheel */
    uint64_t slot_us;     /* from where on its slot's place in the wheel is right for a deadline */
    void (*on_expire)(mb_timer *timer);
};

mb_timer_wheel *mb_timer_wheel_new(const mb_allocator *allocator, uint64_t now_us);
void mb_timer_wheel_free(mb_timer_wheel *wheel); /* disarms all */
/* Fires at or after `deadline_us`, never before, at most 1 ms + one loop turn late. One that is
 * past fires in the next call of advance, never in the one that is running. */
void mb_timer_arm(mb_timer_wheel *wheel, mb_timer *timer, uint64_t deadline_us);
void mb_timer_disarm(mb_timer *timer);
/* As disarm, for a timer that is armed again soon: the wheel keeps it until the slot's time comes,
 * so it must still be disarmed before it is freed or zeroed. */
static inline void mb_timer_rest(mb_timer *timer) {
    timer->deadline_us = 0;
}
static inline bool mb_timer_armed(const mb_timer *timer) {
    return timer->deadline_us != 0;
}
/* Runs what is due, in the order of the milliseconds they are due in; a callback may arm and
 * disarm any timer. Returns how many fired. */
uint32_t mb_timer_wheel_advance(mb_timer_wheel *wheel, uint64_t now_us);
/* A lower bound of the next expiry; UINT64_MAX when none. Cheap: no scan of all timers. A slot
 * whose timers were all disarmed counts until its time comes: one early wake-up, no more. */
uint64_t mb_timer_wheel_next_us(const mb_timer_wheel *wheel);

#endif
