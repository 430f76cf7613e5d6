/*
 * What the levels of a route configuration change about filters of the chain. Each level has its
 * merged array, one place an entry of the chain; a level that changes nothing shares the array of
 * the level above, and where no level does there is none. So a request reads one array, and
 * each configuration is made once, at the level that gives it.
 *
 * The most specific level that names a filter wins as a whole. header_mutation is Envoy's
 * exception: its levels add up, which becomes one configuration of the chain's and all levels'
 * mutations in order. Source: moebridge.config.route_model.PerFilter.
 */
#include "base/error.h"
#include "base/slice.h"
#include "config/build.h"

/* Table, virtual host, route, weighted cluster; and the chain's own. */
#define LEVELS_MAX 5

typedef struct override_parts {
    bool disabled, has_config;
    mb_slice filter;
    mb_doc config, options;
} override_parts;

static const mb_doc_field override_fields[] = {
    MB_DOC_FIELD("disabled", BOOL, override_parts, disabled),
    MB_DOC_FIELD("config", NODE, override_parts, config),
    MB_DOC_FIELD("has_config", BOOL, override_parts, has_config),
    MB_DOC_FIELD("filter", TEXT, override_parts, filter),
    MB_DOC_FIELD("options", NODE, override_parts, options),
};

/* -- configurations that add up -------------------------------------------------------------- */

static const char *const mutation_lists[] = {"request", "request_trailers", "response",
                                             "response_trailers"};
#define MUTATION_LISTS (sizeof(mutation_lists) / sizeof(mutation_lists[0]))

/* The configurations that apply at a level, in the order in which they do. */
static size_t collect(const mb_filter_source *filter, size_t index, const mb_config_level *level,
                      mb_slice *out) {
    mb_slice levels[LEVELS_MAX];
    size_t count = 0;
    for (; level != NULL && count < LEVELS_MAX - 1; level = level->up) {
        if (level->configs != NULL && level->configs[index].len > 0) {
            levels[count++] = level->configs[index];
        }
    }
    out[0] = filter->config;
    for (size_t i = 0; i < count; i++) {
        out[i + 1] = levels[filter->most_specific_last ? count - 1 - i : i];
    }
    return count + 1;
}

/* Opens the list `key` of a configuration; one that is none counts as empty, the filter itself
 * says what is wrong with it. */
static uint32_t open_list(mb_slice config, const char *key, mb_msgpack *out) {
    mb_slice value;
    uint32_t count;
    if (mb_msgpack_find(config, mb_slice_from_c(key), &value) != MB_OK) {
        return 0;
    }
    *out = mb_msgpack_read(value);
    return mb_msgpack_get_array(out, &count) == MB_OK ? count : 0;
}

static void merge_list(const mb_slice *configs, size_t count, const char *key, mb_text *out) {
    mb_msgpack lists[LEVELS_MAX];
    uint32_t counts[LEVELS_MAX];
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        counts[i] = open_list(configs[i], key, &lists[i]);
        total += counts[i];
    }
    mb_msgpack_put_str(out, mb_slice_from_c(key));
    mb_msgpack_put_array(out, (uint32_t)total);
    for (size_t i = 0; i < count; i++) {
        if (counts[i] > 0) {
            mb_text_append(out, mb_slice_of(lists[i].at, (size_t)(lists[i].end - lists[i].at)));
        }
    }
}

/* A HeaderMutation of all of them, in `out`. */
static void merge(const mb_slice *configs, size_t count, mb_text *out) {
    mb_text_clear(out);
    mb_msgpack_put_map(out, MUTATION_LISTS + 1);
    for (size_t i = 0; i < MUTATION_LISTS; i++) {
        merge_list(configs, count, mutation_lists[i], out);
    }
    mb_msgpack_put_str(out, MB_SLICE_LIT("most_specific_header_mutations_wins"));
    mb_msgpack_put_bool(out, false);
}

/* -- one override ---------------------------------------------------------------------------- */

typedef struct owned_override {
    const mb_chain_entry *entry;
    mb_chain_override override; /* as it was made; the arrays have copies */
} owned_override;

static void release_override(void *object) {
    owned_override *owned = object;
    mb_chain_override_release(owned->entry, &owned->override);
}

