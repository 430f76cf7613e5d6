/* grpc_web: what the upstream and the client get is the same for every way of cutting bodies. */
#include "base/base64.h"
#include "base/slice.h"
#include "filter/builtin.h"
#include "support/filter_rig.h"

#include <stdlib.h>

#define TEXT "application/grpc-web-text"

static void begin(filter_rig *rig) {
    filter_rig_init(rig, 0);
    MB_CHECK_EQ_INT(filter_rig_use(rig, "grpc_web", "null"), MB_OK);
}

static void request(filter_rig *rig, const char *type, const char *accept) {
    filter_rig_get(rig, "/a.B/C");
    filter_rig_header(rig, MB_REQUEST, "content-type", type);
    filter_rig_header(rig, MB_REQUEST, "accept", accept);
    filter_rig_header(rig, MB_REQUEST, "content-length", "8");
    mb_stream_request_headers(rig->stream, false);
}

static void response(filter_rig *rig, const char *status, const char *type, bool end) {
    filter_rig_header(rig, MB_RESPONSE, ":status", status);
    filter_rig_header(rig, MB_RESPONSE, "content-type", type);
    mb_stream_response_headers(rig->stream, end);
}

static void pieces(filter_rig *rig, mb_direction direction, mb_slice body, size_t length) {
    while (body.len > 0 && !rig->completed) {
        filter_rig_body(rig, direction, mb_slice_take(body, length), false);
        body = mb_slice_skip(body, length);
    }
}

static void trailers(filter_rig *rig) {
    mb_headers *fields = &rig->stream->trailers[MB_RESPONSE];
    mb_headers_add(fields, MB_SLICE_LIT("grpc-status"), MB_SLICE_LIT("0"));
    mb_headers_add(fields, MB_SLICE_LIT("x-a"), MB_SLICE_LIT("1"));
    mb_headers_add(fields, MB_SLICE_LIT("x-a"), MB_SLICE_LIT("2"));
    mb_stream_response_trailers(rig->stream);
}

static mb_slice sent(const filter_rig *rig) {
    return (mb_slice){rig->body, rig->body_length};
}

static mb_slice asked(const filter_rig *rig) {
    return (mb_slice){rig->upstream_body, rig->upstream_body_length};
}

MB_TEST(request_becomes_one_of_grpc) {
    static const char *const types[] = {"application/grpc-web", "application/grpc-web+proto", TEXT,
                                        TEXT "+proto"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        filter_rig rig;
        begin(&rig);
        request(&rig, types[i], "*/*");
        MB_CHECK_EQ_LIT(filter_rig_fields(&rig.stream->headers[MB_REQUEST]),
                        "content-type=application/grpc;accept=*/*;te=trailers;"
                        "grpc-accept-encoding=identity;");
        filter_rig_fini(&rig);
    }
}

MB_TEST(other_requests_and_their_responses_are_left_alone) {
    static const char *const types[] = {"application/grpc", "application/grpc-web+json",
                                        "application/grpc-web-textual", "APPLICATION/GRPC-WEB",
                                        "application/json"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        filter_rig rig;
        begin(&rig);
        request(&rig, types[i], TEXT);
        filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT("!not64!!"), true);
        MB_CHECK_EQ_LIT(asked(&rig), "!not64!!");
        MB_CHECK_EQ_LIT(filter_rig_values(&rig.stream->headers[MB_REQUEST], "content-length"), "8");
        response(&rig, "200", "text/x", false);
        pieces(&rig, MB_RESPONSE, MB_SLICE_LIT("body"), 4);
        trailers(&rig);
        MB_CHECK_EQ_LIT(filter_rig_fields(&rig.stream->headers[MB_RESPONSE]),
                        "content-type=text/x;");
        MB_CHECK_EQ_LIT(sent(&rig), "body");
        MB_CHECK_EQ_INT(mb_headers_count(&rig.stream->trailers[MB_RESPONSE]), 3);
        filter_rig_fini(&rig);
    }
}

MB_TEST(grpc_accept_encoding_of_the_client_stays) {
    filter_rig rig;
    begin(&rig);
    filter_rig_header(&rig, MB_REQUEST, "grpc-accept-encoding", "gzip");
    request(&rig, TEXT, "");
    MB_CHECK_EQ_LIT(filter_rig_values(&rig.stream->headers[MB_REQUEST], "grpc-accept-encoding"),
                    "gzip");
    filter_rig_fini(&rig);
}

