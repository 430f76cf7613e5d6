/*
 * One line for each finished stream, to each access log of its configuration.
 */
#include "server/http_conn.h"
#include "server/server_internal.h"

void mb__access_log_stream(mb_stream *stream, const mb_hcm_config *config) {
    mb_log_files *files = &mb__http_conn_of(stream)->base.ingress->server->logs;
    for (uint32_t i = 0; i < config->access_log_count; i++) {
        const mb_access_log_config *log = &config->access_logs[i];
        mb_log_file *file = mb_log_files_find(files, log->sink, log->path);
        if (file != NULL) {
            mb_format_append(log->format, stream, mb_log_file_begin_line(file));
            mb_log_file_end_line(file);
        }
    }
}
