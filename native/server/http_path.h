/*
 * The request's path before routing: normalize_path, merge_slashes and the escaped slashes.
 */
#ifndef MB_SERVER_HTTP_PATH_H
#define MB_SERVER_HTTP_PATH_H

#include "config/hcm_config.h"

/* MB_OK; MB_EPROTO when the request was answered (400, or a redirect to the unescaped path). */
int mb__http_path_prepare(mb_stream *stream, const mb_hcm_config *config);

/* The steps, on text alone; `out` has room for `path.len` bytes. Each returns the new length. */
/* %2F and %5C become '/' and '\'. */
size_t mb__path_unescape_slashes(mb_slice path, char *out);
/* Removes dot segments (also when their dots are escaped), turns '\' to '/', decodes escaped
 * unreserved characters. MB_EPROTO: an escape is malformed. RFC 3986 5.2.4, 6.2.2. */
int mb__path_normalize(mb_slice path, char *out, size_t *length);
size_t mb__path_merge_slashes(mb_slice path, char *out);

#endif
