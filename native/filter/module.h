/*
 * Modules: bundles of filters behind the ABI of filter.h, from a shared library or from this
 * process (the built-in filters, the Python bridge). A module belongs to a worker and is freed
 * with its last reference; each filter configured from it holds one (chain_config.c).
 */
#ifndef MB_FILTER_MODULE_H
#define MB_FILTER_MODULE_H

#include "base/text.h"
#include "filter/chain.h"

/* Folders with modules, separated by ':'; looked through before all others. */
#define MB_MODULE_PATH_VARIABLE "MOEBRIDGE_MODULE_PATH"

/* Loads lib<name>.so (or `name` itself where it is such a file name) out of the folders of
 * MOEBRIDGE_MODULE_PATH, the current folder, or where the system looks for libraries; a name with
 * a '/' is a path. A library that is loaded already is shared. MB_OK with one reference; or with
 * the reason appended to `error`: MB_ENOTFOUND (no such file), MB_EABI (no mb_module_init, another
 * ABI), MB_ECONFIG (it can't be loaded, or refused), MB_ENOMEM. */
int mb_module_load(mb_worker *worker, mb_slice name, mb_text *error, mb_module_ref **out);
/* A module of this process: `init` fills it. Results as of mb_module_load, with `name` in them. */
int mb_module_make(mb_worker *worker, mb_slice name, mb_module_init_fn init, mb_text *error,
                   mb_module_ref **out);
/* A module that is filled already; `*module` is copied, what it points to is not. */
int mb_module_add(mb_worker *worker, const mb_module *module, mb_text *error, mb_module_ref **out);

static inline mb_module_ref *mb_module_share(mb_module_ref *module) {
    module->refs++;
    return module;
}
/* Says in `args->error` why a configuration was refused; valid until the module's next call. */
void mb__module_explain(mb_module_ref *module, mb_filter_args *args, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The last one calls the module's `free` and unloads its library. NULL is allowed. */
void mb_module_release(mb_module_ref *module);

#endif
