/*
 * Regular expressions over RE2. See regex.h.
 *
 * Every entry catches what may be thrown (std::bad_alloc), since its callers are C.
 */
#include "base/regex.h"

#include <new>
#include <re2/re2.h>

struct mb_regex {
    explicit mb_regex(const re2::StringPiece &pattern, const RE2::Options &options)
        : expression(pattern, options) {}
    RE2 expression;
};

namespace {

constexpr int kGroups = 10; /* \0 to \9 */

re2::StringPiece piece_of(mb_slice text) {
    return re2::StringPiece(text.len > 0 ? text.ptr : "", text.len);
}

mb_slice slice_of(const re2::StringPiece &piece) {
    return mb_slice{piece.data(), piece.size()};
}

/* Takes what `substitution` begins with off it: plain bytes into `plain`, or a group's number.
 * Returns the group, -1 for plain bytes, -2 when a backslash is followed by something else. */
int next_part(mb_slice *substitution, mb_slice *plain) {
    *plain = MB_SLICE_LIT("\\");
    if (substitution->ptr[0] == '\\') {
        if (substitution->len < 2) {
            return -2;
        }
        char what = substitution->ptr[1];
        substitution->ptr += 2;
        substitution->len -= 2;
        return what >= '0' && what <= '9' ? what - '0' : what == '\\' ? -1 : -2;
    }
    size_t len = 1;
    while (len < substitution->len && substitution->ptr[len] != '\\') {
        len++;
    }
    *plain = mb_slice{substitution->ptr, len};
    substitution->ptr += len;
    substitution->len -= len;
    return -1;
}

/* The highest group that a substitution names, or MB_EINVAL. */
int highest_group(mb_slice substitution) {
    int highest = 0;
    while (substitution.len > 0) {
        mb_slice plain;
        int group = next_part(&substitution, &plain);
        if (group == -2) {
            return MB_EINVAL;
        }
        highest = group > highest ? group : highest;
    }
    return highest;
}

void substitute(mb_slice substitution, const re2::StringPiece *groups, mb_text *out) {
    while (substitution.len > 0) {
        mb_slice plain;
        int group = next_part(&substitution, &plain);
        mb_text_append(out, group < 0 ? plain : slice_of(groups[group]));
    }
}

/* Length of the UTF-8 character at the front, or 1 where there is none. */
size_t character_bytes(mb_slice text) {
    size_t len = 1;
    while (len < text.len && len < 4 && (text.ptr[len] & 0xc0) == 0x80) {
        len++;
    }
    return (text.ptr[0] & 0xc0) == 0xc0 ? len : 1;
}

int replace_all(const RE2 &expression, mb_slice text, mb_slice substitution, int groups,
                mb_text *out) {
    re2::StringPiece found[kGroups];
    re2::StringPiece input = piece_of(text);
    size_t at = 0;
    size_t last_end = SIZE_MAX; /* of the match before, where an empty one does not count */
    int count = 0;
    while (at <= input.size() && out->status == MB_OK) {
        if (!expression.Match(input, at, input.size(), RE2::UNANCHORED, found, groups)) {
            break;
        }
        size_t begin = static_cast<size_t>(found[0].data() - input.data());
        mb_text_append(out, mb_slice{input.data() + at, begin - at});
        at = begin;
        if (!found[0].empty() || begin != last_end) {
            substitute(substitution, found, out);
            count++;
            at = begin + found[0].size();
            last_end = at;
        }
        if (found[0].empty()) {
            if (at >= input.size()) {
                break;
            }
            size_t len = character_bytes(mb_slice{input.data() + at, input.size() - at});
            mb_text_append(out, mb_slice{input.data() + at, len});
            at += len;
        }
    }
    if (at < input.size()) {
        mb_text_append(out, mb_slice{input.data() + at, input.size() - at});
    }
    return out->status != MB_OK ? out->status : count;
}

} // namespace

int mb_regex_new(mb_slice pattern, mb_text *error, mb_regex **out) {
    try {
        RE2::Options options(RE2::Quiet);
        options.set_max_mem(MB_REGEX_MEMORY_BYTES);
        mb_regex *regex = new mb_regex(piece_of(pattern), options);
        if (!regex->expression.ok()) {
            const std::string &why = regex->expression.error();
            mb_text_append(error, mb_slice{why.data(), why.size()});
            delete regex;
            return MB_EINVAL;
        }
        *out = regex;
        return MB_OK;
    } catch (...) {
        return MB_ENOMEM;
    }
}

void mb_regex_free(mb_regex *regex) {
    delete regex;
}

bool mb_regex_match(const mb_regex *regex, mb_slice text) {
    try {
        return RE2::FullMatch(piece_of(text), regex->expression);
    } catch (...) {
        return false;
    }
}

int mb_regex_check_substitution(const mb_regex *regex, mb_slice substitution, mb_text *error) {
    int highest = highest_group(substitution);
    if (highest < 0) {
        mb_text_c(error, "a backslash must be followed by a digit or a backslash");
        return MB_EINVAL;
    }
    int groups = regex->expression.NumberOfCapturingGroups();
    if (highest > groups) {
        mb_text_format(error, "group \\%d is used, but the expression has %d", highest, groups);
        return MB_EINVAL;
    }
    return MB_OK;
}

int mb_regex_replace(const mb_regex *regex, mb_slice text, mb_slice substitution, mb_text *out) {
    int highest = highest_group(substitution);
    if (highest < 0 || highest > regex->expression.NumberOfCapturingGroups()) {
        return MB_EINVAL;
    }
    try {
        return replace_all(regex->expression, text, substitution, highest + 1, out);
    } catch (...) {
        return MB_ENOMEM;
    }
}
