/*
 * What tests of connections share: a loop with a settable clock over real epoll, an owner that
 * writes down its callbacks, and a transport that does what a script says.
 */
#ifndef MBTEST_NET_WORLD_H
#define MBTEST_NET_WORLD_H

#include "mbtest.h"
#include "net/conn.h"
#include "net/listener.h"

#define WORLD_START_US 1000000000u

typedef struct world {
    mbtest_alloc *memory;
    mbtest_clock clock;
    mb_loop *loop;
    mb_slab_pool *slabs;
    mb_net net;
} world;

/* False when the `fail_at`-th allocation was one of the world's own. */
bool world_init(world *self, size_t fail_at);
/* Frees all and checks that nothing is left over. */
void world_fini(world *self);
void world_turn(world *self); /* without waiting */
/* Turns, waiting for events, until `*done`: an event that is lost shows as a hang. */
void world_turn_until(world *self, const bool *done);
void world_advance_us(world *self, uint64_t by_us); /* the clock, then a turn */

/* An owner. `log` gets a word a callback: connected, data:N (bytes in conn->in), end, high, low,
 * close:REASON. After it the hook of that name is called, if any. */
typedef struct owner owner;
typedef void (*owner_hook)(owner *self, mb_conn *conn);
struct owner {
    world *world;
    mb_conn *conn; /* NULL after on_close */
    char log[4096];
    size_t log_length;
    char *bytes; /* what on_data has taken; all of it unless keep_input */
    size_t length, room;
    bool keep_input;
    bool connected, data, ended, closed;
    mb_close_reason reason;
    int error; /* mb_conn_errno at on_close */
    owner_hook on_connected, on_data, on_end, on_high, on_low, on_close;
    void *context;
};
extern const mb_conn_events owner_events;

void owner_init(owner *self, world *in);
void owner_fini(owner *self); /* frees the connection if it is still there */
void owner_forget_log(owner *self);
/* Compares and forgets. */
#define CHECK_LOG(self, want)                                                                      \
    do {                                                                                           \
        MB_CHECK_EQ_LIT(((mb_slice){(self)->log, (self)->log_length}), want);                      \
        owner_forget_log(self);                                                                    \
    } while (0)
void owner_send(owner *self, const char *bytes, size_t length); /* copies, flush_later */
void owner_send_pattern(owner *self, size_t length);

/* Byte `i` of an endless stream that shows any shift. */
static inline char pattern_byte(size_t i) {
    return (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}
void check_pattern(const char *bytes, size_t length);

/* A transport by script. Reads give bytes of the pattern: step > 0 at most that many (what does
 * not fit in the room waits for the next read), 0 the end, MB_EAGAIN, MB_EIO with `read_errno`;
 * after the last step MB_EAGAIN. Writes take at most the step's bytes, MB_EAGAIN or MB_EIO
 * (EPIPE); after the last step all. */
typedef struct scripted {
    mb_transport transport;
    const int64_t *reads, *writes;
    size_t read_count, write_count;
    int read_errno;
    int64_t read_left; /* of the current step */
    size_t given;      /* bytes read so far */
    char *written;
    size_t written_length, written_room;
    unsigned read_calls, write_calls, shut_calls, close_calls;
    bool was_reset, was_freed;
} scripted;

/* Storage of the caller, who calls scripted_fini after the connection is freed. */
void scripted_init(scripted *self);
void scripted_fini(scripted *self);
#define SCRIPT_READS(self, ...)                                                                    \
    scripted_reads(self, (const int64_t[]){__VA_ARGS__},                                           \
                   sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define SCRIPT_WRITES(self, ...)                                                                   \
    scripted_writes(self, (const int64_t[]){__VA_ARGS__},                                          \
                    sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
void scripted_reads(scripted *self, const int64_t *steps, size_t count); /* steps are borrowed */
void scripted_writes(scripted *self, const int64_t *steps, size_t count);

#endif
