/*
 * The filter chain of a connection manager: finds each filter's module and has it make its
 * configuration. Source: moebridge.config.model.
 */
#include "base/error.h"
#include "base/slice.h"
#include "config/build.h"
#include "filter/module.h"

/* Filters of a chain; each may ask for 4 KiB in every stream. */
#define FILTERS_MAX 1024
#define STATE_ALIGN ((uint32_t)MB_ARENA_ALIGN)
#define PYTHON_MODULE "moebridge"

typedef struct options_parts {
    mb_slice on_error, name;
    uint64_t hook_timeout_us;
} options_parts;

static const mb_doc_field option_fields[] = {
    MB_DOC_FIELD("on_error", TEXT, options_parts, on_error, .min = 1),
    MB_DOC_FIELD("hook_timeout_ms", MS, options_parts, hook_timeout_us),
    MB_DOC_FIELD("name", TEXT, options_parts, name),
};

typedef struct filter_parts {
    const char *name;
    mb_slice module, filter;
    bool disabled;
    mb_doc config, options;
} filter_parts;

static const mb_doc_field filter_fields[] = {
    MB_DOC_FIELD("name", CSTRING, filter_parts, name, .min = 1),
    MB_DOC_FIELD("module", TEXT, filter_parts, module, .min = 1),
    MB_DOC_FIELD("filter", TEXT, filter_parts, filter, .min = 1),
    MB_DOC_FIELD("config", NODE, filter_parts, config),
    MB_DOC_FIELD("disabled", BOOL, filter_parts, disabled),
    MB_DOC_FIELD("options", NODE, filter_parts, options),
};

/* -- modules --------------------------------------------------------------------------------- */

static mb_module_ref *added_module(const mb_config_modules *modules, mb_slice name) {
    for (size_t i = 0; i < modules->added_count; i++) {
        if (mb_slice_equal(name, mb_slice_from_c(modules->added[i]->module.name))) {
            return modules->added[i];
        }
    }
    return NULL;
}

static void release_module(void *module) {
    mb_module_release(module);
}

/* A library stays loaded as long as the snapshot, though no filter of it may have been made. */
static mb_module_ref *load_module(mb_builder *builder, const mb_doc *doc, mb_slice name) {
    mb_module_ref *module = NULL;
    mb_release *owned = mb__release_new(builder);
    if (owned == NULL) {
        return NULL;
    }
    mb_text_clear(&builder->scratch);
    int result = mb_module_load(builder->worker, name, &builder->scratch, &module);
    if (result == MB_ENOMEM || builder->scratch.status == MB_ENOMEM) {
        builder->reader.status = MB_ENOMEM;
    } else if (result != MB_OK) {
        mb_doc_fault(doc, "%.*s", MB_TEXT_ARG(mb_text_view(&builder->scratch)));
    }
    if (result == MB_OK) {
        mb__release_own(builder, owned, release_module, module);
    }
    return module;
}

static mb_module_ref *find_module(mb_builder *builder, const mb_doc *doc, mb_slice name) {
    mb_doc at = {.reader = doc->reader, .up = doc, .name = MB_SLICE_LIT("module")};
    if (mb_slice_equal(name, MB_SLICE_LIT("native"))) {
        return builder->modules->native;
    }
    bool python = mb_slice_equal(name, MB_SLICE_LIT("python"));
    mb_module_ref *module =
        added_module(builder->modules, python ? MB_SLICE_LIT(PYTHON_MODULE) : name);
    if (module == NULL && python) {
        mb_doc_fault(&at, "this server runs no Python filters");
    } else if (module == NULL) {
        module = load_module(builder, &at, name);
    }
    return module;
}

/* -- entries --------------------------------------------------------------------------------- */

static bool is_native(const filter_parts *filter, mb_slice name) {
    return mb_slice_equal(filter->module, MB_SLICE_LIT("native")) &&
           mb_slice_equal(filter->filter, name);
}

static void release_entry(void *entry) {
    mb_chain_entry_release(entry);
}

static void refuse_filter(mb_builder *builder, const mb_doc *doc, const filter_parts *filter,
                          const mb_filter_args *args, int result) {
    if (result == MB_ENOMEM) {
        builder->reader.status = MB_ENOMEM;
        return;
    }
    mb_slice why = args->error.len > 0 ? args->error : mb_slice_from_c(mb_strerror(result));
    mb_doc_fault(doc, "%.*s: %.*s", MB_TEXT_ARG(filter->filter), MB_TEXT_ARG(why));
}

static bool make_entry(mb_builder *builder, const mb_doc *doc, const filter_parts *filter,
                       mb_chain_entry *entry) {
    mb_release *owned = mb__release_new(builder);
    mb_module_ref *module = find_module(builder, doc, filter->module);
    if (owned == NULL || module == NULL) {
        return false;
    }
    mb_filter_args args = {
        .worker = builder->worker,
        .filter_name = filter->filter,
        .name = mb_slice_from_c(filter->name),
        .config = filter->config.value,
    };
    int result = mb_chain_entry_configure(module, &args, entry);
    if (result == MB_OK) {
        mb__release_own(builder, owned, release_entry, entry);
    } else {
        refuse_filter(builder, doc, filter, &args, result);
    }
    return result == MB_OK;
}

