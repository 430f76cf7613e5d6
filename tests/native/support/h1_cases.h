/*
 * Runs one input through an HTTP/1.1 codec in every way that input can come: whole, ending at an
 * unreadable page, cut in two at every place, byte by byte, in pieces that never lie behind each
 * other, with heads kept and with heads copied. What the codec says must be the same each time.
 */
#ifndef H1_CASES_H
#define H1_CASES_H

#include "h1_record.h"

typedef struct h1_case {
    const char *name;
    mb_slice input;
    const char *expected; /* what h1_record writes; where it begins with '!': the reason only */
} h1_case;

#define H1_CASE(name, input, expected)                                                             \
    { name, {input, sizeof(input) - 1}, expected }

/* Ends the running test when an answer differs. `options` may be NULL. `then_end`: the peer closes
 * behind the input. */
void h1_case_check(const h1_case *given, bool is_server, const mb_codec_options *options,
                   bool then_end);
void h1_cases_check(const h1_case *cases, size_t count, bool is_server,
                    const mb_codec_options *options);
/* The same with the n-th request for memory failing, for every n: an error at worst. */
void h1_case_check_memory(mb_slice input, bool is_server);

#endif
