/*
 * header_mutation: adds, changes and removes headers and trailers, in the order given.
 *
 * Configuration, as moebridge.config.filter_model.HeaderMutation: lists `request`,
 * `request_trailers`, `response`, `response_trailers` of steps, each a map with `kind`:
 *   "remove":           `name`
 *   "append":           `add`: {name, value (a format's segments), append_action, keep_empty_value}
 *   "remove_on_match":  `match` on names: {kind, value, ignore_case}
 * A step sees what the steps before it did. A value that comes out malformed is left out.
 * Configurations of routes replace the chain's: config/ has put the levels together by then.
 *
 * Headers go through the public ABI; formats are the core's own (format.h), since the ABI has no
 * word for them. Its Python twin: moebridge_plugins.header_mutation.
 * Source: Envoy's HeaderMutation.
 */
#include "base/alloc.h"
#include "base/msgpack.h"
#include "base/regex.h"
#include "base/slice.h"
#include "filter/arena_text.h"
#include "filter/builtin.h"
#include "filter/format.h"

/* A value that comes out longer is left out. */
#define VALUE_BYTES_MAX (64 * 1024)

typedef enum step_kind { STEP_REMOVE, STEP_APPEND, STEP_REMOVE_ON_MATCH } step_kind;

typedef enum step_action {
    APPEND_OR_ADD,
    ADD_IF_ABSENT,
    OVERWRITE_OR_ADD,
    OVERWRITE_IF_EXISTS
} step_action;

typedef enum name_match {
    MATCH_EXACT,
    MATCH_PREFIX,
    MATCH_SUFFIX,
    MATCH_CONTAINS,
    MATCH_REGEX
} name_match;

typedef struct mutation_step {
    step_kind kind;
    step_action action;
    name_match match;
    bool keep_empty, ignore_case;
    mb_slice name; /* or the text to match names with */
    mb_format *value;
    mb_regex *regex; /* owned */
} mutation_step;

typedef struct step_list {
    mutation_step *steps;
    uint32_t count;
} step_list;

/* Where the steps apply; bits of hooks in the same order. */
enum { REQUEST, REQUEST_TRAILERS, RESPONSE, RESPONSE_TRAILERS, LISTS };

static const struct {
    const char *name;
    mb_hook hook;
} lists[LISTS] = {
    {"request", MB_HOOK_REQUEST_HEADERS},
    {"request_trailers", MB_HOOK_REQUEST_TRAILERS},
    {"response", MB_HOOK_RESPONSE_HEADERS},
    {"response_trailers", MB_HOOK_RESPONSE_TRAILERS},
};

typedef struct mutation_config {
    const mb_host *host;
    const mb_allocator *allocator;
    mb_arena arena; /* all of the steps */
    step_list lists[LISTS];
} mutation_config;

/* -- configuration --------------------------------------------------------------------------- */

static bool read_text(mb_slice map, const char *key, mb_slice *out) {
    mb_slice value;
    if (mb_msgpack_find(map, mb_slice_from_c(key), &value) != MB_OK) {
        return false;
    }
    mb_msgpack cursor = mb_msgpack_read(value);
    return mb_msgpack_get_str(&cursor, out) == MB_OK;
}

/* False where it is missing. */
static bool read_bool(mb_slice map, const char *key) {
    mb_slice value;
    bool flag = false;
    if (mb_msgpack_find(map, mb_slice_from_c(key), &value) == MB_OK) {
        mb_msgpack cursor = mb_msgpack_read(value);
        mb_msgpack_get_bool(&cursor, &flag);
    }
    return flag;
}

/* The index of a text in a list, or -1. */
static int read_word(mb_slice map, const char *key, const char *const *words, int count) {
    mb_slice text;
    if (!read_text(map, key, &text)) {
        return -1;
    }
    for (int i = 0; i < count; i++) {
        if (mb_slice_equal(text, mb_slice_from_c(words[i]))) {
            return i;
        }
    }
    return -1;
}

static int read_append(mutation_config *config, mb_slice map, mutation_step *out,
                       const char **error) {
    static const char *const actions[] = {"append_if_exists_or_add", "add_if_absent",
                                          "overwrite_if_exists_or_add", "overwrite_if_exists"};
    mb_slice value;
    int action = read_word(map, "append_action", actions, 4);
    *error = "append needs a name, a value and a known append_action";
    if (action < 0 || !read_text(map, "name", &out->name) || out->name.len == 0 ||
        mb_msgpack_find(map, MB_SLICE_LIT("value"), &value) != MB_OK) {
        return MB_ECONFIG;
    }
    out->action = (step_action)action;
    out->keep_empty = read_bool(map, "keep_empty_value");
    int status = mb_format_build(&config->arena, value, &out->value, error);
    return status != MB_OK ? status : mb_arena_dup(&config->arena, out->name, &out->name);
}

