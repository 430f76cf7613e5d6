/*
 * Access log of TCP connections: a line for each that has ended. Formats speak of streams, so the
 * connection is shown to them as a stream without messages: what belongs to HTTP is unset there.
 */
#include "server/tcp_proxy.h"

#include "base/slice.h"
#include "server/server_internal.h"

static const mb_chain no_filters = {0};
static const mb_stream_ops no_ops = {0};

static void describe(const mb_tcp_conn *tc, const mb_conn *conn, mb_stream_info *info) {
    const mb_ingress *ingress = tc->base.ingress;
    uint64_t now_us = mb_loop_now_us(ingress->worker->loop);
    info->start_us = tc->base.opened_us;
    info->start_wall_us -= now_us - tc->base.opened_us;
    info->end_us = now_us;
    info->bytes_received = conn->bytes_read;
    info->bytes_sent = conn->bytes_written;
    info->upstream_bytes_received = tc->upstream_read;
    info->upstream_bytes_sent = tc->upstream_sent;
    if (tc->upstream.conn != NULL) {
        info->upstream_bytes_received = tc->upstream.conn->bytes_read;
        info->upstream_bytes_sent = tc->upstream.conn->bytes_written;
        info->upstream_local = &tc->upstream.conn->local;
    }
    info->connection_id = tc->base.id;
    info->flags = tc->flags;
    info->attempts = tc->attempts;
    info->cluster = tc->cluster;
    info->listener = mb_slice_from_c(ingress->config->name);
    info->origin = tc->base.origin;
    info->direct_remote = info->origin != NULL ? &info->origin->direct_remote : &conn->remote;
    info->remote = &conn->remote;
    info->local = &conn->local;
    info->upstream_remote = &tc->host;
    if (tc->details != NULL) {
        info->termination_details = mb_slice_from_c(tc->details);
    }
}

void mb__tcp_log(const mb_tcp_conn *tc, const mb_conn *conn) {
    const mb_tcp_config *config = tc->base.chain->tcp;
    if (config->access_log_count == 0) {
        return;
    }
    mb_stream *stream = mb_stream_new(tc->base.ingress->worker, &no_filters, &no_ops, NULL);
    if (stream == NULL) {
        return;
    }
    stream->choice_made = true; /* there is no route to be asked for */
    describe(tc, conn, &stream->info);
    mb_log_files *files = &tc->base.ingress->server->logs;
    for (uint32_t i = 0; i < config->access_log_count; i++) {
        const mb_access_log_config *log = &config->access_logs[i];
        mb_log_file *file = mb_log_files_find(files, log->sink, log->path);
        if (file != NULL) {
            mb_format_append(log->format, stream, mb_log_file_begin_line(file));
            mb_log_file_end_line(file);
        }
    }
    mb_stream_free(stream);
}