MB_TEST(text_request_is_decoded_whatever_its_pieces) {
    /* Padding after each of three parts: clients encode frame by frame. */
    mb_slice text = MB_SLICE_LIT("AAAAAAFhAAAAAAFiYg==AAAAAANjY2NkAAA=");
    mb_slice bytes = MB_SLICE_LIT("\0\0\0\0\1a\0\0\0\0\1bb\0\0\0\0\3cccd\0\0");
    for (size_t length = 1; length <= text.len; length++) {
        for (int last = 0; last < 2; last++) {
            filter_rig rig;
            begin(&rig);
            request(&rig, TEXT, "");
            size_t rest = last ? (text.len - 1) / length * length : text.len;
            pieces(&rig, MB_REQUEST, mb_slice_take(text, rest), length);
            filter_rig_body(&rig, MB_REQUEST, mb_slice_skip(text, rest), true);
            MB_CHECK_EQ_SLICE(asked(&rig), bytes);
            MB_CHECK(rig.upstream_ended);
            filter_rig_fini(&rig);
        }
    }
}

MB_TEST(broken_base64_is_refused) {
    static const char *const rows[][2] = {
        {"AAAA!AAA", "grpc_base_64_decode_failed"},
        {"AAAAA===", "grpc_base_64_decode_failed"},
        {"AAAAAA", "grpc_base_64_decode_failed_bad_size"},
        {"A", "grpc_base_64_decode_failed_bad_size"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t length = 1; length < 9; length++) {
            filter_rig rig;
            begin(&rig);
            request(&rig, TEXT, "");
            pieces(&rig, MB_REQUEST, mb_slice_from_c(rows[i][0]), length);
            if (!rig.completed) {
                filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT(""), true);
            }
            MB_CHECK_EQ_INT(rig.status, 400);
            MB_CHECK_EQ_SLICE(rig.stream->info.details, mb_slice_from_c(rows[i][1]));
            /* The answer is no gRPC: it becomes what a client of gRPC-Web understands. */
            MB_CHECK_EQ_LIT(filter_rig_values(&rig.stream->headers[MB_RESPONSE], "grpc-status"),
                            "13");
            MB_CHECK_EQ_LIT(filter_rig_values(&rig.stream->headers[MB_RESPONSE], "grpc-message"),
                            "Bad gRPC-web request, invalid base64 data.");
            MB_CHECK_EQ_INT(rig.body_length, 0);
            filter_rig_fini(&rig);
        }
    }
}

/* Two frames; the second is empty. */
#define FRAMES "\0\0\0\0\4abcd\1\0\0\0\0"
#define TRAILERS "\200\0\0\0\x1dgrpc-status:0\r\nx-a:1\r\nx-a:2\r\n"

MB_TEST(trailers_become_the_last_frame) {
    mb_slice frames = MB_SLICE_LIT(FRAMES);
    for (size_t length = 1; length <= frames.len; length++) {
        filter_rig rig;
        begin(&rig);
        request(&rig, "application/grpc-web", "application/grpc-web");
        filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT(""), true);
        filter_rig_header(&rig, MB_RESPONSE, "content-length", "14");
        response(&rig, "200", "application/grpc+proto", false);
        pieces(&rig, MB_RESPONSE, frames, length);
        MB_CHECK_EQ_SLICE(sent(&rig), frames); /* nothing waits for the trailers */
        trailers(&rig);
        MB_CHECK_EQ_LIT(filter_rig_fields(&rig.stream->headers[MB_RESPONSE]),
                        "content-type=application/grpc-web+proto;");
        MB_CHECK_EQ_LIT(sent(&rig), FRAMES TRAILERS);
        MB_CHECK_EQ_INT(mb_headers_count(&rig.stream->trailers[MB_RESPONSE]), 0);
        MB_CHECK(rig.response_ended && rig.completed);
        filter_rig_fini(&rig);
    }
}

MB_TEST(text_response_is_padded_after_each_frame) {
    mb_slice frames = MB_SLICE_LIT(FRAMES);
    char want[128];
    size_t first = mb_base64_encode(mb_slice_take(frames, 9), want);
    size_t both = first + mb_base64_encode(mb_slice_skip(frames, 9), want + first);
    size_t all = both + mb_base64_encode(MB_SLICE_LIT(TRAILERS), want + both);
    for (size_t length = 1; length <= frames.len; length++) {
        filter_rig rig;
        begin(&rig);
        request(&rig, "application/grpc-web", TEXT);
        filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT(""), true);
        response(&rig, "200", "application/grpc", false);
        pieces(&rig, MB_RESPONSE, mb_slice_take(frames, 9), length);
        MB_CHECK_EQ_SLICE(sent(&rig), ((mb_slice){want, first}));
        pieces(&rig, MB_RESPONSE, mb_slice_skip(frames, 9), length);
        MB_CHECK_EQ_SLICE(sent(&rig), ((mb_slice){want, both}));
        trailers(&rig);
        MB_CHECK_EQ_SLICE(sent(&rig), ((mb_slice){want, all}));
        MB_CHECK_EQ_LIT(filter_rig_fields(&rig.stream->headers[MB_RESPONSE]),
                        "content-type=" TEXT "+proto;");
        filter_rig_fini(&rig);
    }
}

