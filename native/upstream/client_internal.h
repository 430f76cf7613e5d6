/*
 * Between client.c, client_request.c and client_events.c.
 */
#ifndef MB_UPSTREAM_CLIENT_INTERNAL_H
#define MB_UPSTREAM_CLIENT_INTERNAL_H

#include "upstream/client.h"
#include "upstream/cluster_state.h"

extern const mb_codec_events mb__client_codec_events;
extern const mb_conn_events mb__client_conn_events;

static inline mb_cluster *mb__client_cluster(const mb_client *client) {
    return client->host->cluster;
}

static inline uint64_t mb__client_now_us(const mb_client *client) {
    return mb_loop_now_us(mb__client_cluster(client)->worker->loop);
}

/* -- client.c --------------------------------------------------------------------------------- */

/* Makes the codec. MB_OK or MB_ENOMEM. */
int mb__client_use_codec(mb_client *client, mb_upstream_protocol protocol);
/* Connected: the work of a codec of many streams begins. */
void mb__client_open_many(mb_client *client);
/* Moves it to the list of what it carries. */
void mb__client_place(mb_client *client);
/* The connection is at its end: nobody may take it while its requests fail. */
void mb__client_retire(mb_client *client);
/* After the codec ran: what becomes of the connection, now that requests may be over. */
void mb__client_settle(mb_client *client);
void mb__client_close_and_tell(mb_client *client, bool remote);

/* -- client_request.c ------------------------------------------------------------------------- */

/* The request of a stream, if any, fails. */
void mb__client_fail(mb_client *client, mb_client_stream *stream, mb_upstream_failure why);
/* The upstream went away. An HTTP/1 response that is cut broke the protocol (Envoy's codec says
 * the same); before its first byte the upstream may not have seen the request at all. */
void mb__client_fail_cut(mb_client *client);
/* Requests that the codec keeps back for the peer's SETTINGS fail. */
void mb__client_on_settings_late(mb_timer *timer);
/* The response ended: the request is over before its owner hears of it, since the owner's memory
 * may go with that event. */
mb_upstream_request *mb__client_finish(mb_client *client, mb_client_stream *stream);
/* The upstream's message is over, but into a tunnel ours goes on: the request runs until that has
 * ended too (mb_upstream_send_body, or a failure). */
static inline bool mb__client_half_open(const mb_client_stream *stream) {
    return stream->codec.tunnel_open && stream->codec.remote_ended && !stream->codec.local_ended;
}
/* Around an event of a stream. */
static inline void mb__client_enter(mb_client_stream *stream) {
    stream->in_event = true;
}
void mb__client_leave(mb_client *client, mb_client_stream *stream);

/* -- client_events.c -------------------------------------------------------------------------- */

/* Lets a codec of many streams take what came and send what waits. */
void mb__client_run_many(mb_client *client, bool ended);
/* Lets a codec of one stream take what came. */
void mb__client_run_one(mb_client *client, bool ended);

#endif
