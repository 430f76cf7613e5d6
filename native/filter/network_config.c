/*
 * Network chain configuration: from a module and a configuration value to an entry of a network
 * chain. As chain_config.c, which has what both share.
 *
 * Called by config/ while it builds a snapshot and when the snapshot goes.
 */
#include "base/error.h"
#include "base/slice.h"
#include "filter/module.h"
#include "filter/network_chain.h"

static const mb_network_filter_hooks *find_hooks(const mb_module *module, mb_slice name) {
    const mb_network_filter_hooks *any = NULL;
    for (uint32_t i = 0; i < module->network_filter_count; i++) {
        const mb_network_filter_kind *kind = &module->network_filters[i];
        if (mb_slice_equal(mb_slice_from_c(kind->name), name)) {
            return kind->hooks;
        }
        if (strcmp(kind->name, "*") == 0) {
            any = kind->hooks;
        }
    }
    return any;
}

static bool is_http_filter(const mb_module *module, mb_slice name) {
    for (uint32_t i = 0; i < module->filter_count; i++) {
        if (mb_slice_equal(mb_slice_from_c(module->filters[i].name), name)) {
            return true;
        }
    }
    return false;
}

/* Bits of the hooks that are there. */
static uint32_t hooks_present(const mb_network_filter_hooks *hooks) {
    uint32_t bits = 0;
    bits |= hooks->new_connection != NULL ? 1u << MB_NETWORK_HOOK_NEW_CONNECTION : 0;
    bits |= hooks->read != NULL ? 1u << MB_NETWORK_HOOK_READ : 0;
    bits |= hooks->write != NULL ? 1u << MB_NETWORK_HOOK_WRITE : 0;
    bits |= hooks->event != NULL ? 1u << MB_NETWORK_HOOK_EVENT : 0;
    bits |= hooks->scheduled != NULL ? 1u << MB_NETWORK_HOOK_SCHEDULED : 0;
    bits |= hooks->destroy != NULL ? 1u << MB_NETWORK_HOOK_DESTROY : 0;
    return bits;
}

int mb_network_entry_configure(mb_module_ref *module, mb_filter_args *args, mb_network_entry *out) {
    const mb_network_filter_hooks *hooks = find_hooks(&module->module, args->filter_name);
    if (hooks == NULL) {
        const char *why = is_http_filter(&module->module, args->filter_name)
                              ? "is an HTTP filter, not a network filter"
                              : "is no network filter of it";
        mb__module_explain(module, args, "module %s: \"%.*s\" %s", module->module.name,
                           args->filter_name.len < 80 ? (int)args->filter_name.len : 80,
                           args->filter_name.len > 0 ? args->filter_name.ptr : "", why);
        return MB_ENOTFOUND;
    }
    uint32_t present = hooks_present(hooks);
    uint32_t wants = present;
    void *config = NULL;
    if (hooks->config_new != NULL) {
        args->error = mb_slice_of("", 0);
        int status = hooks->config_new(module->module.context, args, &config, &wants);
        if (status < 0) {
            if (args->error.len == 0) {
                mb__module_explain(module, args, "the filter refused its configuration: %s",
                                   mb_strerror(status));
            }
            return status;
        }
    }
    out->hooks = hooks;
    out->module = mb_module_share(module);
    out->config = config;
    out->wants = wants & present;
    return MB_OK;
}

void mb_network_entry_release(mb_network_entry *entry) {
    if (entry->module == NULL) {
        return;
    }
    if (entry->config != NULL && entry->hooks->config_free != NULL) {
        entry->hooks->config_free(entry->module->module.context, entry->config);
    }
    mb_module_release(entry->module);
    entry->module = NULL;
    entry->hooks = NULL;
    entry->config = NULL;
}
