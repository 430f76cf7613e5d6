/*
 * Small values of the model that several of its parts share: regular expressions, formats, header
 * changes, matchers. Source: moebridge.config.value_model.
 */
#include "base/slice.h"
#include "config/build.h"

/* -- regular expressions --------------------------------------------------------------------- */

static void release_regex(void *regex) {
    mb_regex_free(regex);
}

mb_regex *mb__config_regex(mb_builder *builder, const mb_doc *doc, mb_slice pattern) {
    mb_release *owned = mb__release_new(builder);
    mb_regex *regex = NULL;
    if (owned == NULL) {
        return NULL;
    }
    mb_text_clear(&builder->scratch);
    int result = mb_regex_new(pattern, &builder->scratch, &regex);
    if (result == MB_ENOMEM || builder->scratch.status == MB_ENOMEM) {
        builder->reader.status = MB_ENOMEM;
    } else if (result != MB_OK) {
        mb_doc_fault(doc, "%.*s", MB_TEXT_ARG(mb_text_view(&builder->scratch)));
    }
    if (regex != NULL) {
        mb__release_own(builder, owned, release_regex, regex);
    }
    return regex;
}

typedef struct rewrite {
    mb_slice pattern, substitution;
} rewrite;

static const mb_doc_field rewrite_fields[] = {
    MB_DOC_FIELD("pattern", TEXT, rewrite, pattern),
    MB_DOC_FIELD("substitution", TEXT, rewrite, substitution),
};

void mb__config_regex_rewrite(mb_builder *builder, const mb_doc *doc, mb_regex **regex,
                              mb_slice *substitution) {
    rewrite found = {0};
    if (mb_doc_is_nil(doc)) {
        return;
    }
    MB_DOC_READ(doc, rewrite_fields, &found);
    *substitution = found.substitution;
    *regex = mb__config_regex(builder, doc, found.pattern);
    if (*regex == NULL) {
        return;
    }
    mb_text_clear(&builder->scratch);
    if (mb_regex_check_substitution(*regex, found.substitution, &builder->scratch) != MB_OK) {
        mb_doc_fault_at(doc, "substitution", "%.*s", MB_TEXT_ARG(mb_text_view(&builder->scratch)));
    }
}

/* -- formats and header changes -------------------------------------------------------------- */

mb_format *mb__config_format(mb_builder *builder, const mb_doc *doc) {
    mb_format *format = NULL;
    const char *error = "is no format";
    if (doc->value.ptr == NULL) {
        return NULL;
    }
    int result = mb_format_build(builder->reader.arena, doc->value, &format, &error);
    if (result == MB_ENOMEM) {
        builder->reader.status = MB_ENOMEM;
    } else if (result != MB_OK) {
        mb_doc_fault(doc, "%s", error);
    }
    return format;
}

typedef struct header_add {
    mb_header_option option;
    mb_doc value;
} header_add;

static const char *const append_words[] = {
    [MB_APPEND_OR_ADD] = "append_if_exists_or_add",
    [MB_ADD_IF_ABSENT] = "add_if_absent",
    [MB_OVERWRITE_OR_ADD] = "overwrite_if_exists_or_add",
    [MB_OVERWRITE_IF_EXISTS] = "overwrite_if_exists",
    NULL,
};

static const mb_doc_field add_fields[] = {
    MB_DOC_FIELD("name", ANY_HEADER, header_add, option.name, .min = 1),
    MB_DOC_FIELD("value", NODE, header_add, value),
    MB_DOC_FIELD("append_action", ENUM, header_add, option.append, .words = append_words),
    MB_DOC_FIELD("keep_empty_value", BOOL, header_add, option.keep_empty),
};

static void read_adds(mb_builder *builder, const mb_doc *doc, mb_header_rules *out,
                      mb_direction direction) {
    mb_doc_items items;
    mb_doc item;
    mb_header_option *options = mb_doc_array(doc, &items, sizeof(*options));
    while (mb_doc_next(&items, &item)) {
        header_add found = {0};
        MB_DOC_READ(&item, add_fields, &found);
        found.option.value = mb__config_format(builder, &found.value);
        options[item.index] = found.option;
    }
    out->add[direction] = options;
    out->add_count[direction] = items.count;
}

static void read_removes(const mb_doc *doc, mb_header_rules *out, mb_direction direction) {
    mb_doc_items items;
    mb_doc item;
    mb_slice *names = mb_doc_array(doc, &items, sizeof(*names));
    while (mb_doc_next(&items, &item)) {
        names[item.index] = mb_doc_header(&item);
    }
    out->remove[direction] = names;
    out->remove_count[direction] = items.count;
}

typedef struct header_changes {
    mb_doc request_add, request_remove, response_add, response_remove;
} header_changes;

static const mb_doc_field changes_fields[] = {
    MB_DOC_FIELD("request_add", NODE, header_changes, request_add),
    MB_DOC_FIELD("request_remove", NODE, header_changes, request_remove),
    MB_DOC_FIELD("response_add", NODE, header_changes, response_add),
    MB_DOC_FIELD("response_remove", NODE, header_changes, response_remove),
};

