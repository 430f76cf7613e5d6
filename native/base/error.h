/* Text for the MB_E* results of common.h. */
#ifndef MB_BASE_ERROR_H
#define MB_BASE_ERROR_H

#include <moebridge/common.h>

/* One constant line in lower case; "ok" for any result >= 0, "unknown error" for others. */
const char *mb_strerror(int result);

#endif
