/* A module that refuses its host. */
#include <moebridge/filter.h>

MB_API int mb_module_init(const mb_host *host, mb_module *out);

int mb_module_init(const mb_host *host, mb_module *out) {
    (void)host;
    (void)out;
    return MB_EINVAL;
}
