/* A module built for an ABI that comes after this one, with a larger struct. */
#include <moebridge/filter.h>
#include <string.h>

MB_API int mb_module_init(const mb_host *host, mb_module *out);

int mb_module_init(const mb_host *host, mb_module *out) {
    (void)host;
    /* As if fields had been added at its end. */
    memset((void *)out, 0x55, sizeof(*out) + 64);
    out->abi_version = MB_ABI_VERSION + 0x10000;
    out->struct_size = sizeof(*out) + 64;
    return MB_OK;
}
