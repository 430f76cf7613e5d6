/*
 * See h2_keepalive.h.
 */
#include "net/h2_keepalive.h"

static void arm_interval(mb_h2_keepalive *self) {
    const mb_keepalive_settings *settings = self->settings;
    uint64_t wait_us = settings->interval_us;

    self->asked = false;
    if (settings->interval_us == 0) {
        mb_loop_disarm(&self->timer);
        return;
    }
    if (settings->jitter_us > 0) {
        wait_us += mb_random_u64(self->random) % (settings->jitter_us + 1);
    }
    mb_loop_arm(self->conn->net->loop, &self->timer, wait_us);
}

static void ask(mb_h2_keepalive *self) {
    self->asked = true;
    mb_loop_arm(self->conn->net->loop, &self->timer, self->settings->timeout_us);
    /* Without memory for the PING there will be no answer: the connection ends by the timeout. */
    (void)self->codec->vtable->ping(self->codec, &self->conn->out);
    mb_conn_flush_later(self->conn);
}

static void on_expire(mb_timer *timer) {
    mb_h2_keepalive *self = MB_LIST_ENTRY(timer, mb_h2_keepalive, timer);

    if (self->asked) {
        self->codec = NULL;
        self->on_dead(self);
    } else {
        ask(self);
    }
}

void mb_h2_keepalive_start(mb_h2_keepalive *keepalive, const mb_keepalive_settings *settings,
                           mb_random *random, mb_codec *codec, mb_conn *conn,
                           void (*on_dead)(mb_h2_keepalive *keepalive)) {
    if (settings->timeout_us == 0 || codec->vtable->ping == NULL) {
        return;
    }
    keepalive->settings = settings;
    keepalive->random = random;
    keepalive->codec = codec;
    keepalive->conn = conn;
    keepalive->on_dead = on_dead;
    keepalive->timer.on_expire = on_expire;
    arm_interval(keepalive);
}

void mb_h2_keepalive_stop(mb_h2_keepalive *keepalive) {
    mb_loop_disarm(&keepalive->timer);
    keepalive->codec = NULL;
}

void mb_h2_keepalive_on_ack(mb_h2_keepalive *keepalive) {
    if (keepalive->codec != NULL && keepalive->asked) {
        arm_interval(keepalive);
    }
}

void mb_h2_keepalive_wake(mb_h2_keepalive *keepalive, uint64_t last_read_us) {
    if (keepalive->codec == NULL || keepalive->asked ||
        keepalive->settings->idle_interval_us == 0) {
        return;
    }
    if (mb_loop_now_us(keepalive->conn->net->loop) - last_read_us >
        keepalive->settings->idle_interval_us) {
        ask(keepalive);
    }
}