MB_TEST(cut_frame_in_text_is_passed_on_at_the_end) {
    filter_rig rig;
    begin(&rig);
    request(&rig, TEXT, TEXT);
    filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT(""), true);
    response(&rig, "200", "application/grpc", false);
    filter_rig_body(&rig, MB_RESPONSE, MB_SLICE_LIT("\0\0\0\1\0abc"), false);
    MB_CHECK_EQ_LIT(sent(&rig), "AAAAAQBh");
    filter_rig_body(&rig, MB_RESPONSE, MB_SLICE_LIT(""), true);
    MB_CHECK_EQ_LIT(sent(&rig), "AAAAAQBhYmM=");
    MB_CHECK(rig.completed);
    filter_rig_fini(&rig);
}

MB_TEST(trailers_only_stay_headers) {
    filter_rig rig;
    begin(&rig);
    request(&rig, TEXT, "");
    filter_rig_header(&rig, MB_RESPONSE, "grpc-status", "5");
    response(&rig, "200", "application/grpc", true);
    MB_CHECK_EQ_LIT(filter_rig_fields(&rig.stream->headers[MB_RESPONSE]),
                    "grpc-status=5;content-type=application/grpc-web+proto;");
    MB_CHECK(rig.response_ended);
    filter_rig_fini(&rig);
}

MB_TEST(response_that_is_no_grpc_becomes_a_status) {
    static const char *const rows[][3] = {{"503", "text/plain", "14"},
                                          {"400", "application/grpc", "13"},
                                          {"401", "", "16"},
                                          {"403", "", "7"},
                                          {"404", "", "12"},
                                          {"429", "", "14"},
                                          {"502", "", "14"},
                                          {"504", "", "14"},
                                          {"500", "", "2"},
                                          {"200", "text/html", "2"},
                                          {"200", "application/grpcx", "2"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t length = 1; length < 12; length++) {
            filter_rig rig;
            begin(&rig);
            request(&rig, TEXT, "");
            filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT(""), true);
            response(&rig, rows[i][0], rows[i][1], false);
            pieces(&rig, MB_RESPONSE, MB_SLICE_LIT("no 50%~\r\n\xc3\xa4"), length);
            MB_CHECK_EQ_INT(rig.status, 0); /* the head waits */
            filter_rig_body(&rig, MB_RESPONSE, MB_SLICE_LIT("."), true);
            MB_CHECK_EQ_SLICE(
                mb_headers_pseudo(&rig.stream->headers[MB_RESPONSE], MB_PSEUDO_STATUS),
                mb_slice_from_c(rows[i][0]));
            mb_headers_remove(&rig.stream->headers[MB_RESPONSE], MB_SLICE_LIT("content-type"));
            MB_CHECK_EQ_SLICE(filter_rig_values(&rig.stream->headers[MB_RESPONSE], "grpc-status"),
                              mb_slice_from_c(rows[i][2]));
            MB_CHECK_EQ_LIT(filter_rig_values(&rig.stream->headers[MB_RESPONSE], "grpc-message"),
                            "no 50%25%7E%0D%0A%C3%A4.");
            MB_CHECK_EQ_LIT(filter_rig_values(&rig.stream->headers[MB_RESPONSE], "content-length"),
                            "0");
            MB_CHECK_EQ_INT(rig.body_length, 0);
            MB_CHECK(rig.response_ended);
            filter_rig_fini(&rig);
        }
    }
}

MB_TEST(long_body_that_is_no_grpc_is_cut) {
    static char page[40 * 1024];
    memset(page, 'x', sizeof(page));
    static const size_t lengths[] = {1000, 16384, 16385, sizeof(page)};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        filter_rig rig;
        begin(&rig);
        request(&rig, TEXT, "");
        filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT(""), true);
        response(&rig, "503", "text/html", false);
        pieces(&rig, MB_RESPONSE, (mb_slice){page, sizeof(page)}, lengths[i]);
        trailers(&rig);
        MB_CHECK_EQ_INT(
            mb_headers_value(&rig.stream->headers[MB_RESPONSE], MB_TOKEN_GRPC_MESSAGE).len, 16384);
        MB_CHECK(rig.response_ended && rig.completed);
        filter_rig_fini(&rig);
    }
}

MB_TEST(upstream_that_speaks_grpc_web_is_passed_on) {
    filter_rig rig;
    begin(&rig);
    request(&rig, TEXT, "");
    filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT(""), true);
    response(&rig, "200", "Application/grpc-web+proto ; charset=x", false);
    filter_rig_body(&rig, MB_RESPONSE, MB_SLICE_LIT(FRAMES TRAILERS), true);
    MB_CHECK_EQ_LIT(sent(&rig), FRAMES TRAILERS);
    filter_rig_fini(&rig);
}

