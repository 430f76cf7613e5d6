/*
 * The module "moebridge_native": the filters that ship in the core, behind the same ABI as any
 * other module. Its context is the host table; it owns nothing.
 */
#include "filter/builtin.h"

int mb_builtin_module(const mb_host *host, mb_module *out) {
    static const mb_filter_kind filters[] = {
        {"basic_auth", &mb__basic_auth_hooks},
        {"body_scan", &mb__body_scan_hooks},
        {"grpc_web", &mb__grpc_web_hooks},
        {"header_mutation", &mb__header_mutation_hooks},
    };
    *out = (mb_module){
        .abi_version = MB_ABI_VERSION,
        .struct_size = sizeof(mb_module),
        .name = "moebridge_native",
        .context = (void *)(uintptr_t)host,
        .filters = filters,
        .filter_count = sizeof(filters) / sizeof(filters[0]),
    };
    return MB_OK;
}
