/*
 * The loop: order of phases, deferral, how long it waits, time, and posts of other threads (the
 * last also under TSan). The poller is a scripted one where waiting itself is looked at.
 */
#include "event/loop.h"

#include "mbtest.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define MS 1000u
#define NO_LIMIT UINT64_MAX

/* A poller that knows no descriptors: `wait` notes its limit, moves the clock, runs `during`. */
typedef struct fake_poller {
    mb_poller poller;
    uint64_t limit_us;
    uint64_t takes_us;
    int waits, result;
    mbtest_clock *clock;
    void (*during)(void);
    bool freed;
} fake_poller;

static int fake_add_edge(mb_poller *poller, mb_io *io) {
    (void)poller;
    (void)io;
    return MB_OK;
}

static int fake_wait(mb_poller *poller, uint64_t timeout_us) {
    fake_poller *self = (fake_poller *)poller;
    self->waits++;
    self->limit_us = timeout_us;
    mbtest_clock_advance_us(self->clock, self->takes_us);
    if (self->during != NULL) {
        self->during();
    }
    return self->result;
}

static void fake_free(mb_poller *poller) {
    ((fake_poller *)poller)->freed = true;
}

static const mb_poller_vtable fake_vtable = {
    .name = "fake",
    .add_edge = fake_add_edge,
    .wait = fake_wait,
    .free = fake_free,
};

static mbtest_alloc *memory;
static mbtest_clock test_clock;
static uint32_t clock_reads;
static fake_poller fake;
static mb_loop *loop;

static uint64_t counted_monotonic_us(void *context) {
    clock_reads++;
    return ((mbtest_clock *)context)->monotonic_us;
}

static void set_up(void) {
    memory = mbtest_failing_alloc(0);
    mbtest_clock_init(&test_clock, 64 * MS, 7);
    test_clock.clock.ctx = &test_clock;
    test_clock.clock.monotonic_us = counted_monotonic_us;
    fake = (fake_poller){.poller.vtable = &fake_vtable, .clock = &test_clock};
    loop = mb_loop_new(&memory->allocator, &test_clock.clock, &fake.poller);
    MB_CHECK(loop != NULL);
}

static void tear_down(void) {
    mb_loop_free(loop);
    MB_CHECK(fake.freed);
    mbtest_alloc_free(memory);
}

/* -- tasks --------------------------------------------------------------------------------- */

static char run_order[64];
static size_t run_count;

typedef struct lettered {
    mb_task task;
    char letter;
    int again; /* how many times it defers itself, in `phase` */
    mb_phase phase;
    mb_task *other; /* cancelled when it runs */
} lettered;

static void on_run(mb_task *task) {
    lettered *self = (lettered *)task;
    if (run_count < sizeof(run_order)) {
        run_order[run_count++] = self->letter;
    }
    if (self->again-- > 0) {
        mb_loop_defer(loop, self->phase, task);
    }
    if (self->other != NULL) {
        mb_loop_cancel(self->other);
    }
}

static lettered lettered_of(char letter) {
    return (lettered){.task.run = on_run, .letter = letter};
}

#define CHECK_ORDER(want)                                                                          \
    do {                                                                                           \
        MB_CHECK_EQ_LIT(((mb_slice){run_order, run_count}), want);                                 \
        run_count = 0;                                                                             \
    } while (0)

MB_TEST(phases_run_in_order_before_the_wait_and_each_in_order_of_deferral) {
    set_up();
    run_count = 0;
    const char letters[] = "rfsnbXrfsnbX";
    const mb_phase phases[] = {MB_PHASE_READ,   MB_PHASE_FLUSH, MB_PHASE_SUBMIT,
                               MB_PHASE_NOTIFY, MB_PHASE_BATCH, MB_PHASE_FREE};
    lettered tasks[12];
    for (int i = 11; i >= 0; i--) {
        tasks[i] = lettered_of(letters[i]);
        mb_loop_defer(loop, phases[i % 6], &tasks[i].task);
        mb_loop_defer(loop, MB_PHASE_READ, &tasks[i].task); /* queued already: stays */
    }
    MB_CHECK_EQ_INT(mb_loop_turn(loop, NO_LIMIT), MB_OK);
    CHECK_ORDER("rrffssnnbbXX");
    MB_CHECK(fake.limit_us == NO_LIMIT);
    MB_CHECK_EQ_INT(mb_loop_turn(loop, NO_LIMIT), MB_OK);
    CHECK_ORDER("");
    MB_CHECK_EQ_INT(mb_loop_turns(loop), 2);
    tear_down();
}

