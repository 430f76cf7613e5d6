/*
 * Format: Envoy's %OPERATOR(argument):length% strings over a stream, for header values and access
 * logs. Parsing happened in Python (moebridge.config.access_log_format); the core gets segments,
 * each of which says how its value is written and what stands for an unset one.
 *
 * A format is immutable and lives in the arena it was built in. format.c builds and appends,
 * format_operators.c knows the operators, format_time.c writes times.
 */
#ifndef MB_FILTER_FORMAT_H
#define MB_FILTER_FORMAT_H

#include "base/text.h"
#include "filter/stream.h"

typedef struct mb_format mb_format;

/* Builds from the document's list of segments. MB_OK; MB_ECONFIG with a constant text in `error`
 * (an operator that the core does not know, a malformed segment); MB_ENOMEM. The arena owns the
 * result. */
int mb_format_build(mb_arena *arena, mb_slice segments_msgpack, mb_format **out,
                    const char **error);
/* True when the format is one literal, or empty; then `text` is it, as long as the format. */
bool mb_format_literal(const mb_format *format, mb_slice *text);
/* Appends the text for a stream, at whatever stage it is. Errors stick in `out->status`. */
void mb_format_append(const mb_format *format, mb_stream *stream, mb_text *out);

#endif
