/*
 * Header rules: request_headers_to_add and their three kin, of one level and of all levels.
 *
 * A level first removes, then computes all its values from the headers as they are then, then
 * overwrites, then adds: so no value depends on another one of its level. The weighted cluster
 * comes first; route, virtual host and table follow, the other way round where
 * most_specific_header_mutations_wins, so that the last has the last word.
 *
 * A value that came out with a byte that no field may have is left out: it was made from what a
 * peer sent. Called by route_rewrite.c. Source: Envoy's HeaderValueOption and its documentation
 * "Custom request/response headers"; the order within a level is that of Envoy 1.40.
 */
#include "filter/arena_text.h"
#include "route/route_internal.h"

/* Values of so many additions are kept on the stack. */
#define FEW 16
/* A value that comes out longer is left out. */
#define VALUE_BYTES_MAX (64 * 1024)

static bool is_overwrite(mb_header_append append) {
    return append == MB_OVERWRITE_OR_ADD || append == MB_OVERWRITE_IF_EXISTS;
}

/* Whether the rule does anything, by what is there. */
static bool applies(const mb_header_option *option, const mb_headers *headers) {
    mb_slice value;
    if (option->append != MB_ADD_IF_ABSENT && option->append != MB_OVERWRITE_IF_EXISTS) {
        return true;
    }
    bool exists = mb_headers_get(headers, option->name, 0, &value) > 0;
    return exists == (option->append == MB_OVERWRITE_IF_EXISTS);
}

/* The value, in the stream's arena; `ptr` NULL: the rule does nothing. MB_OK or MB_ENOMEM. */
static int compute(const mb_header_option *option, const mb_headers *headers, mb_stream *stream,
                   mb_slice *value) {
    *value = (mb_slice){NULL, 0};
    if (!applies(option, headers)) {
        return MB_OK;
    }
    mb_slice made;
    if (!mb_format_literal(option->value, &made)) {
        mb_arena_text text;
        mb_arena_text_init(&text, &stream->arena, VALUE_BYTES_MAX);
        mb_format_append(option->value, stream, &text.text);
        if (text.text.status != MB_OK) {
            return text.text.status == MB_ENOMEM ? MB_ENOMEM : MB_OK;
        }
        made = mb_text_view(&text.text);
    }
    if (made.len > 0) {
        *value = made;
    } else if (option->keep_empty) {
        *value = mb_slice_of("", 0);
    }
    return MB_OK;
}

/* Overwrites, or appends. */
static int write_values(const mb_header_rules *rules, mb_direction direction, bool overwrite,
                        const mb_slice *values, mb_headers *headers) {
    for (uint32_t i = 0; i < rules->add_count[direction]; i++) {
        const mb_header_option *option = &rules->add[direction][i];
        if (values[i].ptr == NULL || is_overwrite(option->append) != overwrite) {
            continue;
        }
        int status = overwrite ? mb_headers_set(headers, option->name, values[i])
                               : mb_headers_add(headers, option->name, values[i]);
        if (status == MB_ENOMEM) {
            return MB_ENOMEM;
        }
    }
    return MB_OK;
}

int mb__header_rules_apply(const mb_header_rules *rules, mb_direction direction,
                           mb_stream *stream) {
    mb_headers *headers = &stream->headers[direction];
    uint32_t count = rules->add_count[direction];
    mb_slice few[FEW];
    mb_slice *values = few;
    for (uint32_t i = 0; i < rules->remove_count[direction]; i++) {
        mb_headers_remove(headers, rules->remove[direction][i]);
    }
    if (count == 0) {
        return MB_OK;
    }
    if (count > FEW) {
        values = mb_arena_alloc(&stream->arena, count * sizeof(*values));
        if (values == NULL) {
            return MB_ENOMEM;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        int status = compute(&rules->add[direction][i], headers, stream, &values[i]);
        if (status != MB_OK) {
            return status;
        }
    }
    int status = write_values(rules, direction, true, values, headers);
    return status != MB_OK ? status : write_values(rules, direction, false, values, headers);
}

int mb__header_rules_apply_levels(const mb_route *route, mb_direction direction,
                                  mb_stream *stream) {
    const mb_virtual_host *host = route->host;
    const mb_header_rules *levels[3] = {&route->rules, &host->rules, &host->table->rules};
    for (int i = 0; i < 3; i++) {
        int at = host->table->most_specific_wins ? 2 - i : i;
        int status = mb__header_rules_apply(levels[at], direction, stream);
        if (status != MB_OK) {
            return status;
        }
    }
    return MB_OK;
}