static int read_match(mutation_config *config, mb_slice map, mutation_step *out,
                      const char **error) {
    static const char *const kinds[] = {"exact", "prefix", "suffix", "contains", "safe_regex"};
    int kind = read_word(map, "kind", kinds, 5);
    *error = "remove_on_match needs a known kind and a value";
    if (kind < 0 || !read_text(map, "value", &out->name)) {
        return MB_ECONFIG;
    }
    out->match = (name_match)kind;
    out->ignore_case = read_bool(map, "ignore_case");
    if (out->match == MATCH_REGEX) {
        mb_text reason;
        mb_text_init(&reason, config->allocator, 256);
        int status = mb_regex_new(out->name, &reason, &out->regex);
        mb_text_fini(&reason);
        *error = "remove_on_match has a malformed regular expression";
        return status == MB_OK || status == MB_ENOMEM ? status : MB_ECONFIG;
    }
    return mb_arena_dup(&config->arena, out->name, &out->name);
}

static int read_step(mutation_config *config, mb_slice map, mutation_step *out,
                     const char **error) {
    static const char *const kinds[] = {"remove", "append", "remove_on_match"};
    mb_slice part;
    int kind = read_word(map, "kind", kinds, 3);
    *error = "a step needs a known kind";
    if (kind < 0) {
        return MB_ECONFIG;
    }
    out->kind = (step_kind)kind;
    if (out->kind == STEP_REMOVE) {
        *error = "remove needs a name";
        return read_text(map, "name", &out->name) && out->name.len > 0
                   ? mb_arena_dup(&config->arena, out->name, &out->name)
                   : MB_ECONFIG;
    }
    bool append = out->kind == STEP_APPEND;
    if (mb_msgpack_find(map, mb_slice_from_c(append ? "add" : "match"), &part) != MB_OK) {
        *error = "a step lacks what it is to do";
        return MB_ECONFIG;
    }
    return append ? read_append(config, part, out, error) : read_match(config, part, out, error);
}

static int read_list(mutation_config *config, mb_slice list, step_list *out, const char **error) {
    mb_msgpack cursor = mb_msgpack_read(list);
    uint32_t count;
    *error = "must be a list of steps";
    if (mb_msgpack_get_array(&cursor, &count) != MB_OK || count > list.len) {
        return MB_ECONFIG;
    }
    out->steps = mb_arena_zalloc(&config->arena, count * sizeof(*out->steps));
    if (out->steps == NULL) {
        return MB_ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        mb_slice map = {NULL, 0};
        mb_msgpack_value(&cursor, &map);
        /* Counted first: what a failed step owns is freed too. */
        out->count = i + 1;
        int status = read_step(config, map, &out->steps[i], error);
        if (status != MB_OK) {
            return status;
        }
    }
    return MB_OK;
}

static void on_config_free(void *module, void *opaque) {
    mutation_config *config = opaque;
    (void)module;
    for (int i = 0; i < LISTS; i++) {
        for (uint32_t j = 0; j < config->lists[i].count; j++) {
            mb_regex *regex = config->lists[i].steps[j].regex;
            if (regex != NULL) {
                mb_regex_free(regex);
            }
        }
    }
    mb_arena_clear(&config->arena);
    mb_free(config->allocator, config, sizeof(*config));
}

static int on_config_new(void *module, mb_filter_args *args, void **out, uint32_t *wants) {
    mb_worker *worker = args->worker;
    mutation_config *config = mb_zalloc(worker->allocator, sizeof(*config));
    if (config == NULL) {
        return MB_ENOMEM;
    }
    config->host = module;
    config->allocator = worker->allocator;
    mb_arena_init(&config->arena, &worker->arenas);
    for (int i = 0; i < LISTS; i++) {
        mb_slice list;
        const char *error = "";
        int status = mb_msgpack_find(args->config, mb_slice_from_c(lists[i].name), &list);
        if (status == MB_OK) {
            status = read_list(config, list, &config->lists[i], &error);
        } else if (status == MB_ENOTFOUND) {
            status = MB_OK;
        } else {
            error = "the configuration must be a map";
        }
        if (status != MB_OK) {
            /* Constants, all of them. */
            args->error = mb_slice_from_c(error);
            on_config_free(module, config);
            return status == MB_ENOMEM ? MB_ENOMEM : MB_ECONFIG;
        }
        if (config->lists[i].count == 0) {
            *wants &= ~(1u << lists[i].hook);
        }
    }
    *out = config;
    return MB_OK;
}

/* -- streams --------------------------------------------------------------------------------- */

