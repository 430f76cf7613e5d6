/*
 * body_scan: counts a pattern of bytes in the bodies that pass, without holding or copying them.
 *
 * Configuration, a map: `pattern` (str or bin, 1 to 256 bytes), `request` and `response` (bool,
 * default true). Matches do not overlap and are counted as if the body were one piece: of what
 * came last the filter keeps pattern length - 1 bytes, so that it sees matches that lie across
 * the border of two pieces. The count of both bodies is in the metadata `moebridge.body_scan`
 * under `count`, from the end of each body on, and in the counter body_scan.matches{filter}.
 *
 * A pattern that does not overlap itself ("needle", not "abab") is counted piece by piece with
 * the host's `buffer_count`: no match can then begin inside another one, so nothing needs to be
 * known but how many there are. A pattern that does is searched match by match.
 *
 * Uses the public ABI only. Its Python twin: moebridge_plugins.body_scan.
 */
#include "base/msgpack.h"
#include "base/slice.h"
#include "filter/builtin.h"

#include <stdlib.h>

#define PATTERN_BYTES_MAX 256u
#define TAIL_BYTES_MAX (PATTERN_BYTES_MAX - 1)
#define METADATA_SPACE MB_SLICE_LIT("moebridge.body_scan")

typedef struct scan_config {
    const mb_host *host;
    mb_metric *matches;
    bool overlaps; /* the pattern begins with what it ends with */
    size_t length;
    char pattern[PATTERN_BYTES_MAX];
} scan_config;

/* One direction: what came last and is no part of a match. */
typedef struct scan_side {
    uint16_t length;
    char tail[TAIL_BYTES_MAX];
} scan_side;

typedef struct scan_state {
    uint64_t count;
    bool unsaved; /* counted, but not in the metadata yet */
    scan_side sides[2];
} scan_state;

static bool overlaps_itself(mb_slice pattern) {
    for (size_t shift = 1; shift < pattern.len; shift++) {
        if (memcmp(pattern.ptr, pattern.ptr + shift, pattern.len - shift) == 0) {
            return true;
        }
    }
    return false;
}

static int read_config(mb_filter_args *args, mb_slice *pattern, bool wanted[2]) {
    static const char *const keys[] = {"request", "response"};
    mb_slice value;
    mb_msgpack cursor;
    if (mb_msgpack_find(args->config, MB_SLICE_LIT("pattern"), &value) != MB_OK) {
        args->error = MB_SLICE_LIT("pattern: is required");
        return MB_ECONFIG;
    }
    cursor = mb_msgpack_read(value);
    if (mb_msgpack_get_str(&cursor, pattern) != MB_OK || pattern->len == 0 ||
        pattern->len > PATTERN_BYTES_MAX) {
        args->error = MB_SLICE_LIT("pattern: must be a text of 1 to 256 bytes");
        return MB_ECONFIG;
    }
    for (int i = 0; i < 2; i++) {
        wanted[i] = true;
        if (mb_msgpack_find(args->config, mb_slice_from_c(keys[i]), &value) == MB_OK) {
            cursor = mb_msgpack_read(value);
            if (mb_msgpack_get_bool(&cursor, &wanted[i]) != MB_OK) {
                args->error = i == 0 ? MB_SLICE_LIT("request: must be true or false")
                                     : MB_SLICE_LIT("response: must be true or false");
                return MB_ECONFIG;
            }
        }
    }
    return MB_OK;
}

static int on_config_new(void *module, mb_filter_args *args, void **out, uint32_t *wants) {
    const mb_host *host = module;
    mb_header label = {MB_SLICE_LIT("filter"), args->name};
    mb_slice pattern;
    bool wanted[2];
    int status = read_config(args, &pattern, wanted);
    if (status != MB_OK) {
        return status;
    }
    scan_config *config = malloc(sizeof(*config));
    if (config == NULL) {
        return MB_ENOMEM;
    }
    config->host = host;
    config->length = pattern.len;
    config->overlaps = overlaps_itself(pattern);
    memcpy(config->pattern, pattern.ptr, pattern.len);
    status = host->metric(args->worker, MB_COUNTER, MB_SLICE_LIT("body_scan.matches"), &label, 1,
                          &config->matches);
    if (status != MB_OK) {
        free(config);
        return status;
    }
    if (!wanted[MB_REQUEST]) {
        *wants &= ~(1u << MB_HOOK_REQUEST_BODY);
    }
    if (!wanted[MB_RESPONSE]) {
        *wants &= ~(1u << MB_HOOK_RESPONSE_BODY);
    }
    *out = config;
    return MB_OK;
}

