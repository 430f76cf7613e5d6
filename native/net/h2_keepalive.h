/*
 * PING keep-alive of an HTTP/2 connection, of either side: a connection whose peer does not answer
 * in time is dead, whatever TCP believes.
 *
 * OFF -> QUIET (interval timer) -> ASKED (timeout timer) -> QUIET on the answer, or `on_dead`. One
 * timer serves both. Embedded in the owner of the connection, who passes the codec's `on_ping_ack`
 * on and stops it before connection or codec go.
 *
 * Source: Envoy, KeepaliveSettings. RFC 9113 6.7.
 */
#ifndef MB_NET_H2_KEEPALIVE_H
#define MB_NET_H2_KEEPALIVE_H

#include "base/random.h"
#include "http/codec.h"
#include "net/conn.h"

typedef struct mb_keepalive_settings {
    uint64_t interval_us;      /* from an answer to the next PING; 0: none on a timer */
    uint64_t jitter_us;        /* random addition to it, 0 to this */
    uint64_t timeout_us;       /* for the answer; 0: no keep-alive at all */
    uint64_t idle_interval_us; /* mb_h2_keepalive_wake; 0: not */
} mb_keepalive_settings;

typedef struct mb_h2_keepalive mb_h2_keepalive;
struct mb_h2_keepalive {
    const mb_keepalive_settings *settings; /* lives as long as the owner */
    mb_random *random;
    mb_codec *codec; /* NULL: off */
    mb_conn *conn;
    void (*on_dead)(mb_h2_keepalive *keepalive);
    mb_timer timer;
    bool asked;
};

/* `keepalive` is zeroed. From now on by the settings; without effect when they are off. `on_dead`
 * comes from a timer, once. */
void mb_h2_keepalive_start(mb_h2_keepalive *keepalive, const mb_keepalive_settings *settings,
                           mb_random *random, mb_codec *codec, mb_conn *conn,
                           void (*on_dead)(mb_h2_keepalive *keepalive));
/* Idempotent; also when it never started. */
void mb_h2_keepalive_stop(mb_h2_keepalive *keepalive);
void mb_h2_keepalive_on_ack(mb_h2_keepalive *keepalive);
/* A client is about to begin a stream: asks first when nothing came since `last_read_us` for the
 * idle interval. */
void mb_h2_keepalive_wake(mb_h2_keepalive *keepalive, uint64_t last_read_us);

#endif
