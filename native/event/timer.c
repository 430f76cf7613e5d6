/*
 * Timer wheel: ten levels of 64 slots; a slot of level L is 64^L milliseconds wide.
 *
 * A timer's level is that of the highest group of six bits in which its tick differs from now,
 * its slot the value of that group. So within a level all slots in use lie after now's own, every
 * slot of a level comes before those of the next, and nothing ever wraps around: the first bit of
 * the first level in use is the next thing to do. When the time of a slot above level 0 comes,
 * its timers move down. Ten levels cover the whole 64 bits of microseconds.
 */
#include "event/timer.h"

#define MB_TICK_US 1000u
#define MB_LEVELS 10u
#define MB_LEVEL_BITS 6u
#define MB_SLOTS (1u << MB_LEVEL_BITS)

struct mb_timer_wheel {
    const mb_allocator *allocator;
    uint64_t tick;            /* milliseconds that were run */
    uint64_t target;          /* where the running advance will end; tick outside of one */
    uint64_t used[MB_LEVELS]; /* one bit a slot; may be set for a slot that became empty */
    mb_list slots[MB_LEVELS][MB_SLOTS];
};

static inline uint64_t tick_of(uint64_t deadline_us) {
    return deadline_us / MB_TICK_US + (deadline_us % MB_TICK_US != 0);
}

/* Links a timer into the slot of its deadline, but of no tick up to `past`. */
static void wheel_link(mb_timer_wheel *wheel, mb_timer *timer, uint64_t past) {
    uint64_t tick = tick_of(timer->deadline_us);
    if (tick <= past) {
        tick = past + 1;
    }
    unsigned top_bit = 63u - (unsigned)__builtin_clzll(tick ^ wheel->tick);
    unsigned level = top_bit / MB_LEVEL_BITS;
    unsigned shift = level * MB_LEVEL_BITS;
    unsigned slot = (unsigned)(tick >> shift) % MB_SLOTS;
    /* The earliest deadline whose tick is in this slot: rounding up is undone. */
    timer->slot_us = ((tick >> shift << shift) - 1) * MB_TICK_US + 1;
    wheel->used[level] |= 1ull << slot;
    mb_list_push_back(&wheel->slots[level][slot], &timer->node);
}

/* The tick at which the earliest slot in use begins; false when there is none. */
static bool wheel_next(const mb_timer_wheel *wheel, unsigned *level, uint64_t *tick) {
    for (unsigned at = 0; at < MB_LEVELS; at++) {
        if (wheel->used[at] != 0) {
            unsigned shift = at * MB_LEVEL_BITS;
            uint64_t slot = (uint64_t)__builtin_ctzll(wheel->used[at]);
            uint64_t above = wheel->tick >> shift >> MB_LEVEL_BITS << MB_LEVEL_BITS;
            *level = at;
            *tick = (above | slot) << shift;
            return true;
        }
    }
    return false;
}

/* Fires or moves down what is in the slot that begins now. */
static uint32_t wheel_run_slot(mb_timer_wheel *wheel, unsigned level) {
    unsigned slot = (unsigned)(wheel->tick >> (level * MB_LEVEL_BITS)) % MB_SLOTS;
    uint32_t fired = 0;
    mb_list due;
    mb_list_init(&due);
    mb_list_splice(&due, &wheel->slots[level][slot]);
    wheel->used[level] &= ~(1ull << slot);
    mb_list_node *node;
    while ((node = mb_list_pop_front(&due)) != NULL) {
        mb_timer *timer = MB_LIST_ENTRY(node, mb_timer, node);
        if (!mb_timer_armed(timer)) {
            continue;
        }
        if (tick_of(timer->deadline_us) > wheel->tick) {
            wheel_link(wheel, timer, wheel->tick);
            continue;
        }
        timer->deadline_us = 0;
        fired++;
        timer->on_expire(timer);
    }
    return fired;
}

mb_timer_wheel *mb_timer_wheel_new(const mb_allocator *allocator, uint64_t now_us) {
    mb_timer_wheel *wheel = allocator->alloc(allocator->ctx, sizeof(*wheel));
    if (wheel == NULL) {
        return NULL;
    }
    wheel->allocator = allocator;
    wheel->tick = wheel->target = now_us / MB_TICK_US;
    for (unsigned level = 0; level < MB_LEVELS; level++) {
        wheel->used[level] = 0;
        for (unsigned slot = 0; slot < MB_SLOTS; slot++) {
            mb_list_init(&wheel->slots[level][slot]);
        }
    }
    return wheel;
}

void mb_timer_wheel_free(mb_timer_wheel *wheel) {
    if (wheel == NULL) {
        return;
    }
    for (unsigned level = 0; level < MB_LEVELS; level++) {
        for (unsigned slot = 0; slot < MB_SLOTS; slot++) {
            mb_list_node *node;
            while ((node = mb_list_pop_front(&wheel->slots[level][slot])) != NULL) {
                MB_LIST_ENTRY(node, mb_timer, node)->deadline_us = 0;
            }
        }
    }
    wheel->allocator->free(wheel->allocator->ctx, wheel, sizeof(*wheel));
}

void mb_timer_arm(mb_timer_wheel *wheel, mb_timer *timer, uint64_t deadline_us) {
    bool stays = mb_list_is_linked(&timer->node) && deadline_us >= timer->slot_us;
    timer->deadline_us = deadline_us != 0 ? deadline_us : 1;
    if (!stays) {
        mb_list_remove(&timer->node);
        /* Not into the running advance: a callback that arms anew would keep it going. */
        wheel_link(wheel, timer, wheel->target);
    }
}

void mb_timer_disarm(mb_timer *timer) {
    mb_list_remove(&timer->node);
    timer->deadline_us = 0;
}

uint32_t mb_timer_wheel_advance(mb_timer_wheel *wheel, uint64_t now_us) {
    uint64_t target = now_us / MB_TICK_US;
    if (target <= wheel->tick) {
        return 0;
    }
    wheel->target = target;
    uint32_t fired = 0;
    unsigned level;
    uint64_t tick;
    while (wheel_next(wheel, &level, &tick) && tick <= target) {
        wheel->tick = tick;
        fired += wheel_run_slot(wheel, level);
    }
    wheel->tick = target;
    return fired;
}

uint64_t mb_timer_wheel_next_us(const mb_timer_wheel *wheel) {
    unsigned level;
    uint64_t tick;
    if (!wheel_next(wheel, &level, &tick) || tick > UINT64_MAX / MB_TICK_US) {
        return UINT64_MAX;
    }
    return tick * MB_TICK_US;
}
