/*
 * The upstream's side of an HTTP/2 connection, frame by frame, over a socket of the rig: what a
 * server says is the test's to decide, well or badly. Each call turns the rig's loop as long as it
 * waits.
 */
#ifndef MBTEST_H2_PEER_H
#define MBTEST_H2_PEER_H

#include "support/upstream_rig.h"

enum {
    H2_DATA = 0,
    H2_HEADERS = 1,
    H2_RST_STREAM = 3,
    H2_SETTINGS = 4,
    H2_PING = 6,
    H2_GOAWAY = 7,
    H2_WINDOW_UPDATE = 8
};
enum { H2_END_STREAM = 1, H2_ACK = 1, H2_END_HEADERS = 4 };
enum { H2_NO_ERROR = 0, H2_INTERNAL_ERROR = 2, H2_REFUSED_STREAM = 7, H2_CANCEL = 8 };
enum { H2_MAX_CONCURRENT_STREAMS = 3, H2_INITIAL_WINDOW_SIZE = 4 };

typedef struct h2_frame {
    uint32_t length, stream;
    uint8_t type, flags;
    uint8_t payload[16384];
} h2_frame;

/* Accepts; reads the preface; sends SETTINGS, with `max_streams` unless that is negative. */
int h2_accept(rig *self, int64_t max_streams);
void h2_send(rig *self, int peer, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
             size_t length);
void h2_send_setting(rig *self, int peer, uint16_t id, uint32_t value);
/* Reads the next frame of a type; the others before it are passed over. */
void h2_expect(rig *self, int peer, uint8_t type, h2_frame *out);
/* Reads until a HEADERS frame came. Returns its stream. */
uint32_t h2_expect_request(rig *self, int peer);
/* Reads until a RST_STREAM came for the stream. Returns its code. */
uint32_t h2_expect_reset(rig *self, int peer, uint32_t stream);
/* True when no HEADERS frame comes within a few turns. */
bool h2_no_request(rig *self, int peer);
void h2_respond(rig *self, int peer, uint32_t stream, bool end); /* :status 200 */
void h2_body(rig *self, int peer, uint32_t stream, const char *bytes, bool end);
void h2_reset(rig *self, int peer, uint32_t stream, uint32_t code);
void h2_goaway(rig *self, int peer, uint32_t last, uint32_t code);

#endif
