/*
 * line_limit: a native network filter in one file, against the public headers only.
 *
 * It ends a connection whose client sends a line of more bytes than allowed, and says so to the
 * client first. Configuration: {"bytes": 80}, or none; up to 65535.
 */
#include <moebridge/network_filter.h>
#include <stdlib.h>
#include <string.h>

#define SLICE(text) ((mb_slice){(text), sizeof(text) - 1})

/* One a place in a chain; shared by all connections. */
typedef struct limit_config {
    const mb_host *host;
    mb_metric *ended; /* line_limit.ended */
    uint64_t max_bytes;
} limit_config;

typedef struct limit_state {
    uint64_t line_bytes; /* of the line that has begun */
} limit_state;

/* The configuration comes as msgpack: a map of one short key and one small number, or nil. */
static int read_bytes(mb_slice config, uint64_t *out) {
    if (config.len == 0 || config.ptr[0] == (char)0xc0) {
        *out = 80;
        return MB_OK;
    }
    const unsigned char *at = (const unsigned char *)config.ptr + 7;
    if (config.len < 8 || memcmp(config.ptr,
                                 "\x81\xa5"
                                 "bytes",
                                 7) != 0) {
        return MB_ECONFIG;
    }
    if (config.len == 8 && at[0] < 0x80) {
        *out = at[0];
    } else if (config.len == 9 && at[0] == 0xcc) {
        *out = at[1];
    } else if (config.len == 10 && at[0] == 0xcd) {
        *out = (uint64_t)at[1] << 8 | at[2];
    } else {
        return MB_ECONFIG;
    }
    return MB_OK;
}

static int on_config_new(void *module, mb_filter_args *args, void **out, uint32_t *wants) {
    const mb_host *host = module;
    uint64_t max_bytes;
    (void)wants;
    if (read_bytes(args->config, &max_bytes) != MB_OK) {
        args->error = SLICE("the configuration must be {\"bytes\": number up to 65535}");
        return MB_ECONFIG;
    }
    limit_config *config = calloc(1, sizeof(*config));
    if (config == NULL) {
        return MB_ENOMEM;
    }
    config->host = host;
    config->max_bytes = max_bytes;
    int status =
        host->metric(args->worker, MB_COUNTER, SLICE("line_limit.ended"), NULL, 0, &config->ended);
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

/* The longest line in these bytes, the one that began before included. */
static uint64_t longest_line(limit_state *state, mb_slice bytes) {
    uint64_t longest = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        state->line_bytes = bytes.ptr[i] == '\n' ? 0 : state->line_bytes + 1;
        longest = state->line_bytes > longest ? state->line_bytes : longest;
    }
    return longest;
}

static mb_network_status on_read(mb_network_filter *filter, mb_buffer *data, bool end_stream) {
    limit_config *config = filter->config;
    const mb_host *host = config->host;
    mb_slice slices[64];
    (void)end_stream;
    size_t count = host->buffer_slices(data, slices, 64);
    for (size_t i = 0; i < count && i < 64; i++) {
        if (longest_line(filter->state, slices[i]) <= config->max_bytes) {
            continue;
        }
        mb_buffer *answer = host->network->outgoing(filter, MB_NETWORK_WRITE);
        if (answer != NULL) {
            host->buffer_append(answer, SLICE("line too long\n"));
        }
        host->metric_add(config->ended, 1);
        host->network->close(filter->connection, MB_NETWORK_CLOSE_FLUSH, SLICE("line_limit"));
        return MB_NETWORK_STOP_ITERATION;
    }
    return MB_NETWORK_CONTINUE;
}

static const mb_network_filter_hooks hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_network_filter_hooks),
    .state_bytes = sizeof(limit_state),
    .config_new = on_config_new,
    .config_free = on_config_free,
    .read = on_read,
};

static const mb_network_filter_kind kinds[] = {{.name = "line_limit", .hooks = &hooks}};

MB_API int mb_module_init(const mb_host *host, mb_module *out);

int mb_module_init(const mb_host *host, mb_module *out) {
    if (host->abi_version < MB_ABI_VERSION) {
        return MB_EABI;
    }
    *out = (mb_module){
        .abi_version = MB_ABI_VERSION,
        .struct_size = sizeof(mb_module),
        .name = "line_limit",
        .context = (void *)host,
        .network_filters = kinds,
        .network_filter_count = 1,
    };
    return MB_OK;
}