MB_TEST(read_task_that_goes_on_runs_once_a_turn_and_the_wait_does_not_wait) {
    set_up();
    run_count = 0;
    lettered task = lettered_of('r');
    task.again = 2;
    task.phase = MB_PHASE_READ;
    mb_loop_defer(loop, MB_PHASE_READ, &task.task);
    mb_loop_turn(loop, NO_LIMIT);
    CHECK_ORDER("r");
    MB_CHECK_EQ_INT(fake.limit_us, 0);
    mb_loop_turn(loop, NO_LIMIT);
    mb_loop_turn(loop, NO_LIMIT);
    CHECK_ORDER("rr");
    MB_CHECK(fake.limit_us == NO_LIMIT);
    tear_down();
}

MB_TEST(batch_task_that_queues_writes_has_them_flushed_before_the_wait) {
    set_up();
    run_count = 0;
    lettered batch = lettered_of('b');
    batch.again = 1;
    batch.phase = MB_PHASE_FLUSH;
    mb_loop_defer(loop, MB_PHASE_BATCH, &batch.task);
    mb_loop_turn(loop, NO_LIMIT);
    CHECK_ORDER("bb");
    MB_CHECK(fake.limit_us == NO_LIMIT);
    tear_down();
}

MB_TEST(batch_task_that_never_ends_does_not_keep_events_away) {
    set_up();
    run_count = 0;
    lettered batch = lettered_of('b');
    batch.again = 1000;
    batch.phase = MB_PHASE_BATCH;
    mb_loop_defer(loop, MB_PHASE_BATCH, &batch.task);
    mb_loop_turn(loop, NO_LIMIT);
    MB_CHECK_EQ_INT(fake.waits, 1);
    MB_CHECK_EQ_INT(fake.limit_us, 0);
    mb_loop_cancel(&batch.task);
    tear_down();
}

MB_TEST(task_may_cancel_one_that_waits_in_the_same_phase) {
    set_up();
    run_count = 0;
    lettered first = lettered_of('1');
    lettered second = lettered_of('2');
    first.other = &second.task;
    mb_loop_defer(loop, MB_PHASE_FLUSH, &first.task);
    mb_loop_defer(loop, MB_PHASE_FLUSH, &second.task);
    mb_loop_flush(loop);
    CHECK_ORDER("1");
    mb_loop_cancel(&second.task);
    tear_down();
}

MB_TEST(loop_that_is_freed_still_frees_what_died) {
    set_up();
    run_count = 0;
    lettered dead = lettered_of('X');
    mb_loop_defer(loop, MB_PHASE_FREE, &dead.task);
    tear_down();
    CHECK_ORDER("X");
}

/* -- time ---------------------------------------------------------------------------------- */

static int fired;
static uint64_t fired_at_us;

static void on_expire(mb_timer *timer) {
    (void)timer;
    fired++;
    fired_at_us = mb_loop_now_us(loop);
}

MB_TEST(wait_ends_at_the_next_timer_or_at_the_limit_whichever_is_first) {
    set_up();
    fired = 0;
    mb_timer timer = {.on_expire = on_expire};
    mb_loop_arm(loop, &timer, 30 * MS);
    mb_loop_turn(loop, NO_LIMIT);
    MB_CHECK_EQ_INT(fake.limit_us, 30 * MS);
    mb_loop_turn(loop, 10 * MS);
    MB_CHECK_EQ_INT(fake.limit_us, 10 * MS);
    fake.takes_us = 30 * MS;
    mb_loop_turn(loop, NO_LIMIT);
    MB_CHECK_EQ_INT(fired, 1);
    MB_CHECK_EQ_INT(fired_at_us, 94 * MS);
    mb_loop_turn(loop, NO_LIMIT);
    MB_CHECK(fake.limit_us == NO_LIMIT);
    tear_down();
}

MB_TEST(timer_that_is_due_already_makes_the_wait_return_at_once) {
    set_up();
    fired = 0;
    mb_timer timer = {.on_expire = on_expire};
    mb_loop_arm(loop, &timer, 5 * MS);
    mbtest_clock_advance_us(&test_clock, 9 * MS);
    mb_loop_refresh_time(loop);
    mb_loop_turn(loop, NO_LIMIT);
    MB_CHECK_EQ_INT(fake.limit_us, 0);
    MB_CHECK_EQ_INT(fired, 1);
    tear_down();
}

MB_TEST(disarmed_timer_does_not_fire) {
    set_up();
    fired = 0;
    mb_timer timer = {.on_expire = on_expire};
    mb_loop_arm(loop, &timer, 1 * MS);
    mb_loop_disarm(&timer);
    fake.takes_us = 100 * MS;
    mb_loop_turn(loop, NO_LIMIT);
    MB_CHECK_EQ_INT(fired, 0);
    mb_loop_arm(loop, &timer, UINT64_MAX); /* no overflow */
    mb_loop_turn(loop, NO_LIMIT);
    MB_CHECK_EQ_INT(fired, 0);
    tear_down();
}

static void ask_for_the_time(void) {
    mb_loop_now_us(loop);
    mb_loop_now_us(loop);
}