static void read_filter(const mb_doc *doc, filter_parts *out) {
    options_parts options = {0};
    MB_DOC_READ(doc, filter_fields, out);
    /* The bridge has its options from its own side; here they are only checked. */
    MB_DOC_READ(&out->options, option_fields, &options);
}

/* header_mutation's own order of what several levels add. */
static bool most_specific_last(mb_slice config) {
    mb_slice value;
    bool last = false;
    if (mb_msgpack_find(config, MB_SLICE_LIT("most_specific_header_mutations_wins"), &value) ==
        MB_OK) {
        mb_msgpack cursor = mb_msgpack_read(value);
        mb_msgpack_get_bool(&cursor, &last);
    }
    return last;
}

static void add_filter(mb_builder *builder, const mb_doc *doc, const filter_parts *filter,
                       mb_chain_source *source) {
    mb_chain *chain = source->chain;
    mb_chain_entry *entry = &chain->entries[chain->count];
    mb_filter_source *from = &source->filters[chain->count];
    entry->name = filter->name;
    if (filter->filter.len == 0 || filter->name[0] == '\0' || filter->config.value.ptr == NULL ||
        !make_entry(builder, doc, filter, entry)) {
        source->incomplete = true; /* and that was reported */
        return;
    }
    entry->disabled = filter->disabled;
    entry->state_offset = chain->state_bytes;
    chain->state_bytes += (entry->hooks->state_bytes + STATE_ALIGN - 1) & ~(STATE_ALIGN - 1);
    chain->count++;
    *from = (mb_filter_source){
        .name = mb_slice_from_c(filter->name),
        .kind = filter->filter,
        .config = filter->config.value,
        .adds = is_native(filter, MB_SLICE_LIT("header_mutation")),
    };
    from->most_specific_last = from->adds && most_specific_last(from->config);
}

void mb__config_chain(mb_builder *builder, const mb_doc *filters, mb_hcm_config *hcm,
                      mb_chain_source *source) {
    mb_doc_items items;
    mb_doc item;
    mb_chain *chain = &hcm->chain;
    chain->entries = mb_doc_array(filters, &items, sizeof(*chain->entries));
    chain->terminal = &mb_router_terminal;
    chain->terminal_config = &hcm->router_config;
    source->chain = chain;
    if (items.count > FILTERS_MAX) {
        mb_doc_fault(filters, "has more than %u filters", FILTERS_MAX);
        source->incomplete = true;
        return;
    }
    source->filters = mb_doc_alloc(&builder->reader, items.count, sizeof(*source->filters));
    if (source->filters == NULL) {
        return;
    }
    bool has_router = false;
    while (mb_doc_next(&items, &item)) {
        filter_parts found = {0};
        read_filter(&item, &found);
        bool last = item.index + 1 == items.count;
        bool router = is_native(&found, MB_SLICE_LIT("router"));
        if (router && !last) {
            mb_doc_fault(&item, "the router must be the last filter");
        } else if (router) {
            has_router = true;
        } else {
            add_filter(builder, &item, &found, source);
        }
    }
    if (!has_router && filters->value.ptr != NULL) {
        mb_doc_fault(filters, "the last filter must be the router");
    }
}

/* -- network filters ------------------------------------------------------------------------- */

static void release_network_entry(void *entry) {
    mb_network_entry_release(entry);
}

static bool make_network_entry(mb_builder *builder, const mb_doc *doc, const filter_parts *filter,
                               mb_network_entry *entry) {
    mb_release *owned = mb__release_new(builder);
    mb_module_ref *module = find_module(builder, doc, filter->module);
    if (owned == NULL || module == NULL) {
        return false;
    }
    mb_filter_args args = {
        .worker = builder->worker,
        .filter_name = filter->filter,
        .name = mb_slice_from_c(filter->name),
        .config = filter->config.value,
    };
    int result = mb_network_entry_configure(module, &args, entry);
    if (result == MB_OK) {
        mb__release_own(builder, owned, release_network_entry, entry);
    } else {
        refuse_filter(builder, doc, filter, &args, result);
    }
    return result == MB_OK;
}

void mb__config_network_chain(mb_builder *builder, const mb_doc *filters, mb_network_chain *out) {
    mb_doc_items items;
    mb_doc item;
    if (filters->value.ptr == NULL) {
        return; /* there are none */
    }
    out->entries = mb_doc_array(filters, &items, sizeof(*out->entries));
    if (items.count > FILTERS_MAX) {
        mb_doc_fault(filters, "has more than %u filters", FILTERS_MAX);
        return;
    }
    while (mb_doc_next(&items, &item)) {
        filter_parts found = {0};
        mb_network_entry *entry = &out->entries[out->count];
        read_filter(&item, &found);
        entry->name = found.name;
        if (found.filter.len == 0 || found.name[0] == '\0' || found.config.value.ptr == NULL ||
            !make_network_entry(builder, &item, &found, entry)) {
            continue; /* and that was reported */
        }
        entry->state_offset = out->state_bytes;
        out->state_bytes += (entry->hooks->state_bytes + STATE_ALIGN - 1) & ~(STATE_ALIGN - 1);
        out->count++;
    }
}
