/*
 * Format: Envoy's %OPERATOR(argument):length% strings over a stream, for header values and access
 * logs. Parsing happened in Python (moebridge.config.access_log_format); the core gets segments.
 */
#ifndef MB_FILTER_FORMAT_H
#define MB_FILTER_FORMAT_H

#include "base/text.h"
#include "filter/stream.h"

typedef struct mb_format mb_format;

/* Builds from the document's list of segments. MB_OK; MB_ECONFIG with a constant text in `error`
 * (an operator that the core does not know); MB_ENOMEM. The arena owns the result. */
int mb_format_build(mb_arena *arena, mb_slice segments_msgpack, mb_format **out,
                    const char **error);
/* True when the format is one literal; then `text` is it. */
bool mb_format_literal(const mb_format *format, mb_slice *text);
/* Appends the text. What is unset becomes "-" (access logs) or nothing (header values). */
typedef enum mb_format_unset { MB_UNSET_DASH, MB_UNSET_EMPTY } mb_format_unset;
void mb_format_append(const mb_format *format, mb_stream *stream, mb_format_unset unset,
                      mb_text *out);
/* As a JSON value: a format of one operator keeps its type (number, null), else a string. */
void mb_format_append_json(const mb_format *format, mb_stream *stream, mb_text *out);

#endif
