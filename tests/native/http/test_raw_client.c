/* The codec of a tunnel that ends here: no byte is added, the answer is its own, ends come apart.
 */
#include "base/alloc.h"
#include "http/codec.h"
#include "http/message.h"
#include "mbtest.h"

typedef struct rig {
    mb_slab_pool *pool;
    mb_arena_pool arenas;
    mb_arena arena;
    mb_codec *codec;
    mb_codec_stream stream;
    mb_headers request, response, trailers;
    mb_buffer in, out, body, data;
    unsigned heads, ends, resets, errors;
    uint32_t status;
} rig;

static void on_headers(void *owner, mb_codec_stream *stream, bool end_stream) {
    rig *r = owner;
    MB_CHECK(!end_stream);
    r->heads++;
    r->status = mb_http_status(stream->headers);
}

static void on_body(void *owner, mb_codec_stream *stream, bool end_stream) {
    (void)stream;
    ((rig *)owner)->ends += end_stream;
}

static void on_reset(void *owner, mb_codec_stream *stream, mb_reset_reason reason) {
    (void)stream;
    MB_CHECK_EQ_INT(reason, MB_RESET_REMOTE);
    ((rig *)owner)->resets++;
}

static void on_error(void *owner, mb_codec_stream *stream, const mb_protocol_error *error) {
    (void)stream;
    MB_CHECK(error != NULL);
    ((rig *)owner)->errors++;
}

static const mb_codec_events events = {
    .on_headers = on_headers, .on_body = on_body, .on_reset = on_reset, .on_error = on_error};

static void make(rig *r) {
    *r = (rig){.pool = mb_slab_pool_new(mb_allocator_default())};
    MB_CHECK(r->pool != NULL);
    mb_arena_pool_init(&r->arenas, mb_allocator_default(), 2);
    mb_arena_init(&r->arena, &r->arenas);
    mb_headers_init(&r->request, &r->arena);
    mb_headers_init(&r->response, &r->arena);
    mb_headers_init(&r->trailers, &r->arena);
    mb_buffer *buffers[] = {&r->in, &r->out, &r->body, &r->data};
    for (size_t i = 0; i < 4; i++) {
        mb_buffer_init(buffers[i], r->pool);
    }
    r->codec = mb_raw_client_new(mb_allocator_default(), &events, r);
    MB_CHECK(r->codec != NULL);
    r->stream = (mb_codec_stream){.headers = &r->response, .body = &r->body, .tunnel = true};
}

static void drop(rig *r) {
    mb_buffer *buffers[] = {&r->in, &r->out, &r->body, &r->data};
    for (size_t i = 0; i < 4; i++) {
        mb_buffer_fini(buffers[i]);
    }
    r->codec->vtable->free(r->codec);
    mb_arena_clear(&r->arena);
    mb_arena_pool_fini(&r->arenas);
    mb_slab_pool_free(r->pool);
}

static int receive(rig *r, mb_slice bytes) {
    MB_CHECK_EQ_INT(mb_buffer_append(&r->in, bytes), MB_OK);
    return r->codec->vtable->receive(r->codec, &r->in);
}

static int send(rig *r, mb_slice bytes, bool end) {
    MB_CHECK_EQ_INT(mb_buffer_append(&r->data, bytes), MB_OK);
    return r->codec->vtable->send_body(r->codec, &r->stream, &r->data, end, &r->out);
}

static void start(rig *r) {
    make(r);
    MB_CHECK_EQ_INT(r->codec->vtable->begin(r->codec, &r->stream), MB_OK);
    MB_CHECK_EQ_INT(
        r->codec->vtable->send_headers(r->codec, &r->stream, &r->request, false, &r->out), MB_OK);
}

MB_TEST(the_answer_comes_without_a_byte_and_bytes_pass_as_they_are) {
    rig r;
    start(&r);
    MB_CHECK_EQ_INT(r.out.length, 0);
    MB_CHECK_EQ_INT(r.heads, 0); /* not within a call of the owner */
    MB_CHECK_EQ_INT(receive(&r, MB_SLICE_LIT("")), MB_OK);
    MB_CHECK_EQ_INT(r.heads, 1);
    MB_CHECK_EQ_INT(r.status, 200);
    MB_CHECK_EQ_INT(send(&r, MB_SLICE_LIT("up"), false), MB_OK);
    MB_CHECK_EQ_INT(r.out.length, 2);
    MB_CHECK_EQ_INT(receive(&r, MB_SLICE_LIT("down")), MB_OK);
    MB_CHECK_EQ_INT(r.body.length, 4);
    MB_CHECK_EQ_INT(r.heads, 1);
    drop(&r);
}

