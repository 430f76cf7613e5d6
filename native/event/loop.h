/*
 * Loop: one turn is: run deferred tasks (go on reading, flush what was written, tell owners what
 * that led to, end the batch of hooks, free what died), wait for events, deliver them, fire
 * timers, run what other threads posted.
 *
 * Nothing is freed while an event of it can still be delivered: objects that die in a callback
 * put their `free` on the deferred list. Time is read once a turn, when somebody first asks.
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
    mb_list_node node; /* linked while queued; zero before */
    void (*run)(mb_task *task);
};

/* The order in which deferred tasks run before each wait. FLUSH to BATCH repeat a few times while
 * they queue more; what is left then makes the wait return at once. */
typedef enum mb_phase {
    MB_PHASE_READ = 0, /* connections whose byte budget ended, reads to resume; once a turn */
    MB_PHASE_FLUSH,    /* write what connections have queued; never calls an owner back */
    MB_PHASE_SUBMIT,   /* send what FLUSH has gathered into batches; nor does this */
    MB_PHASE_NOTIFY,   /* tell owners what flushing found: room again, closed */
    MB_PHASE_BATCH,    /* on_batch_end of modules; may queue new work */
    MB_PHASE_FREE,     /* free what died in this turn */
    MB_PHASE_COUNT
} mb_phase;

/* Takes the poller, also when it fails. NULL: out of memory or descriptors. */
mb_loop *mb_loop_new(const mb_allocator *allocator, const mb_clock *clock, mb_poller *poller);
/* Runs the queued tasks of MB_PHASE_FREE, disarms all timers, frees the poller. Other tasks and
 * posts that are still queued never run: their owner stops posting and turns the loop before. */
void mb_loop_free(mb_loop *loop);

uint64_t mb_loop_now_us(mb_loop *loop);      /* monotonic, of this turn */
uint64_t mb_loop_wall_us(mb_loop *loop);     /* wall clock, of this turn */
uint64_t mb_loop_turns(const mb_loop *loop); /* statistic loop.iterations */
/* Lets the next question for the time read the clock again: after a stay outside of the loop. */
void mb_loop_refresh_time(mb_loop *loop);
mb_poller *mb_loop_poller(mb_loop *loop);

/* One turn; waits at most `timeout_us` (0: not at all; UINT64_MAX: no limit). Not to be called
 * from a callback. Returns MB_OK or MB_EIO. */
int mb_loop_turn(mb_loop *loop, uint64_t timeout_us);
/* A task that is queued already is left where it is. */
void mb_loop_defer(mb_loop *loop, mb_phase phase, mb_task *task);
void mb_loop_cancel(mb_task *task); /* a task that is not queued is left alone */
/* Runs MB_PHASE_FLUSH and MB_PHASE_SUBMIT now, also in a callback: writes go out before a wait for
 * the GIL. */
void mb_loop_flush(mb_loop *loop);

/* From the time of this turn; UINT64_MAX and what comes near it: never fires. */
void mb_loop_arm(mb_loop *loop, mb_timer *timer, uint64_t after_us);
void mb_loop_disarm(mb_timer *timer);
/* mb_timer_rest: for what is armed for each request, in memory that stays. */
void mb_loop_rest(mb_timer *timer);

/* A message from another thread; `run` is called on the loop's thread, then owns `post`. */
typedef struct mb_post mb_post;
struct mb_post {
    mb_post *next;
    void (*run)(mb_post *post);
};
void mb_loop_post(mb_loop *loop, mb_post *post); /* Thread: any; lock-free; wakes the loop */
void mb_loop_wake(mb_loop *loop);                /* Thread: any, and signal handlers */

#endif
