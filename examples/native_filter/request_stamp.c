/*
 * request_stamp: a native filter in one file, against the public headers only.
 *
 * It numbers the requests that pass, gives the number to the upstream in a header, and puts the
 * length of the response body into the metadata, where the access log finds it. Configuration:
 * {"header": "x-request-number"}, or none.
 */
#include <moebridge/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE(text) ((mb_slice){(text), sizeof(text) - 1})
#define NAME_BYTES_MAX 31

/* One a place in a chain; shared by all streams. */
typedef struct stamp_config {
    const mb_host *host;
    mb_metric *requests; /* request_stamp.requests */
    mb_slice header;     /* in `name` */
    char name[NAME_BYTES_MAX];
} stamp_config;

typedef struct stamp_state {
    uint64_t body_bytes;
} stamp_state;

/* The configuration comes as msgpack: a map of one short key and one short text, or nil. */
static int read_header_name(mb_slice config, mb_slice *name) {
    if (config.len == 0 || config.ptr[0] == (char)0xc0) {
        *name = SLICE("x-request-number");
        return MB_OK;
    }
    *name = (mb_slice){config.ptr + 9, config.len - 9};
    bool good = config.len > 9 && memcmp(config.ptr, "\x81\xa6header", 8) == 0 &&
                (uint8_t)config.ptr[8] == (0xa0 | name->len) && name->len <= NAME_BYTES_MAX;
    return good ? MB_OK : MB_ECONFIG;
}

static int on_config_new(void *module, mb_filter_args *args, void **out, uint32_t *wants) {
    const mb_host *host = module;
    (void)wants;
    mb_slice name;
    if (read_header_name(args->config, &name) != MB_OK) {
        args->error = SLICE("the configuration must be {\"header\": name of up to 31 characters}");
        return MB_ECONFIG;
    }
    stamp_config *config = calloc(1, sizeof(*config));
    if (config == NULL) {
        return MB_ENOMEM;
    }
    config->host = host;
    config->header = (mb_slice){config->name, name.len};
    memcpy(config->name, name.ptr, name.len);
    int status = host->metric(args->worker, MB_COUNTER, SLICE("request_stamp.requests"), NULL, 0,
                              &config->requests);
    if (status != MB_OK) {
        free(config);
        return status;
    }
    *out = config;
    return MB_OK;
}

static void on_config_free(void *module, void *config) {
    (void)module;
    free(config);
}

static mb_headers_status on_request_headers(mb_filter *filter, bool end_stream) {
    const stamp_config *config = filter->config;
    const mb_host *host = config->host;
    char number[24];
    (void)end_stream;
    host->metric_add(config->requests, 1);
    int length = snprintf(number, sizeof(number), "%llu",
                          (unsigned long long)host->metric_value(config->requests));
    mb_headers *headers = host->headers(filter->stream, MB_REQUEST);
    host->headers_set(headers, config->header, (mb_slice){number, (size_t)length});
    return MB_HEADERS_CONTINUE;
}

static mb_body_status on_response_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    const stamp_config *config = filter->config;
    stamp_state *state = filter->state;
    state->body_bytes += config->host->buffer_length(data);
    if (end_stream) {
        char value[9] = {(char)0xcf}; /* msgpack: an unsigned integer of 64 bits */
        for (int i = 0; i < 8; i++) {
            value[1 + i] = (char)(state->body_bytes >> (56 - 8 * i));
        }
        /* %DYNAMIC_METADATA(request_stamp:body_bytes)% in the access log. */
        config->host->metadata_set(filter->stream, SLICE("request_stamp"), SLICE("body_bytes"),
                                   (mb_slice){value, sizeof(value)});
    }
    return MB_BODY_CONTINUE;
}

static const mb_filter_hooks hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_filter_hooks),
    .state_bytes = sizeof(stamp_state),
    .config_new = on_config_new,
    .config_free = on_config_free,
    .request_headers = on_request_headers,
    .response_body = on_response_body,
};
static const mb_filter_kind filters[] = {{"request_stamp", &hooks}};
/* The only symbol of a module. The host's table comes back as `module` in config_new. */
MB_API int mb_module_init(const mb_host *host, mb_module *out) {
    *out = (mb_module){
        .abi_version = MB_ABI_VERSION,
        .struct_size = sizeof(mb_module),
        .name = "request_stamp",
        .context = (void *)(uintptr_t)host,
        .filters = filters,
        .filter_count = 1,
    };
    return MB_OK;
}