static void on_config_free(void *module, void *config) {
    (void)module;
    free(config);
}

/* A match that begins in the tail and ends in the new piece. Returns where it ends in the piece,
 * or 0. There is one at most: it uses the tail up. */
static size_t match_across(const scan_config *config, const scan_side *side, mb_slice head) {
    for (size_t start = 0; start < side->length; start++) {
        size_t before = side->length - start;
        size_t after = config->length - before;
        if (after <= head.len && memcmp(side->tail + start, config->pattern, before) == 0 &&
            memcmp(head.ptr, config->pattern + before, after) == 0) {
            return after;
        }
    }
    return 0;
}

/* Counts in the piece from `*from` on, which becomes the end of the last match where it matters. */
static uint64_t count_within(const scan_config *config, const mb_buffer *data, size_t *from) {
    mb_slice pattern = {config->pattern, config->length};
    uint64_t count = 0;
    if (!config->overlaps) {
        return config->host->buffer_count(data, pattern);
    }
    for (;;) {
        int64_t at = config->host->buffer_find(data, pattern, *from);
        if (at < 0) {
            return count;
        }
        *from = (size_t)at + config->length;
        count++;
    }
}

/* Keeps the last bytes of what is behind `from`, old tail included when nothing was matched. */
static void keep_tail(const scan_config *config, scan_side *side, const mb_buffer *data,
                      size_t from, bool used) {
    size_t length = config->host->buffer_length(data);
    size_t most = config->length - 1;
    size_t taken = length - from < most ? length - from : most;
    size_t old = used ? 0 : side->length;
    old = old + taken > most ? most - taken : old;
    memmove(side->tail, side->tail + side->length - old, old);
    config->host->buffer_copy_out(data, length - taken, side->tail + old, taken);
    side->length = (uint16_t)(old + taken);
}

static void scan(const scan_config *config, scan_state *state, mb_direction direction,
                 const mb_buffer *data) {
    scan_side *side = &state->sides[direction];
    char head[TAIL_BYTES_MAX];
    size_t length = config->host->buffer_copy_out(data, 0, head, config->length - 1);
    size_t from = match_across(config, side, (mb_slice){head, length});
    uint64_t across = from > 0 ? 1 : 0;
    size_t end = from;
    uint64_t count = across + count_within(config, data, &end);
    keep_tail(config, side, data, end, end > 0);
    if (count > 0) {
        state->count += count;
        config->host->metric_add(config->matches, (int64_t)count);
    }
}

static void save(mb_filter *filter) {
    const scan_config *config = filter->config;
    scan_state *state = filter->state;
    char bytes[9] = {(char)0xcf}; /* msgpack uint 64 */
    for (int i = 0; i < 8; i++) {
        bytes[1 + i] = (char)(state->count >> (56 - 8 * i));
    }
    state->unsaved = false;
    config->host->metadata_set(filter->stream, METADATA_SPACE, MB_SLICE_LIT("count"),
                               (mb_slice){bytes, sizeof(bytes)});
}

static mb_body_status on_body(mb_filter *filter, mb_direction direction, mb_buffer *data,
                              bool end_stream) {
    const scan_config *config = filter->config;
    scan_state *state = filter->state;
    if (config->host->buffer_length(data) > 0) {
        scan(config, state, direction, data);
        state->unsaved = true;
    }
    if (end_stream) {
        save(filter);
    }
    return MB_BODY_CONTINUE;
}

static mb_body_status on_request_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    return on_body(filter, MB_REQUEST, data, end_stream);
}

static mb_body_status on_response_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    return on_body(filter, MB_RESPONSE, data, end_stream);
}

/* A body that was cut has a count too. */
static void on_stream_complete(mb_filter *filter) {
    const scan_state *state = filter->state;
    if (state->unsaved) {
        save(filter);
    }
}

const mb_filter_hooks mb__body_scan_hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_filter_hooks),
    .state_bytes = sizeof(scan_state),
    .config_new = on_config_new,
    .config_free = on_config_free,
    .request_body = on_request_body,
    .response_body = on_response_body,
    .stream_complete = on_stream_complete,
};
