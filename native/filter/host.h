/*
 * Host: the table of filter.h over the objects of the core. One constant table for all modules.
 */
#ifndef MB_FILTER_HOST_H
#define MB_FILTER_HOST_H

#include <moebridge/filter.h>

extern const mb_host mb_host_functions;

#endif
