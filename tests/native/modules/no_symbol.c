/* A library that is no module. */
#include <moebridge/common.h>

MB_API int mb_module_begin(void);

int mb_module_begin(void) {
    return MB_OK;
}