MB_TEST(clock_is_read_once_a_turn) {
    set_up();
    mb_timer timer = {.on_expire = on_expire};
    mb_loop_arm(loop, &timer, 1000 * MS);
    fake.during = ask_for_the_time;
    fake.takes_us = 1 * MS;
    clock_reads = 0;
    for (int i = 1; i <= 5; i++) {
        mb_loop_turn(loop, NO_LIMIT);
        MB_CHECK_EQ_INT(clock_reads, i);
        MB_CHECK_EQ_INT(mb_loop_now_us(loop), 64 * MS + (unsigned)i * MS);
        MB_CHECK_EQ_INT(mb_loop_wall_us(loop), 7 + i * (long long)MS);
    }
    tear_down();
}

MB_TEST(failing_wait_is_reported) {
    set_up();
    fake.result = MB_EIO;
    MB_CHECK_EQ_INT(mb_loop_turn(loop, 0), MB_EIO);
    fake.result = 3;
    MB_CHECK_EQ_INT(mb_loop_turn(loop, 0), MB_OK);
    tear_down();
}

MB_TEST(nth_allocation_failing_frees_the_poller_and_all_else) {
    for (size_t n = 1; n <= 3; n++) {
        mbtest_alloc *failing = mbtest_failing_alloc(n);
        mb_poller *poller = mb_epoll_new(&failing->allocator);
        MB_CHECK((poller == NULL) == (n == 1));
        if (poller != NULL) {
            mbtest_clock_init(&test_clock, 0, 0);
            MB_CHECK(mb_loop_new(&failing->allocator, &test_clock.clock, poller) == NULL);
        }
        mbtest_alloc_free(failing);
    }
}

/* -- other threads ------------------------------------------------------------------------- */

enum { THREADS = 4, POSTS = 5000 };

typedef struct numbered {
    mb_post post;
    int thread, number;
} numbered;

static int next_number[THREADS];
static int arrived;
static bool in_order;

static void on_post(mb_post *post) {
    numbered *self = (numbered *)post;
    in_order = in_order && next_number[self->thread] == self->number;
    next_number[self->thread] = self->number + 1;
    arrived++;
    free(self);
}

static void *post_many(void *argument) {
    int thread = (int)(intptr_t)argument;
    for (int i = 0; i < POSTS; i++) {
        numbered *made = malloc(sizeof(*made));
        *made = (numbered){.post.run = on_post, .thread = thread, .number = i};
        mb_loop_post(loop, &made->post);
    }
    return NULL;
}

static void set_up_with_epoll(void) {
    memory = mbtest_failing_alloc(0);
    mbtest_clock_init(&test_clock, 0, 0);
    loop = mb_loop_new(&memory->allocator, &test_clock.clock, mb_epoll_new(&memory->allocator));
    MB_CHECK(loop != NULL);
}

static void tear_down_with_epoll(void) {
    mb_loop_free(loop);
    mbtest_alloc_free(memory);
}

MB_TEST(posts_of_many_threads_all_arrive_and_each_thread_s_in_order) {
    set_up_with_epoll();
    memset(next_number, 0, sizeof(next_number));
    arrived = 0;
    in_order = true;
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++) {
        MB_CHECK(pthread_create(&threads[i], NULL, post_many, (void *)i) == 0);
    }
    while (arrived < THREADS * POSTS) {
        MB_CHECK_EQ_INT(mb_loop_turn(loop, NO_LIMIT), MB_OK); /* a lost wake-up would hang here */
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    MB_CHECK(in_order);
    tear_down_with_epoll();
}

static int posts_left;

static void on_post_again(mb_post *post) {
    if (--posts_left > 0) {
        mb_loop_post(loop, post);
    }
}

MB_TEST(post_may_post_itself_again) {
    set_up_with_epoll();
    mb_post post = {.run = on_post_again};
    posts_left = 3;
    mb_loop_post(loop, &post);
    while (posts_left > 0) {
        mb_loop_turn(loop, NO_LIMIT);
    }
    MB_CHECK_EQ_INT(mb_loop_turns(loop), 3);
    tear_down_with_epoll();
}

static void on_signal(int number) {
    (void)number;
    mb_loop_wake(loop);
}

MB_TEST(wake_of_a_signal_handler_ends_the_wait_and_keeps_errno) {
    set_up_with_epoll();
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;
    sigaction(SIGUSR1, &action, &before);
    errno = 77;
    raise(SIGUSR1);
    raise(SIGUSR1);
    MB_CHECK_EQ_INT(errno, 77);
    MB_CHECK_EQ_INT(mb_loop_turn(loop, NO_LIMIT), MB_OK);
    raise(SIGUSR1); /* once more after it was seen */
    MB_CHECK_EQ_INT(mb_loop_turn(loop, NO_LIMIT), MB_OK);
    sigaction(SIGUSR1, &before, NULL);
    tear_down_with_epoll();
}