void mb__config_header_rules(mb_builder *builder, const mb_doc *doc, mb_header_rules *out) {
    header_changes found = {0};
    MB_DOC_READ(doc, changes_fields, &found);
    read_adds(builder, &found.request_add, out, MB_REQUEST);
    read_removes(&found.request_remove, out, MB_REQUEST);
    read_adds(builder, &found.response_add, out, MB_RESPONSE);
    read_removes(&found.response_remove, out, MB_RESPONSE);
}

/* -- matchers -------------------------------------------------------------------------------- */

static const char *const match_words[] = {
    [MB_MATCH_PRESENT] = "present",   [MB_MATCH_EXACT] = "exact",
    [MB_MATCH_PREFIX] = "prefix",     [MB_MATCH_SUFFIX] = "suffix",
    [MB_MATCH_CONTAINS] = "contains", [MB_MATCH_REGEX] = "safe_regex",
    [MB_MATCH_RANGE] = "range",       NULL,
};

static const mb_doc_field header_match_fields[] = {
    MB_DOC_FIELD("name", ANY_HEADER, mb_matcher, name, .min = 1),
    MB_DOC_FIELD("kind", ENUM, mb_matcher, kind, .words = match_words),
    MB_DOC_FIELD("value", TEXT, mb_matcher, text),
    MB_DOC_FIELD("ignore_case", BOOL, mb_matcher, ignore_case),
    MB_DOC_FIELD("present", BOOL, mb_matcher, present),
    MB_DOC_FIELD("range_start", I64, mb_matcher, range_start),
    MB_DOC_FIELD("range_end", I64, mb_matcher, range_end),
    MB_DOC_FIELD("invert_match", BOOL, mb_matcher, invert),
    MB_DOC_FIELD("treat_missing_header_as_empty", BOOL, mb_matcher, missing_as_empty),
};

static const mb_doc_field query_match_fields[] = {
    MB_DOC_FIELD("name", TEXT, mb_matcher, name, .min = 1),
    MB_DOC_FIELD("kind", ENUM, mb_matcher, kind, .words = match_words),
    MB_DOC_FIELD("value", TEXT, mb_matcher, text),
    MB_DOC_FIELD("ignore_case", BOOL, mb_matcher, ignore_case),
    MB_DOC_FIELD("present", BOOL, mb_matcher, present),
};

static void finish_matcher(mb_builder *builder, const mb_doc *doc, mb_matcher *matcher) {
    if (matcher->kind != MB_MATCH_REGEX) {
        return;
    }
    if (matcher->ignore_case) {
        mb_doc_fault_at(doc, "ignore_case", "can't be with safe_regex");
    }
    mb_doc value = {.reader = doc->reader, .up = doc, .name = MB_SLICE_LIT("value")};
    matcher->regex = mb__config_regex(builder, &value, matcher->text);
}

mb_matcher *mb__config_header_matchers(mb_builder *builder, const mb_doc *doc, uint32_t *count) {
    mb_doc_items items;
    mb_doc item;
    mb_matcher *matchers = mb_doc_array(doc, &items, sizeof(*matchers));
    while (mb_doc_next(&items, &item)) {
        MB_DOC_READ(&item, header_match_fields, &matchers[item.index]);
        finish_matcher(builder, &item, &matchers[item.index]);
    }
    *count = items.count;
    return matchers;
}

mb_matcher *mb__config_query_matchers(mb_builder *builder, const mb_doc *doc, uint32_t *count) {
    mb_doc_items items;
    mb_doc item;
    mb_matcher *matchers = mb_doc_array(doc, &items, sizeof(*matchers));
    while (mb_doc_next(&items, &item)) {
        MB_DOC_READ(&item, query_match_fields, &matchers[item.index]);
        if (matchers[item.index].kind == MB_MATCH_RANGE) {
            mb_doc_fault_at(&item, "kind", "range is for headers only");
        }
        finish_matcher(builder, &item, &matchers[item.index]);
    }
    *count = items.count;
    return matchers;
}

/* -- upgrades -------------------------------------------------------------------------------- */

static const mb_doc_field upgrade_fields[] = {
    MB_DOC_FIELD("type", TEXT, mb_upgrade, type, .min = 1),
    MB_DOC_FIELD("enabled", BOOL, mb_upgrade, enabled),
    MB_DOC_FIELD("terminate", BOOL, mb_upgrade, terminate),
};

mb_upgrade *mb__config_upgrades(const mb_doc *doc, uint32_t *count) {
    mb_doc_items items;
    mb_doc item;
    mb_upgrade *upgrades = mb_doc_array(doc, &items, sizeof(*upgrades));
    while (mb_doc_next(&items, &item)) {
        MB_DOC_READ(&item, upgrade_fields, &upgrades[item.index]);
    }
    *count = items.count;
    return upgrades;
}
