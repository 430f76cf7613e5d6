/*
 * Drives one HTTP/1.1 codec without a socket and writes down what it says, as one text, so that a
 * test compares two strings and a fuzzer two ways of cutting the same input.
 *
 * A message is written as one line:
 *
 *     GET example.com /path scheme|name=value|name=value [body] end
 *     200|name=value [body] trailers|name=value end
 *     ... error 400 why        ... reset
 *
 * Body pieces are joined, so that the text doesn't depend on how they came. A server answers each
 * complete request by 200 without a body, a client begins the next request at once; both can be
 * switched off.
 */
#ifndef H1_RECORD_H
#define H1_RECORD_H

#include "base/arena.h"
#include "http/codec.h"

typedef struct h1_record {
    const mb_allocator *allocator;
    mb_slab_pool *pool;
    mb_arena_pool arenas;
    mb_arena arena;
    mb_codec *codec;
    bool is_server;
    bool copy_heads;    /* leaves `stream.head` NULL */
    bool by_hand;       /* no answers, no next requests */
    bool answer_inside; /* answers in the last event, not after receive */
    bool refuse_begin;
    bool tunnel;     /* what a client's streams ask for */
    mb_slice method; /* of the requests that a client sends; "GET" */
    mb_buffer in, out, head, body, spoiler;
    mb_headers request, headers, trailers, answer;
    mb_codec_stream stream;
    const mb_protocol_error *error;
    unsigned begun, ended, informational, failed, resets;
    bool answer_due, in_body;
    char text[1 << 17];
    size_t length;
} h1_record;

/* `record` is filled; options may be NULL. False: out of memory, nothing to free. */
bool h1_record_init(h1_record *record, const mb_allocator *allocator, bool is_server,
                    const mb_codec_options *options);
void h1_record_fini(h1_record *record);
/* For clients: begins a stream and sends a request without a body. */
int h1_record_request(h1_record *record);
/* Hands bytes to the codec as one piece: contiguous with the last piece or (`apart`) never. What
 * `receive` answers. */
int h1_record_feed(h1_record *record, mb_slice piece, bool apart);
/* As that, but the bytes stay where they are: they must be writable and outlive the record. */
int h1_record_feed_in_place(h1_record *record, mb_slice piece);
/* The peer sends no more. */
void h1_record_end(h1_record *record);
mb_slice h1_record_text(const h1_record *record);
/* All that the codec wrote; joined. Valid until more is written. */
mb_slice h1_record_written(h1_record *record);

#endif
