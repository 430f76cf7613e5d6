/*
 * Filters in C for the micro benchmarks, a library like any other native filter: `noop` does
 * nothing in either headers hook; `get` reads and `set` writes one header in the request's hook as
 * often as its configuration says, so that one of them can be timed.
 *
 * Configuration: {"times": n}, n in 0 .. 65535; none is 1.
 */
#include <moebridge/filter.h>
#include <string.h>

#define SLICE(text) ((mb_slice){(text), sizeof(text) - 1})

static const mb_host *the_host;
/* Of the filter that was configured last: a benchmark has one chain at a time. */
static uint32_t times;

static int config_new(void *module, mb_filter_args *args, void **config, uint32_t *wants) {
    const unsigned char *at = (const unsigned char *)args->config.ptr;
    size_t len = args->config.len;
    (void)wants;
    *config = module;
    times = 1;
    if (len >= 8 && memcmp(at, "\x81\xa5times", 7) == 0) {
        times = at[7] < 0x80                 ? at[7]
                : at[7] == 0xcc && len == 9  ? at[8]
                : at[7] == 0xcd && len == 10 ? (uint32_t)at[8] << 8 | at[9]
                                             : 0;
    }
    return MB_OK;
}

static mb_headers_status noop(mb_filter *filter, bool end_stream) {
    (void)filter;
    (void)end_stream;
    return MB_HEADERS_CONTINUE;
}

static mb_headers_status get(mb_filter *filter, bool end_stream) {
    mb_headers *headers = the_host->headers(filter->stream, MB_REQUEST);
    mb_slice value;
    (void)end_stream;
    for (uint32_t i = 0; i < times; i++) {
        if (the_host->headers_get(headers, SLICE("x-bench"), 0, &value) < 0) {
            return MB_HEADERS_STOP_ITERATION;
        }
    }
    return MB_HEADERS_CONTINUE;
}

static mb_headers_status set(mb_filter *filter, bool end_stream) {
    mb_headers *headers = the_host->headers(filter->stream, MB_REQUEST);
    (void)end_stream;
    for (uint32_t i = 0; i < times; i++) {
        if (the_host->headers_set(headers, SLICE("x-bench"), SLICE("another value")) < 0) {
            return MB_HEADERS_STOP_ITERATION;
        }
    }
    return MB_HEADERS_CONTINUE;
}

#define HOOKS(request, response)                                                                   \
    {                                                                                              \
        .abi_version = MB_ABI_VERSION, .struct_size = sizeof(mb_filter_hooks),                     \
        .config_new = config_new, .request_headers = request, .response_headers = response         \
    }

static const mb_filter_hooks noop_hooks = HOOKS(noop, noop);
static const mb_filter_hooks get_hooks = HOOKS(get, NULL);
static const mb_filter_hooks set_hooks = HOOKS(set, NULL);

static const mb_filter_kind kinds[] = {
    {"noop", &noop_hooks},
    {"get", &get_hooks},
    {"set", &set_hooks},
};

MB_API int mb_module_init(const mb_host *host, mb_module *out) {
    the_host = host;
    *out = (mb_module){.abi_version = MB_ABI_VERSION,
                       .struct_size = sizeof(mb_module),
                       .name = "bench_filter",
                       .filters = kinds,
                       .filter_count = sizeof(kinds) / sizeof(*kinds)};
    return MB_OK;
}
