/*
 * Configuration documents for tests, written as JSON: msgpack that can be read and edited in place.
 *
 *     mb_text document;
 *     json_document(&document, config_minimal, "'port':80", "'port':'eighty'", NULL);
 *
 * Single quotes do for double ones; {'$bin':'abc'} is bin, {'$raw':'c1'} the bytes themselves.
 */
#ifndef MBTEST_JSON_DOCUMENT_H
#define MBTEST_JSON_DOCUMENT_H

#include "base/text.h"
#include "mbtest.h"

/* `json` with each pair of (from, to) replaced once, up to NULL, as msgpack. Each `from` must be
 * there. Fails the case on what is no JSON. To be freed with mb_text_fini. */
void json_document(mb_text *out, const char *json, ...) __attribute__((sentinel));

#endif
