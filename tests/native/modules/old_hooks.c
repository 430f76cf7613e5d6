/* A module of the right ABI with a filter of another one. */
#include <moebridge/filter.h>

MB_API int mb_module_init(const mb_host *host, mb_module *out);

static const mb_filter_hooks hooks = {.abi_version = 0, .struct_size = sizeof(hooks)};
static const mb_filter_kind kinds[] = {{"old", &hooks}};

int mb_module_init(const mb_host *host, mb_module *out) {
    (void)host;
    *out = (mb_module){
        .abi_version = MB_ABI_VERSION,
        .struct_size = sizeof(*out),
        .name = "old_hooks",
        .filters = kinds,
        .filter_count = 1,
    };
    return MB_OK;
}