static bool contains(mb_slice text, mb_slice part, bool ignore_case) {
    for (size_t at = 0; at + part.len <= text.len; at++) {
        mb_slice piece = mb_slice_of(text.ptr + at, part.len);
        if (ignore_case ? mb_slice_equal_nocase(piece, part) : mb_slice_equal(piece, part)) {
            return true;
        }
    }
    return false;
}

static bool name_matches(const mutation_step *step, mb_slice name) {
    mb_slice part = mb_slice_take(name, step->name.len);
    switch (step->match) {
    case MATCH_EXACT:
        return name.len == step->name.len && contains(name, step->name, step->ignore_case);
    case MATCH_PREFIX:
        return contains(part, step->name, step->ignore_case);
    case MATCH_SUFFIX:
        part = mb_slice_skip(name, name.len - part.len);
        return contains(part, step->name, step->ignore_case);
    case MATCH_CONTAINS:
        return contains(name, step->name, step->ignore_case);
    case MATCH_REGEX:
        return mb_regex_match(step->regex, name);
    }
    return false;
}

static void remove_matching(const mb_host *host, const mutation_step *step, mb_headers *headers) {
    size_t at = 0;
    mb_header header;
    while (host->headers_at(headers, at, &header) == MB_OK) {
        if (name_matches(step, header.name) && host->headers_remove(headers, header.name) > 0) {
            at = 0; /* fields before it may have gone too */
        } else {
            at++;
        }
    }
}

/* False: the step adds nothing. */
static bool make_value(const mutation_step *step, mb_stream *stream, mb_arena_text *text,
                       mb_slice *out) {
    if (!mb_format_literal(step->value, out)) {
        mb_arena_text_init(text, &stream->arena, VALUE_BYTES_MAX);
        mb_format_append(step->value, stream, &text->text);
        if (text->text.status != MB_OK) {
            return false;
        }
        *out = mb_text_view(&text->text);
    }
    return out->len > 0 || step->keep_empty;
}

static void append_step(const mb_host *host, const mutation_step *step, mb_stream *stream,
                        mb_headers *headers) {
    mb_arena_text text;
    mb_slice value;
    if (!make_value(step, stream, &text, &value)) {
        return;
    }
    mb_slice old;
    bool exists = host->headers_get(headers, step->name, 0, &old) > 0;
    switch (step->action) {
    case APPEND_OR_ADD:
        host->headers_add(headers, step->name, value);
        break;
    case ADD_IF_ABSENT:
        if (!exists) {
            host->headers_add(headers, step->name, value);
        }
        break;
    case OVERWRITE_IF_EXISTS:
        if (exists) {
            host->headers_set(headers, step->name, value);
        }
        break;
    case OVERWRITE_OR_ADD:
        host->headers_set(headers, step->name, value);
        break;
    }
}

static void mutate(mb_filter *filter, int which, mb_headers *headers) {
    const mutation_config *config = filter->config;
    const step_list *list = &config->lists[which];
    if (headers == NULL) {
        return;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        const mutation_step *step = &list->steps[i];
        switch (step->kind) {
        case STEP_REMOVE:
            config->host->headers_remove(headers, step->name);
            break;
        case STEP_APPEND:
            append_step(config->host, step, filter->stream, headers);
            break;
        case STEP_REMOVE_ON_MATCH:
            remove_matching(config->host, step, headers);
            break;
        }
    }
}

static mb_headers_status on_request_headers(mb_filter *filter, bool end_stream) {
    const mutation_config *config = filter->config;
    (void)end_stream;
    mutate(filter, REQUEST, config->host->headers(filter->stream, MB_REQUEST));
    return MB_HEADERS_CONTINUE;
}

static mb_trailers_status on_request_trailers(mb_filter *filter) {
    const mutation_config *config = filter->config;
    mutate(filter, REQUEST_TRAILERS, config->host->trailers(filter->stream, MB_REQUEST));
    return MB_TRAILERS_CONTINUE;
}

static mb_headers_status on_response_headers(mb_filter *filter, bool end_stream) {
    const mutation_config *config = filter->config;
    (void)end_stream;
    mutate(filter, RESPONSE, config->host->headers(filter->stream, MB_RESPONSE));
    return MB_HEADERS_CONTINUE;
}

static mb_trailers_status on_response_trailers(mb_filter *filter) {
    const mutation_config *config = filter->config;
    mutate(filter, RESPONSE_TRAILERS, config->host->trailers(filter->stream, MB_RESPONSE));
    return MB_TRAILERS_CONTINUE;
}

const mb_filter_hooks mb__header_mutation_hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_filter_hooks),
    .config_new = on_config_new,
    .config_free = on_config_free,
    .request_headers = on_request_headers,
    .request_trailers = on_request_trailers,
    .response_headers = on_response_headers,
    .response_trailers = on_response_trailers,
};
