/*
 * Between client.c and client_events.c.
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

/* The request, if any, fails. */
void mb__client_fail(mb_client *client, mb_upstream_failure why);
/* The upstream went away or reset the stream. Cut within a response it broke the protocol (Envoy's
 * codec says the same); before its first byte it may not have seen the request at all. */
void mb__client_fail_cut(mb_client *client);
/* The response ended: the request is over before its owner hears of it, since the owner's memory
 * may go with that event. */
mb_upstream_request *mb__client_finish(mb_client *client);
/* After the codec ran: what becomes of the connection, now that its request may be over. */
void mb__client_settle(mb_client *client);
void mb__client_close_and_tell(mb_client *client, bool remote);

#endif
