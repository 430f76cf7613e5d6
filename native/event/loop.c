/*
 * The loop: deferred tasks by phase, one wait, timers, posts of other threads.
 *
 * Posts go onto a lock-free stack. `woken` says that the eventfd was written since the loop last
 * looked, so a burst of posts costs one system call. The eventfd is edge-triggered and never
 * read: each write is an edge of its own.
 */
#include "event/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How often flushing and what it leads to are repeated before the loop looks for events again. */
#define MB_ROUNDS_MAX 4

struct mb_loop {
    mb_poller *poller;
    mb_timer_wheel *wheel;
    const mb_clock *clock;
    uint64_t now_us, wall_us;
    bool now_stale, wall_stale;
    uint64_t turns;
    mb_list tasks[MB_PHASE_COUNT];
    const mb_allocator *allocator;
    mb_io wake_io;
    char line[64]; /* keeps what other threads write off the lines above */
    _Atomic(mb_post *) posts;
    atomic_bool woken;
};

static void on_wake(mb_io *io, uint32_t events) {
    (void)io;
    (void)events; /* only ends the wait; the turn looks at `woken` */
}

static inline bool phase_has_tasks(const mb_loop *loop, mb_phase phase) {
    return !mb_list_is_empty(&loop->tasks[phase]);
}

/* Runs what is queued now; what these tasks queue waits for the next call. */
static void run_phase(mb_loop *loop, mb_phase phase) {
    if (!phase_has_tasks(loop, phase)) {
        return;
    }
    mb_list queued;
    mb_list_init(&queued);
    mb_list_splice(&queued, &loop->tasks[phase]);
    mb_list_node *node;
    while ((node = mb_list_pop_front(&queued)) != NULL) {
        mb_task *task = MB_LIST_ENTRY(node, mb_task, node);
        task->run(task);
    }
}

void mb_loop_flush(mb_loop *loop) {
    run_phase(loop, MB_PHASE_FLUSH);
    run_phase(loop, MB_PHASE_SUBMIT);
}

static bool work_is_queued(const mb_loop *loop) {
    return phase_has_tasks(loop, MB_PHASE_FLUSH) || phase_has_tasks(loop, MB_PHASE_NOTIFY) ||
           phase_has_tasks(loop, MB_PHASE_BATCH);
}

static void run_deferred(mb_loop *loop) {
    run_phase(loop, MB_PHASE_READ);
    for (int round = 0; round < MB_ROUNDS_MAX && work_is_queued(loop); round++) {
        mb_loop_flush(loop);
        run_phase(loop, MB_PHASE_NOTIFY);
        run_phase(loop, MB_PHASE_BATCH);
    }
    while (phase_has_tasks(loop, MB_PHASE_FREE)) {
        run_phase(loop, MB_PHASE_FREE);
    }
}

static uint64_t wait_limit(mb_loop *loop, uint64_t timeout_us) {
    if (timeout_us == 0 || phase_has_tasks(loop, MB_PHASE_READ) || work_is_queued(loop)) {
        return 0;
    }
    uint64_t next_us = mb_timer_wheel_next_us(loop->wheel);
    if (next_us == UINT64_MAX) {
        return timeout_us;
    }
    uint64_t now_us = mb_loop_now_us(loop);
    uint64_t until_us = next_us > now_us ? next_us - now_us : 0;
    return until_us < timeout_us ? until_us : timeout_us;
}

static void run_posts(mb_loop *loop) {
    if (!atomic_load_explicit(&loop->woken, memory_order_relaxed)) {
        return;
    }
    /* First the flag, then the stack: a post that found the flag set is on the stack by now. */
    atomic_exchange(&loop->woken, false);
    mb_post *newest = atomic_exchange(&loop->posts, NULL);
    mb_post *oldest = NULL;
    while (newest != NULL) {
        mb_post *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        mb_post *next = oldest->next;
        oldest->run(oldest);
        oldest = next;
    }
}

/* Gives everything back that `mb_loop_new` has got so far. */
static mb_loop *give_up(const mb_allocator *allocator, mb_loop *loop, mb_poller *poller) {
    if (loop != NULL) {
        mb_timer_wheel_free(loop->wheel);
        if (loop->wake_io.fd >= 0) {
            close(loop->wake_io.fd);
        }
        allocator->free(allocator->ctx, loop, sizeof(*loop));
    }
    poller->vtable->free(poller);
    return NULL;
}

