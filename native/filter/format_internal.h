/*
 * What format.c, format_operators.c and format_time.c share.
 */
#ifndef MB_FILTER_FORMAT_INTERNAL_H
#define MB_FILTER_FORMAT_INTERNAL_H

#include "filter/format.h"

typedef enum mb_format_encode {
    MB_ENCODE_TEXT,       /* as it is */
    MB_ENCODE_JSON_VALUE, /* a whole JSON value; null when unset */
    MB_ENCODE_JSON_STRING /* within a JSON string that has its quotes already */
} mb_format_encode;

typedef struct mb_format_operator mb_format_operator;

typedef struct mb_format_segment {
    const mb_format_operator *op; /* NULL: a literal, in `text` */
    mb_slice text;                /* literal; what stands for an unset value */
    mb_slice arg, alt_arg;
    uint32_t max_bytes; /* 0: no limit */
    uint8_t encode;     /* mb_format_encode */
} mb_format_segment;

struct mb_format {
    uint32_t count;
    mb_format_segment segments[];
};

typedef enum mb_format_type {
    MB_FORMAT_TEXT,  /* quoted and escaped in JSON */
    MB_FORMAT_NUMBER /* digits in JSON too */
} mb_format_type;

struct mb_format_operator {
    const char *name;
    /* Appends the value as plain text. False: it is unset, and nothing was appended. */
    bool (*append)(const mb_format_segment *segment, mb_stream *stream, mb_text *out);
    mb_format_type type;
    uint32_t which; /* for `append`: field, address, direction */
};

/* format_operators.c. NULL: no such operator. */
const mb_format_operator *mb__format_operator(mb_slice name);
/* The msgpack value that DYNAMIC_METADATA names; MB_OK or MB_ENOTFOUND. Such an operator is a JSON
 * value already, unless that is a string. */
int mb__format_metadata(const mb_format_segment *segment, mb_stream *stream, mb_slice *value);
bool mb__format_is_metadata(const mb_format_operator *op);

/* format_time.c. Appends `wall_us` (UTC) by a strftime format with Envoy's %3f, %E3S ...; an empty
 * format is ISO 8601 with milliseconds. */
void mb__format_time(uint64_t wall_us, mb_slice format, mb_text *out);

#endif
