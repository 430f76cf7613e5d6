/*
 * Loop: one turn is: run deferred tasks (flush what was written, end the batch of hooks, free
 * what died), wait for events, deliver them, fire timers, run what other threads posted.
 *
 * Nothing is freed while an event of it can still be delivered: objects that die in a callback
 * put their `free` on the deferred list. Time is read once a turn.
 *
 * Thread: all of one thread, except mb_loop_post and mb_loop_wake.
 */
#ifndef MB_EVENT_LOOP_H
#define MB_EVENT_LOOP_H

#include "event/poller.h"
#include "event/timer.h"

typedef struct mb_loop mb_loop;

/* Work for the end of the turn. Intrusive; queued at most once at a time. */
typedef struct mb_task mb_task;
struct mb_task {
    mb_list node; /* linked while queued */
    void (*run)(mb_task *task);
};

/* The order in which deferred tasks run at the end of a turn. */
typedef enum mb_phase {
    MB_PHASE_READ = 0, /* connections whose byte budget ended, reads to resume: start of turn */
    MB_PHASE_FLUSH,    /* write what connections have queued */
    MB_PHASE_BATCH,    /* on_batch_end of modules; may queue new work */
    MB_PHASE_FREE,     /* free what died in this turn */
    MB_PHASE_COUNT
} mb_phase;

/* Takes the poller. NULL: out of memory or descriptors. */
mb_loop *mb_loop_new(const mb_allocator *allocator, const mb_clock *clock, mb_poller *poller);
void mb_loop_free(mb_loop *loop);

uint64_t mb_loop_now_us(const mb_loop *loop);      /* monotonic, of this turn */
uint64_t mb_loop_wall_us(const mb_loop *loop);     /* wall clock, of this turn */
uint64_t mb_loop_turns(const mb_loop *loop);       /* statistic loop.iterations */
mb_poller *mb_loop_poller(mb_loop *loop);

/* One turn; waits at most `timeout_us`. Returns MB_OK or MB_EIO. */
int mb_loop_turn(mb_loop *loop, uint64_t timeout_us);
void mb_loop_defer(mb_loop *loop, mb_phase phase, mb_task *task);
void mb_loop_cancel(mb_task *task); /* a task that is not queued is left alone */
/* Runs the queued tasks of a phase now (writes go out before a wait for the GIL). */
void mb_loop_run_phase(mb_loop *loop, mb_phase phase);

void mb_loop_arm(mb_loop *loop, mb_timer *timer, uint64_t after_us);
void mb_loop_disarm(mb_timer *timer);

/* A message from another thread; `run` is called on the loop's thread, then owns `post`. */
typedef struct mb_post mb_post;
struct mb_post {
    mb_post *next;
    void (*run)(mb_post *post);
};
void mb_loop_post(mb_loop *loop, mb_post *post); /* Thread: any; lock-free; wakes the loop */
void mb_loop_wake(mb_loop *loop);                /* Thread: any, and signal handlers */

#endif