/* `config`: what to make it from. False: reported. */
static bool make_override(mb_builder *builder, const mb_doc *doc, const mb_chain_entry *entry,
                          mb_slice kind, mb_slice config, mb_chain_override *out) {
    owned_override *made = mb_doc_alloc(&builder->reader, 1, sizeof(*made));
    mb_release *owned = mb__release_new(builder);
    if (made == NULL || owned == NULL) {
        return false;
    }
    mb_filter_args args = {
        .worker = builder->worker,
        .filter_name = kind,
        .name = mb_slice_from_c(entry->name),
        .config = config,
    };
    made->entry = entry;
    int result = mb_chain_override_configure(entry, &args, &made->override);
    if (result == MB_ENOMEM) {
        builder->reader.status = MB_ENOMEM;
    } else if (result != MB_OK) {
        mb_slice why = args.error.len > 0 ? args.error : mb_slice_from_c(mb_strerror(result));
        mb_doc_fault(doc, "%.*s: %.*s", MB_TEXT_ARG(kind), MB_TEXT_ARG(why));
    }
    if (result != MB_OK) {
        return false;
    }
    mb__release_own(builder, owned, release_override, made);
    out->config = made->override.config;
    out->wants = made->override.wants;
    return true;
}

/* -- a level --------------------------------------------------------------------------------- */

typedef struct level_builder {
    mb_builder *builder;
    const mb_chain_source *source;
    mb_config_level *level;
    mb_chain_override *overrides; /* of the level, made when first needed */
    mb_slice *configs;            /* likewise */
} level_builder;

static bool begin_changes(level_builder *at) {
    uint32_t count = at->source->chain->count;
    if (at->overrides != NULL) {
        return true;
    }
    at->overrides = mb_doc_alloc(&at->builder->reader, count, sizeof(*at->overrides));
    at->configs = mb_doc_alloc(&at->builder->reader, count, sizeof(*at->configs));
    if (at->overrides == NULL || at->configs == NULL) {
        return false;
    }
    const mb_config_level *up = at->level->up;
    if (up != NULL && up->overrides != NULL) {
        memcpy(at->overrides, up->overrides, count * sizeof(*at->overrides));
    }
    at->level->overrides = at->overrides;
    at->level->configs = at->configs;
    return true;
}

static void change_entry(level_builder *at, const mb_doc *doc, const override_parts *parts,
                         uint32_t index) {
    const mb_chain_entry *entry = &at->source->chain->entries[index];
    const mb_filter_source *filter = &at->source->filters[index];
    mb_chain_override *override = &at->overrides[index];
    mb_slice config = parts->config.value;
    mb_slice kind = parts->filter.len > 0 ? parts->filter : filter->kind;
    override->present = true;
    override->disabled = parts->disabled;
    if (!parts->has_config) {
        if (!filter->adds || override->config == NULL) {
            override->config = NULL;
            override->wants = entry->wants;
        }
        return;
    }
    if (config.ptr == NULL) {
        return; /* reported */
    }
    if (filter->adds) {
        mb_slice configs[LEVELS_MAX];
        at->configs[index] = config;
        merge(configs, collect(filter, index, at->level, configs), &at->builder->scratch);
        if (at->builder->scratch.status != MB_OK) {
            at->builder->reader.status = MB_ENOMEM;
            return;
        }
        config = mb_text_view(&at->builder->scratch);
    }
    make_override(at->builder, doc, entry, kind, config, override);
}

void mb__config_level(mb_builder *builder, const mb_chain_source *source, const mb_doc *per_filter,
                      const mb_config_level *up, mb_config_level *out) {
    level_builder at = {.builder = builder, .source = source, .level = out};
    mb_doc_items items;
    mb_doc item;
    *out = (mb_config_level){.up = up, .overrides = up == NULL ? NULL : up->overrides};
    mb_doc_map(per_filter, &items);
    while (mb_doc_next(&items, &item)) {
        override_parts found = {0};
        bool known = false;
        MB_DOC_READ(&item, override_fields, &found);
        for (uint32_t i = 0; i < source->chain->count; i++) {
            if (!mb_slice_equal(source->filters[i].name, item.name)) {
                continue;
            }
            known = true;
            if (!begin_changes(&at)) {
                return;
            }
            change_entry(&at, &item, &found, i);
        }
        if (!known && !source->incomplete) {
            mb_doc_fault(&item, "no filter of the chain has this name");
        }
    }
}