mb_loop *mb_loop_new(const mb_allocator *allocator, const mb_clock *clock, mb_poller *poller) {
    mb_loop *loop = allocator->alloc(allocator->ctx, sizeof(*loop));
    if (loop == NULL) {
        return give_up(allocator, NULL, poller);
    }
    *loop = (mb_loop){.poller = poller, .clock = clock, .allocator = allocator};
    for (int phase = 0; phase < MB_PHASE_COUNT; phase++) {
        mb_list_init(&loop->tasks[phase]);
    }
    mb_loop_refresh_time(loop);
    loop->wheel = mb_timer_wheel_new(allocator, mb_loop_now_us(loop));
    loop->wake_io = (mb_io){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .on_ready = on_wake};
    if (loop->wheel == NULL || loop->wake_io.fd < 0 ||
        poller->vtable->add_edge(poller, &loop->wake_io) != MB_OK) {
        return give_up(allocator, loop, poller);
    }
    return loop;
}

void mb_loop_free(mb_loop *loop) {
    while (phase_has_tasks(loop, MB_PHASE_FREE)) {
        run_phase(loop, MB_PHASE_FREE);
    }
    give_up(loop->allocator, loop, loop->poller);
}

uint64_t mb_loop_now_us(mb_loop *loop) {
    if (loop->now_stale) {
        loop->now_us = loop->clock->monotonic_us(loop->clock->ctx);
        loop->now_stale = false;
    }
    return loop->now_us;
}

uint64_t mb_loop_wall_us(mb_loop *loop) {
    if (loop->wall_stale) {
        loop->wall_us = loop->clock->wall_us(loop->clock->ctx);
        loop->wall_stale = false;
    }
    return loop->wall_us;
}

void mb_loop_refresh_time(mb_loop *loop) {
    loop->now_stale = loop->wall_stale = true;
}

uint64_t mb_loop_turns(const mb_loop *loop) {
    return loop->turns;
}

mb_poller *mb_loop_poller(mb_loop *loop) {
    return loop->poller;
}

void mb_loop_defer(mb_loop *loop, mb_phase phase, mb_task *task) {
    if (!mb_list_is_linked(&task->node)) {
        mb_list_push_back(&loop->tasks[phase], &task->node);
    }
}

void mb_loop_cancel(mb_task *task) {
    mb_list_remove(&task->node);
}

void mb_loop_arm(mb_loop *loop, mb_timer *timer, uint64_t after_us) {
    uint64_t now_us = mb_loop_now_us(loop);
    mb_timer_arm(loop->wheel, timer,
                 after_us < UINT64_MAX - now_us ? now_us + after_us : UINT64_MAX);
}

void mb_loop_disarm(mb_timer *timer) {
    mb_timer_disarm(timer);
}

void mb_loop_rest(mb_timer *timer) {
    mb_timer_rest(timer);
}

void mb_loop_post(mb_loop *loop, mb_post *post) {
    mb_post *newest = atomic_load_explicit(&loop->posts, memory_order_relaxed);
    do {
        post->next = newest;
    } while (!atomic_compare_exchange_weak(&loop->posts, &newest, post));
    mb_loop_wake(loop);
}

void mb_loop_wake(mb_loop *loop) {
    if (!atomic_exchange(&loop->woken, true)) {
        int kept = errno; /* this may be a signal handler */
        ssize_t written = write(loop->wake_io.fd, &(uint64_t){1}, sizeof(uint64_t));
        (void)written; /* EAGAIN would mean a full counter: readable all the same */
        errno = kept;
    }
}

int mb_loop_turn(mb_loop *loop, uint64_t timeout_us) {
    loop->turns++;
    run_deferred(loop);
    uint64_t limit_us = wait_limit(loop, timeout_us);
    mb_loop_refresh_time(loop);
    int result = loop->poller->vtable->wait(loop->poller, limit_us);
    mb_timer_wheel_advance(loop->wheel, mb_loop_now_us(loop));
    run_posts(loop);
    return result < 0 ? result : MB_OK;
}
