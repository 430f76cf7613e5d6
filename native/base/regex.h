/*
 * Regular expressions of routes and rewrites, as Envoy's: RE2 syntax, UTF-8, linear time. The
 * only part of the core that is C++ inside; no exception leaves it.
 *
 * An expression is compiled while a configuration loads and then used from any thread. RE2 takes
 * memory from operator new, bounded by MB_REGEX_MEMORY_BYTES each.
 */
#ifndef MB_BASE_REGEX_H
#define MB_BASE_REGEX_H

#include "base/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* For program and state cache of one expression; a pattern that needs more is refused. */
#define MB_REGEX_MEMORY_BYTES (1024 * 1024)

typedef struct mb_regex mb_regex;

/* MB_OK, MB_EINVAL with RE2's reason appended to `error`, or MB_ENOMEM. */
int mb_regex_new(mb_slice pattern, mb_text *error, mb_regex **out);
void mb_regex_free(mb_regex *regex);
/* Whether the whole of `text` matches. */
bool mb_regex_match(const mb_regex *regex, mb_slice text);
/* Whether a substitution can be used: \0 to \9 name groups that exist, \\ is a backslash, nothing
 * else follows one. MB_OK, or MB_EINVAL with the reason appended to `error`. */
int mb_regex_check_substitution(const mb_regex *regex, mb_slice substitution, mb_text *error);
/* Appends `text` to `out` with every match replaced. Returns how many there were, or the status of
 * `out`, or MB_EINVAL for a bad substitution. */
int mb_regex_replace(const mb_regex *regex, mb_slice text, mb_slice substitution, mb_text *out);

#ifdef __cplusplus
}
#endif

#endif
