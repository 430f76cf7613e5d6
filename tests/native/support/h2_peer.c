/*
 * See h2_peer.h.
 */
#include "support/h2_peer.h"

#include <errno.h>
#include <stdio.h>

#define TURNS_MAX 5000

static void put_u32(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* False: nothing comes within `turns`, and nothing had begun. */
static bool read_all(rig *self, int peer, void *to, size_t length, int turns) {
    size_t at = 0;

    while (at < length) {
        ssize_t got = recv(peer, (char *)to + at, length - at, 0);

        if (got > 0) {
            at += (size_t)got;
            continue;
        }
        if (got == 0) {
            MB_FAIL("the connection was closed");
        }
        MB_CHECK_EQ_INT(errno, EAGAIN);
        if (turns-- == 0) {
            MB_CHECK_EQ_INT(at, 0);
            return false;
        }
        rig_turn(self);
    }
    return true;
}

static bool read_frame(rig *self, int peer, h2_frame *out, int turns) {
    uint8_t head[9];

    if (!read_all(self, peer, head, sizeof head, turns)) {
        return false;
    }
    out->length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    out->type = head[3];
    out->flags = head[4];
    out->stream = get_u32(head + 5);
    MB_CHECK(out->length <= sizeof out->payload);
    MB_CHECK(read_all(self, peer, out->payload, out->length, TURNS_MAX));
    return true;
}

void h2_send(rig *self, int peer, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
             size_t length) {
    uint8_t frame[9 + 16384];

    (void)self;
    MB_CHECK(length <= 16384);
    frame[0] = (uint8_t)(length >> 16);
    frame[1] = (uint8_t)(length >> 8);
    frame[2] = (uint8_t)length;
    frame[3] = type;
    frame[4] = flags;
    put_u32(frame + 5, stream);
    if (length > 0) {
        memcpy(frame + 9, payload, length);
    }
    MB_CHECK_EQ_INT(send(peer, frame, 9 + length, MSG_NOSIGNAL), (ssize_t)(9 + length));
}

void h2_send_setting(rig *self, int peer, uint16_t id, uint32_t value) {
    uint8_t setting[6] = {(uint8_t)(id >> 8), (uint8_t)id};

    put_u32(setting + 2, value);
    h2_send(self, peer, H2_SETTINGS, 0, 0, setting, sizeof setting);
}

int h2_accept(rig *self, int64_t max_streams) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    char got[sizeof preface - 1];
    int peer = rig_accept(self);

    MB_CHECK(read_all(self, peer, got, sizeof got, TURNS_MAX));
    MB_CHECK(memcmp(got, preface, sizeof got) == 0);
    if (max_streams < 0) {
        h2_send(self, peer, H2_SETTINGS, 0, 0, NULL, 0);
    } else {
        h2_send_setting(self, peer, H2_MAX_CONCURRENT_STREAMS, (uint32_t)max_streams);
    }
    return peer;
}

void h2_expect(rig *self, int peer, uint8_t type, h2_frame *out) {
    do {
        if (!read_frame(self, peer, out, TURNS_MAX)) {
            MB_FAIL("nothing comes");
        }
    } while (out->type != type);
}

uint32_t h2_expect_request(rig *self, int peer) {
    h2_frame frame;

    h2_expect(self, peer, H2_HEADERS, &frame);
    return frame.stream;
}

uint32_t h2_expect_reset(rig *self, int peer, uint32_t stream) {
    h2_frame frame;

    h2_expect(self, peer, H2_RST_STREAM, &frame);
    MB_CHECK_EQ_INT(frame.stream, stream);
    return get_u32(frame.payload);
}

bool h2_no_request(rig *self, int peer) {
    h2_frame frame;

    while (read_frame(self, peer, &frame, 4)) {
        if (frame.type == H2_HEADERS) {
            return false;
        }
    }
    return true;
}

void h2_respond(rig *self, int peer, uint32_t stream, bool end) {
    static const uint8_t ok = 0x88; /* the static table's :status 200 */

    h2_send(self, peer, H2_HEADERS, H2_END_HEADERS | (end ? H2_END_STREAM : 0), stream, &ok, 1);
}

void h2_body(rig *self, int peer, uint32_t stream, const char *bytes, bool end) {
    h2_send(self, peer, H2_DATA, end ? H2_END_STREAM : 0, stream, bytes, strlen(bytes));
}

void h2_reset(rig *self, int peer, uint32_t stream, uint32_t code) {
    uint8_t payload[4];

    put_u32(payload, code);
    h2_send(self, peer, H2_RST_STREAM, 0, stream, payload, sizeof payload);
}

void h2_goaway(rig *self, int peer, uint32_t last, uint32_t code) {
    uint8_t payload[8];

    put_u32(payload, last);
    put_u32(payload + 4, code);
    h2_send(self, peer, H2_GOAWAY, 0, 0, payload, sizeof payload);
}
