/*
 * Chain configuration: from a module and a configuration value to an entry of a chain, or to what
 * a route changes of one.
 *
 * Called by config/ while it builds a snapshot and when the snapshot goes. An entry holds one
 * reference on its module, so a module outlives everything it made.
 */
#include "base/error.h"
#include "base/slice.h"
#include "filter/module.h"

#include <stdarg.h>
#include <stdio.h>

void mb__module_explain(mb_module_ref *module, mb_filter_args *args, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(module->error, sizeof(module->error), format, list);
    va_end(list);
    args->error = mb_slice_from_c(module->error);
}

static const mb_filter_hooks *find_hooks(const mb_module *module, mb_slice name) {
    const mb_filter_hooks *any = NULL;
    for (uint32_t i = 0; i < module->filter_count; i++) {
        const mb_filter_kind *kind = &module->filters[i];
        if (mb_slice_equal(mb_slice_from_c(kind->name), name)) {
            return kind->hooks;
        }
        if (strcmp(kind->name, "*") == 0) {
            any = kind->hooks;
        }
    }
    return any;
}

static void explain_unknown(mb_module_ref *module, mb_filter_args *args) {
    char names[160] = "";
    size_t length = 0;
    for (uint32_t i = 0; i < module->module.filter_count; i++) {
        int added = snprintf(names + length, sizeof(names) - length, "%s%s", i > 0 ? ", " : "",
                             module->module.filters[i].name);
        if (added < 0 || (size_t)added >= sizeof(names) - length) {
            break;
        }
        length += (size_t)added;
    }
    mb__module_explain(
        module, args, "module %s has no filter \"%.*s\"; it has: %s", module->module.name,
        args->filter_name.len < 80 ? (int)args->filter_name.len : 80,
        args->filter_name.len > 0 ? args->filter_name.ptr : "", names[0] ? names : "none");
}

/* Bits of the hooks that are there. */
static uint32_t hooks_present(const mb_filter_hooks *hooks) {
    const bool present[MB_HOOK_COUNT] = {
        [MB_HOOK_REQUEST_HEADERS] = hooks->request_headers != NULL,
        [MB_HOOK_REQUEST_BODY] = hooks->request_body != NULL,
        [MB_HOOK_REQUEST_TRAILERS] = hooks->request_trailers != NULL,
        [MB_HOOK_RESPONSE_HEADERS] = hooks->response_headers != NULL,
        [MB_HOOK_RESPONSE_BODY] = hooks->response_body != NULL,
        [MB_HOOK_RESPONSE_TRAILERS] = hooks->response_trailers != NULL,
        [MB_HOOK_STREAM_COMPLETE] = hooks->stream_complete != NULL,
        [MB_HOOK_SCHEDULED] = hooks->scheduled != NULL,
        [MB_HOOK_DESTROY] = hooks->destroy != NULL,
    };
    uint32_t bits = 0;
    for (int i = 0; i < MB_HOOK_COUNT; i++) {
        bits |= present[i] ? 1u << i : 0;
    }
    return bits;
}

static int make_config(mb_module_ref *module, const mb_filter_hooks *hooks, mb_filter_args *args,
                       void **config, uint32_t *wants) {
    uint32_t present = hooks_present(hooks);
    *config = NULL;
    *wants = present;
    if (hooks->config_new == NULL) {
        return MB_OK;
    }
    args->error = mb_slice_of("", 0);
    int status = hooks->config_new(module->module.context, args, config, wants);
    if (status < 0) {
        if (args->error.len == 0) {
            mb__module_explain(module, args, "the filter refused its configuration: %s",
                               mb_strerror(status));
        }
        return status;
    }
    /* A module may leave bits out, not ask for hooks it hasn't. */
    *wants &= present;
    return MB_OK;
}

int mb_chain_entry_configure(mb_module_ref *module, mb_filter_args *args, mb_chain_entry *entry) {
    const mb_filter_hooks *hooks = find_hooks(&module->module, args->filter_name);
    void *config;
    uint32_t wants;
    if (hooks == NULL) {
        explain_unknown(module, args);
        return MB_ENOTFOUND;
    }
    int status = make_config(module, hooks, args, &config, &wants);
    if (status != MB_OK) {
        return status;
    }
    entry->hooks = hooks;
    entry->module = mb_module_share(module);
    entry->config = config;
    entry->wants = wants;
    return MB_OK;
}

static void free_config(const mb_chain_entry *entry, void *config) {
    if (config != NULL && entry->hooks->config_free != NULL) {
        entry->hooks->config_free(entry->module->module.context, config);
    }
}

void mb_chain_entry_release(mb_chain_entry *entry) {
    if (entry->module == NULL) {
        return;
    }
    free_config(entry, entry->config);
    mb_module_release(entry->module);
    entry->module = NULL;
    entry->hooks = NULL;
    entry->config = NULL;
}

int mb_chain_override_configure(const mb_chain_entry *entry, mb_filter_args *args,
                                mb_chain_override *out) {
    mb_module_ref *module = entry->module;
    void *config;
    uint32_t wants;
    if (args->filter_name.len > 0 &&
        find_hooks(&module->module, args->filter_name) != entry->hooks) {
        mb__module_explain(module, args, "\"%.*s\" is another filter than the chain's \"%s\"",
                           args->filter_name.len < 80 ? (int)args->filter_name.len : 80,
                           args->filter_name.ptr, entry->name != NULL ? entry->name : "");
        return MB_ECONFIG;
    }
    int status = make_config(module, entry->hooks, args, &config, &wants);
    if (status != MB_OK) {
        return status;
    }
    *out = (mb_chain_override){.config = config, .wants = wants, .present = true};
    return MB_OK;
}

void mb_chain_override_release(const mb_chain_entry *entry, mb_chain_override *override) {
    free_config(entry, override->config);
    *override = (mb_chain_override){0};
}
