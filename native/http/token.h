/*
 * Tokens: small numbers for the header names that the proxy knows, and for pseudo-headers.
 *
 * The list is in tools/gen_tokens.py, which writes token_table.h with a perfect hash; finding a
 * name is one hash, one table read and one comparison. Everything here is constant memory.
 *
 * Used by the codecs while they parse, by the header map, and wherever C code names a header.
 */
#ifndef MB_HTTP_TOKEN_H
#define MB_HTTP_TOKEN_H

#include "http/token_table.h"
#include <moebridge/common.h>

/* MB_TOKEN_CONTENT_LENGTH, ... in the order of the list; hop-by-hop names come first. */
typedef enum mb_token {
    MB_TOKEN_NONE = 0,
#define MB_TOKEN_ENUM(id, text) MB_TOKEN_##id,
    MB_TOKEN_LIST(MB_TOKEN_ENUM)
#undef MB_TOKEN_ENUM
        MB_TOKEN_COUNT
} mb_token;

typedef enum mb_pseudo {
    MB_PSEUDO_METHOD = 0,
    MB_PSEUDO_PATH = 1,
    MB_PSEUDO_AUTHORITY = 2,
    MB_PSEUDO_SCHEME = 3,
    MB_PSEUDO_STATUS = 4,
    MB_PSEUDO_PROTOCOL = 5, /* of an extended CONNECT, RFC 8441 */
    MB_PSEUDO_COUNT = 6
} mb_pseudo;

/* The token of a lower-case name, or MB_TOKEN_NONE. */
uint32_t mb_token_find(mb_slice name);
/* mb_token_name without the check. */
extern const mb_slice mb__token_names[MB_TOKEN_COUNT];
/* The name of a token; an empty slice for MB_TOKEN_NONE and for what is no token. Constant
 * memory, NUL-terminated. */
mb_slice mb_token_name(uint32_t token);

/* The pseudo-header of a name that begins with ':' (":path"), or MB_PSEUDO_COUNT. "host" is
 * MB_PSEUDO_AUTHORITY. */
mb_pseudo mb_pseudo_find(mb_slice name);
/* ":method", ...; constant memory. */
mb_slice mb_pseudo_name(mb_pseudo which);

/* Fields that belong to one connection (RFC 9110 7.6.1): a codec reads and writes them itself. */
static inline bool mb_token_is_hop_by_hop(uint32_t token) {
    return token != MB_TOKEN_NONE && token <= MB_TOKEN_HOP_BY_HOP_LAST;
}

#endif