/* Hands a body to a hook piece by piece and compares all that comes out. */
static void convert(filter_rig *rig,
                    mb_body_status (*hook)(mb_filter *filter, mb_buffer *data, bool end),
                    mb_slice body, size_t length, mb_slice want) {
    mb_buffer all, data;
    mb_slice got;
    mb_buffer_init(&all, rig->worker.slabs);
    mb_buffer_init(&data, rig->worker.slabs);
    while (body.len > 0) {
        MB_CHECK_EQ_INT(mb_buffer_append(&data, mb_slice_take(body, length)), MB_OK);
        body = mb_slice_skip(body, length);
        MB_CHECK_EQ_INT(hook(&rig->stream->slots[0].filter, &data, body.len == 0),
                        MB_BODY_CONTINUE);
        MB_CHECK_EQ_INT(mb_buffer_move(&all, &data), MB_OK);
    }
    MB_CHECK_EQ_INT(all.length, want.len);
    MB_CHECK_EQ_INT(mb_buffer_join(&all, all.length, &got, NULL), MB_OK);
    MB_CHECK(mb_slice_equal(got, want));
    mb_buffer_fini(&all);
    mb_buffer_fini(&data);
}

MB_TEST(long_bodies_keep_their_bytes) {
    enum { BYTES = 100000 };
    static char frame[5 + BYTES], text[(5 + BYTES) / 3 * 4 + 8];
    static const size_t cuts[] = {1, 1021, 3072, 4096, 4097, 65536, 200000};
    srand(5);
    for (size_t i = 5; i < sizeof(frame); i++) {
        frame[i] = (char)rand();
    }
    memcpy(frame, "\0\0\1\x86\xa0", 5); /* 100000 */
    mb_slice bytes = {frame, sizeof(frame)};
    mb_slice encoded = {text, mb_base64_encode(bytes, text)};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        filter_rig rig;
        begin(&rig);
        request(&rig, TEXT, TEXT);
        convert(&rig, mb__grpc_web_hooks.request_body, encoded, cuts[i], bytes);
        response(&rig, "200", "application/grpc", false);
        convert(&rig, mb__grpc_web_hooks.response_body, bytes, cuts[i], encoded);
        filter_rig_fini(&rig);
    }
}

/* A whole exchange in which nothing but the core and the filter takes memory. */
static void exchange(filter_rig *rig, mb_buffer *sent_body, mb_buffer *got_body) {
    mb_stream *stream = rig->stream;
    mb_stream_request_headers(stream, false);
    mb_stream_request_body(stream, sent_body, true);
    mb_stream_response_headers(stream, false);
    mb_stream_response_body(stream, got_body, false);
    mb_stream_response_trailers(stream);
}

MB_TEST(every_failing_allocation_breaks_the_stream) {
    static char page[9000];
    memset(page, 'A', sizeof(page));
    size_t failures[3] = {0, 0, 0};
    for (int kind = 0; kind < 3; kind++) {
        for (size_t n = 1, failed = 1; failed; n++) {
            filter_rig rig;
            mb_buffer bodies[2];
            begin(&rig);
            filter_rig_get(&rig, "/a.B/C");
            filter_rig_header(&rig, MB_REQUEST, "content-type", TEXT);
            filter_rig_header(&rig, MB_REQUEST, "accept", kind == 1 ? TEXT : "*/*");
            filter_rig_header(&rig, MB_RESPONSE, ":status", kind == 2 ? "503" : "200");
            filter_rig_header(&rig, MB_RESPONSE, "content-type", "application/grpc");
            filter_rig_header(&rig, MB_RESPONSE, "content-length", "9000");
            for (int i = 0; i < 2; i++) {
                mb_buffer_init(&bodies[i], rig.worker.slabs);
                MB_CHECK_EQ_INT(mb_buffer_append(&bodies[i], (mb_slice){page, 9000}), MB_OK);
            }
            size_t before = rig.memory->requests;
            rig.memory->fail_at = before + n;
            exchange(&rig, &bodies[0], &bodies[1]);
            failed = rig.memory->requests >= rig.memory->fail_at;
            rig.memory->fail_at = 0;
            failures[kind] += failed;
            MB_CHECK(rig.completed);
            MB_CHECK(failed ? rig.reset || rig.status == 500 : !rig.reset);
            mb_buffer_fini(&bodies[0]);
            mb_buffer_fini(&bodies[1]);
            filter_rig_fini(&rig);
        }
    }
    MB_CHECK(failures[0] + failures[1] > 0);
    MB_CHECK(failures[2] > 0);
}
