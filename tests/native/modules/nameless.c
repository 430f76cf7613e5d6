/* A module without a name. */
#include <moebridge/filter.h>

MB_API int mb_module_init(const mb_host *host, mb_module *out);

int mb_module_init(const mb_host *host, mb_module *out) {
    (void)host;
    *out = (mb_module){.abi_version = MB_ABI_VERSION, .struct_size = sizeof(*out)};
    return MB_OK;
}
