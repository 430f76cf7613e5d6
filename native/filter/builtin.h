/*
 * The native filters that ship in the core, as the module "moebridge_native".
 */
#ifndef MB_FILTER_BUILTIN_H
#define MB_FILTER_BUILTIN_H

#include <moebridge/filter.h>

/* An mb_module_init_fn. */
int mb_builtin_module(const mb_host *host, mb_module *out);

/* The hooks of each, for builtin.c. The module's context is its `const mb_host *`. */
extern const mb_filter_hooks mb__basic_auth_hooks;
extern const mb_filter_hooks mb__body_scan_hooks;
extern const mb_filter_hooks mb__grpc_web_hooks;
extern const mb_filter_hooks mb__header_mutation_hooks;

#endif
