/*
 * Random lives of a connection with network filters: whatever filters stop, keep pending, resume
 * and finish, in the end all bytes have passed both ways, once and in order, and so have the ends.
 */
#include "support/network_rig.h"

#include "filter/network_walk.h"
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 4000
#define STEPS 60

typedef struct life {
    rig rig;
    uint64_t seed;
    size_t sent[2]; /* bytes that the peer (the owner) has sent so far */
    bool ended[2];
} life;

static unsigned pick(life *self, unsigned count) {
    self->seed = self->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(self->seed >> 33) % count;
}

static int random_status(life *self) {
    static const int statuses[] = {MB_NETWORK_CONTINUE, MB_NETWORK_CONTINUE,
                                   MB_NETWORK_STOP_ITERATION, MB_PENDING};
    return statuses[pick(self, 4)];
}

static void fill(life *self, char *out, int direction, size_t length) {
    for (size_t i = 0; i < length; i++) {
        out[i] = pattern_byte(self->sent[direction]++) | 1; /* no NUL: it travels as a text */
    }
    out[length] = '\0';
}

static void check_bytes(const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        MB_CHECK_EQ_INT(bytes[i], (char)(pattern_byte(i) | 1));
    }
}

/* Ends what is pending, or lets go on what is stopped; true: there was something. */
static bool release_one(life *self, int filter, int direction, int status) {
    rig *r = &self->rig;
    mb_network_filter *found = r->filters[filter].filter;
    if (found == NULL) {
        return false;
    }
    mb_network_direction way = (mb_network_direction)direction;
    return r->host->finish(found, way, status) == MB_OK || r->host->resume(found, way) == MB_OK;
}

static void step(life *self, int filters) {
    rig *r = &self->rig;
    char text[64];
    int filter = (int)pick(self, (unsigned)filters);
    int direction = (int)pick(self, 2);
    script *target = &r->filters[filter];
    if (target->given[direction] < SCRIPT_STEPS) {
        script_status(r, filter, direction, random_status(self));
    }
    switch (pick(self, 5)) {
    case 0:
    case 1:
        if (!self->ended[MB_NETWORK_READ]) {
            fill(self, text, MB_NETWORK_READ, 1 + pick(self, 20));
            rig_peer_sends(r, text);
        }
        break;
    case 2:
        if (!self->ended[MB_NETWORK_WRITE]) {
            fill(self, text, MB_NETWORK_WRITE, 1 + pick(self, 20));
            owner_send(&r->owner, text, strlen(text));
        }
        break;
    case 3:
        (void)release_one(self, filter, direction, (int)pick(self, 2));
        break;
    default:
        rig_turns(r, 1);
    }
    r->hooks_length = 0;
}

static void end_both(life *self) {
    rig *r = &self->rig;
    rig_peer_ends(r);
    mb_conn_end_write(r->conn);
    self->ended[0] = self->ended[1] = true;
}

/* From here on everything continues. */
static void settle(life *self, int filters) {
    rig *r = &self->rig;
    bool some = true;
    rig_turns(r, 4); /* what was asked for last */
    while (some) {
        some = false;
        for (int filter = 0; filter < filters; filter++) {
            r->filters[filter].asked[0] = r->filters[filter].given[0];
            r->filters[filter].asked[1] = r->filters[filter].given[1];
            some |= release_one(self, filter, MB_NETWORK_READ, MB_NETWORK_CONTINUE);
            some |= release_one(self, filter, MB_NETWORK_WRITE, MB_NETWORK_CONTINUE);
        }
        rig_turns(r, 4);
        r->hooks_length = 0;
    }
}

static void live(uint64_t seed) {
    life self = {.seed = seed * 2654435761u + 1};
    rig *r = &self.rig;
    int filters = 1 + (int)pick(&self, 3);
    rig_make(r, filters);
    r->limit_bytes = pick(&self, 2) ? 50 : 0;
    for (int i = 0; i < filters; i++) {
        r->filters[i].open_status = random_status(&self);
    }
    rig_start(r);
    for (int i = 0; i < STEPS; i++) {
        if (i == STEPS / 2 && pick(&self, 2)) {
            end_both(&self);
        }
        step(&self, filters);
    }
    if (!self.ended[0]) {
        end_both(&self);
    }
    settle(&self, filters);
    MB_CHECK(r->owner.ended);
    MB_CHECK_EQ_INT(r->owner.length, self.sent[MB_NETWORK_READ]);
    check_bytes(r->owner.bytes, r->owner.length);
    MB_CHECK(rig_peer_saw_end(r));
    mb_slice got = rig_peer_got(r);
    MB_CHECK_EQ_INT(got.len, self.sent[MB_NETWORK_WRITE]);
    check_bytes(got.ptr, got.len);
    network_rig_fini(r);
}

MB_TEST(whatever_filters_do_all_bytes_pass_once_and_in_order) {
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        live(seed);
    }
}
