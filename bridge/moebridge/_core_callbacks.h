/*
 * Functions that Python defines and the core calls, in cffi's own syntax (no C compiler reads
 * this file): the hooks of the cffi dispatcher (_dispatch_cffi.py), named as in filter.h, and the
 * sink of the core's log lines (_server.py). cffi takes the GIL around each of them.
 */
extern "Python" {
int mbpy_cffi_config_new(void *module, mb_filter_args *args, void **config, uint32_t *wants);
void mbpy_cffi_config_free(void *module, void *config);
mb_headers_status mbpy_cffi_request_headers(mb_filter *filter, bool end_stream);
mb_body_status mbpy_cffi_request_body(mb_filter *filter, mb_buffer *data, bool end_stream);
mb_trailers_status mbpy_cffi_request_trailers(mb_filter *filter);
mb_headers_status mbpy_cffi_response_headers(mb_filter *filter, bool end_stream);
mb_body_status mbpy_cffi_response_body(mb_filter *filter, mb_buffer *data, bool end_stream);
mb_trailers_status mbpy_cffi_response_trailers(mb_filter *filter);
void mbpy_cffi_stream_complete(mb_filter *filter);
void mbpy_cffi_scheduled(mb_filter *filter, uint64_t event);
void mbpy_cffi_destroy(mb_filter *filter);
int mbpy_cffi_group_headers(mb_filter *const *filters, uint32_t count, mb_direction direction,
                            bool end_stream, uint32_t *ran);
int mbpy_cffi_group_body(mb_filter *const *filters, uint32_t count, mb_direction direction,
                         mb_buffer *data, bool end_stream, uint32_t *ran);
void mbpy_cffi_group_complete(mb_filter *const *filters, uint32_t count);
void mbpy_cffi_group_destroy(mb_filter *const *filters, uint32_t count);
int mbpy_cffi_network_config_new(void *module, mb_filter_args *args, void **config,
                                 uint32_t *wants);
mb_network_status mbpy_cffi_new_connection(mb_network_filter *filter);
mb_network_status mbpy_cffi_read(mb_network_filter *filter, mb_buffer *data, bool end_stream);
mb_network_status mbpy_cffi_write(mb_network_filter *filter, mb_buffer *data, bool end_stream);
void mbpy_cffi_event(mb_network_filter *filter, mb_network_event event);
void mbpy_cffi_network_scheduled(mb_network_filter *filter, uint64_t event);
void mbpy_cffi_network_destroy(mb_network_filter *filter);
void mbpy_cffi_batch_end(void *context);
void mbpy_log(void *ctx, mb_log_level level, mb_slice component, mb_slice text);
}
