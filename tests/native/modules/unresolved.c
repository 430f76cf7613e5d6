/* A module that needs a function which nobody has. */
#include <moebridge/filter.h>

MB_API int mb_module_init(const mb_host *host, mb_module *out);
int mb_function_that_nobody_has(mb_module *out);

int mb_module_init(const mb_host *host, mb_module *out) {
    (void)host;
    return mb_function_that_nobody_has(out);
}
