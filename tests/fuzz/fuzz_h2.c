/*
 * Fuzzes both HTTP/2 codecs. The first byte chooses codec and options, the second the cuts and what
 * the owner does meanwhile; the rest is what the peer sends behind the preface. Whatever comes, the
 * accounts must be right, what is written must be whole frames, and where nothing was reset the
 * messages must be the same whole and in pieces.
 */
#define H2_RIG_FLOWS 12
#include "../native/support/h2_bytes.c"
#include "../native/support/h2_rig.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static mb_codec_options options_of(uint8_t choice) {
    return (mb_codec_options){
        .enable_trailers = (choice & 2) != 0,
        .drop_underscores = (choice & 4) != 0,
        .max_head_bytes = (choice & 8) != 0 ? 256 : 0,
        .max_header_count = (choice & 8) != 0 ? 9 : 0,
        .h2 =
            {
                .allow_connect = (choice & 16) != 0,
                .initial_stream_window_bytes = (choice & 32) != 0 ? 100 : 0,
                .max_concurrent_streams = (choice & 64) != 0 ? 2 : 0,
                .output_bytes = (choice & 128) != 0 ? 64 : 0,
            },
    };
}

static void check(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "wrong: %s\n", what);
        abort();
    }
}

/* What the owner does between two pieces, so that every call meets every state. */
static void meddle(h2_rig *rig, uint8_t how, size_t at) {
    h2_flow *flow = &rig->flows[(how + at) % 8];

    if (!flow->begun || flow->stream.state == NULL) {
        return;
    }
    switch ((how >> 3) % 6) {
    case 0:
        h2_flow_pause(flow, at % 2 == 0);
        break;
    case 1:
        (void)h2_rig_respond(flow, 200, false);
        (void)h2_flow_send(flow, MB_SLICE_LIT("some body that may have to wait"), at % 2 == 0);
        break;
    case 2:
        rig->codec->vtable->reset(rig->codec, &flow->stream, (mb_reset_reason)(at % 4), &rig->out);
        break;
    case 3:
        (void)h2_rig_respond(flow, 204, false);
        (void)h2_flow_send_trailers(flow, MB_SLICE_LIT("a"), MB_SLICE_LIT("b"));
        break;
    case 4:
        rig->codec->vtable->shut_down(rig->codec, &rig->out);
        break;
    default:
        (void)rig->codec->vtable->ping(rig->codec, &rig->out);
        break;
    }
}

static void check_written(h2_rig *rig) {
    mb_slice wire;

    check(mb_buffer_join(&rig->out, rig->out.length, &wire, NULL) == MB_OK, "memory");
    (void)h2_describe(wire, rig->text, sizeof rig->text); /* aborts at a frame that is not whole */
    mb_buffer_clear(&rig->out);
}

static void check_accounts(h2_rig *rig) {
    uint64_t attached = 0;

    for (size_t i = 0; i < H2_RIG_FLOWS; i++) {
        attached += rig->flows[i].begun && rig->flows[i].stream.state != NULL;
    }
    check(rig->failed <= 1, "more than one error");
    check(rig->failed == 0 || attached == 0, "a stream outlives its connection");
    check(rig->counters.streams_active >= attached, "streams_active");
    check(rig->codec->vtable->unfinished(rig->codec) <= rig->counters.streams_active, "unfinished");
}

static h2_rig *run(uint8_t choice, uint8_t how, mb_slice input, size_t step) {
    mb_codec_options options = options_of(choice);
    bool is_server = (choice & 1) != 0;
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, is_server, &options);
    int rc = MB_OK;

    check(rig != NULL, "memory");
    if (is_server) {
        (void)h2_rig_feed(rig, MB_SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0);
    } else {
        for (int i = 0; i < 4; i++) {
            (void)h2_rig_request(rig, i == 1 ? "HEAD" : "POST", "/", i % 2 == 0, &rc);
        }
    }
    rc = MB_OK;
    for (size_t at = 0; at < input.len && rc == MB_OK; at += step) {
        size_t piece = step < input.len - at ? step : input.len - at;

        rc = h2_rig_feed(rig, (mb_slice){input.ptr + at, piece}, 0);
        if (how != 0) {
            meddle(rig, how, at);
        }
        check_accounts(rig);
        if (at % 3 == 0) {
            check_written(rig);
            (void)h2_rig_flush(rig);
        }
    }
    rig->codec->vtable->receive_end(rig->codec);
    for (int i = 0; i < 100 && (i == 0 || rig->out.length != 0); i++) {
        check_written(rig);
        (void)h2_rig_flush(rig);
    }
    check_accounts(rig);
    return rig;
}

static bool was_reset(const h2_rig *rig) {
    bool reset = rig->failed != 0 || rig->counters.tx_reset + rig->counters.rx_reset != 0;

    for (size_t i = 0; i < H2_RIG_FLOWS; i++) {
        reset |= rig->flows[i].begun && rig->flows[i].reset;
    }
    return reset;
}

static void expect_same(h2_rig *a, h2_rig *b) {
    mb_slice x, y;

    if (was_reset(a) || was_reset(b)) {
        return;
    }
    x = h2_rig_text(a);
    y = h2_rig_text(b);
    if (x.len != y.len || memcmp(x.ptr, y.ptr, x.len) != 0) {
        fprintf(stderr, "whole:  %.*s\npieces: %.*s\n", (int)x.len, x.ptr, (int)y.len, y.ptr);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    mb_slice input = {(const char *)bytes + 2, len - 2};
    h2_rig *whole, *pieces;

    if (len < 3 || len > 4096) {
        return 0;
    }
    whole = run(bytes[0], 0, input, input.len);
    pieces = run(bytes[0], 0, input, 1u + bytes[1] % 37u);
    expect_same(whole, pieces);
    h2_rig_free(whole);
    h2_rig_free(pieces);
    h2_rig_free(run(bytes[0], bytes[1] | 1, input, 1u + bytes[1] % 37u));
    return 0;
}