MB_TEST(each_direction_ends_by_itself) {
    rig r;
    start(&r);
    MB_CHECK_EQ_INT(send(&r, MB_SLICE_LIT("all"), true), MB_OK);
    MB_CHECK(r.stream.local_ended && r.stream.connect_request);
    MB_CHECK_EQ_INT(send(&r, MB_SLICE_LIT("more"), false), MB_EPHASE);
    MB_CHECK_EQ_INT(receive(&r, MB_SLICE_LIT("late")), MB_OK);
    MB_CHECK_EQ_INT(r.body.length, 4);
    r.codec->vtable->receive_end(r.codec);
    MB_CHECK_EQ_INT(r.ends, 1);
    MB_CHECK(r.stream.remote_ended);
    r.codec->vtable->receive_end(r.codec);
    MB_CHECK_EQ_INT(r.ends, 1);
    MB_CHECK(!r.codec->vtable->reusable(r.codec));
    MB_CHECK_EQ_INT(r.codec->vtable->begin(r.codec, &r.stream), MB_ECLOSED);
    drop(&r);

    start(&r); /* the other one first; trailers are an end too */
    MB_CHECK_EQ_INT(receive(&r, MB_SLICE_LIT("")), MB_OK);
    r.codec->vtable->receive_end(r.codec);
    MB_CHECK_EQ_INT(r.ends, 1);
    MB_CHECK_EQ_INT(r.codec->vtable->send_trailers(r.codec, &r.stream, &r.trailers, &r.out), MB_OK);
    MB_CHECK(r.stream.local_ended);
    drop(&r);
}

MB_TEST(paused_bytes_stay_in_the_input) {
    rig r;
    start(&r);
    MB_CHECK_EQ_INT(receive(&r, MB_SLICE_LIT("")), MB_OK);
    r.codec->vtable->pause(r.codec, &r.stream, true);
    MB_CHECK_EQ_INT(receive(&r, MB_SLICE_LIT("wait")), MB_EAGAIN);
    MB_CHECK_EQ_INT(r.body.length, 0);
    r.codec->vtable->pause(r.codec, &r.stream, false);
    MB_CHECK_EQ_INT(receive(&r, MB_SLICE_LIT("ed")), MB_OK);
    MB_CHECK_EQ_INT(r.body.length, 6);
    drop(&r);
}

MB_TEST(calls_out_of_order_and_ends_out_of_time_are_refused) {
    rig r;
    make(&r);
    MB_CHECK(r.codec->vtable->reusable(r.codec));
    MB_CHECK_EQ_INT(receive(&r, MB_SLICE_LIT("unasked")), MB_OK); /* its owner looks at `in` */
    MB_CHECK_EQ_INT(r.in.length, 7);
    mb_buffer_clear(&r.in);
    MB_CHECK_EQ_INT(send(&r, MB_SLICE_LIT("x"), false), MB_EPHASE);
    mb_buffer_clear(&r.data);
    MB_CHECK_EQ_INT(r.codec->vtable->begin(r.codec, &r.stream), MB_OK);
    MB_CHECK_EQ_INT(send(&r, MB_SLICE_LIT("x"), false), MB_EPHASE);
    mb_buffer_clear(&r.data);
    r.codec->vtable->receive_end(r.codec); /* before the head was sent */
    MB_CHECK_EQ_INT(r.resets, 1);
    MB_CHECK_EQ_INT(r.heads, 0);
    drop(&r);

    start(&r); /* given up: no event follows */
    r.codec->vtable->reset(r.codec, &r.stream, MB_RESET_LOCAL, &r.out);
    MB_CHECK_EQ_INT(receive(&r, MB_SLICE_LIT("x")), MB_OK);
    r.codec->vtable->receive_end(r.codec);
    MB_CHECK_EQ_INT(r.heads + r.ends + r.resets + r.errors, 0);
    drop(&r);

    make(&r); /* asked to take no more */
    r.codec->vtable->shut_down(r.codec, &r.out);
    MB_CHECK(!r.codec->vtable->reusable(r.codec));
    drop(&r);
}
