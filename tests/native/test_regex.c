/*
 * Regular expressions as routes use them: full match, substitution, refusals with a reason. Not
 * in base/, whose tests run on aarch64 too: RE2 isn't there for that.
 */
#include "base/regex.h"

#include "mbtest.h"

#define LIT(text) MB_SLICE_LIT(text)

typedef struct fixture {
    mbtest_alloc *memory;
    mb_text text;
    mb_regex *regex;
} fixture;

static void set_up(fixture *f, mb_slice pattern) {
    f->memory = mbtest_failing_alloc(0);
    f->regex = NULL;
    mb_text_init(&f->text, &f->memory->allocator, SIZE_MAX);
    MB_CHECK_EQ_INT(mb_regex_new(pattern, &f->text, &f->regex), MB_OK);
}

static void tear_down(fixture *f) {
    mb_regex_free(f->regex);
    mb_text_fini(&f->text);
    mbtest_alloc_free(f->memory);
}

MB_TEST(only_the_whole_text_matches) {
    fixture f;
    set_up(&f, LIT("/user/[0-9]+"));
    MB_CHECK(mb_regex_match(f.regex, LIT("/user/42")));
    MB_CHECK(!mb_regex_match(f.regex, LIT("/user/42/")));
    MB_CHECK(!mb_regex_match(f.regex, LIT("x/user/42")));
    MB_CHECK(!mb_regex_match(f.regex, (mb_slice){NULL, 0}));
    tear_down(&f);
    set_up(&f, LIT("a|ab"));
    MB_CHECK(mb_regex_match(f.regex, LIT("ab")));
    tear_down(&f);
    set_up(&f, (mb_slice){NULL, 0});
    MB_CHECK(mb_regex_match(f.regex, (mb_slice){NULL, 0}));
    tear_down(&f);
}

MB_TEST(bad_and_greedy_patterns_are_refused_with_a_reason) {
    static const mb_slice refused[] = {
        LIT("("),   LIT("a{2000}"), LIT("(?=a)"), LIT("[z-a]"), LIT("((a{100}){100}){100}"),
        LIT("\xff")};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        mbtest_alloc *memory = mbtest_failing_alloc(0);
        mb_text error;
        mb_regex *regex = NULL;
        mb_text_init(&error, &memory->allocator, SIZE_MAX);
        MB_CHECK_EQ_INT(mb_regex_new(refused[i], &error, &regex), MB_EINVAL);
        MB_CHECK(error.len > 5);
        MB_CHECK(regex == NULL);
        mb_text_fini(&error);
        mbtest_alloc_free(memory);
    }
}

static void check_replace(mb_slice pattern, mb_slice text, mb_slice substitution, int count,
                          const char *want) {
    fixture f;
    set_up(&f, pattern);
    MB_CHECK_EQ_INT(mb_regex_check_substitution(f.regex, substitution, &f.text), MB_OK);
    MB_CHECK_EQ_INT(mb_regex_replace(f.regex, text, substitution, &f.text), count);
    MB_CHECK_EQ_SLICE(mb_text_view(&f.text), ((mb_slice){want, strlen(want)}));
    tear_down(&f);
}

MB_TEST(every_match_is_replaced_with_its_groups) {
    check_replace(LIT("^/service/([^/]+)(/.*)$"), LIT("/service/foo/v1/api"),
                  LIT("\\2/instance/\\1"), 1, "/v1/api/instance/foo");
    check_replace(LIT("one"), LIT("/xxx/one/yyy/one/zzz"), LIT("two"), 2, "/xxx/two/yyy/two/zzz");
    check_replace(LIT("(?i)/xxx/"), LIT("/aaa/XxX/bbb"), LIT("/yyy/"), 1, "/aaa/yyy/bbb");
    check_replace(LIT("(a)|(b)"), LIT("ab"), LIT("[\\1\\2]"), 2, "[a][b]");
    check_replace(LIT("x"), LIT("abc"), LIT("y"), 0, "abc");
    check_replace(LIT("b"), LIT("abc"), LIT("\\\\\\0\\\\"), 1, "a\\b\\c");
    check_replace(LIT("b"), LIT("abc"), LIT(""), 1, "ac");
}

MB_TEST(empty_matches_are_replaced_between_characters) {
    check_replace(LIT("x*"), LIT("abc"), LIT("-"), 4, "-a-b-c-");
    check_replace(LIT("b*"), LIT("abbc"), LIT("-"), 3, "-a-c-");
    check_replace(LIT("^"), LIT("abc"), LIT("-"), 1, "-abc");
    check_replace(LIT("$"), LIT("abc"), LIT("-"), 1, "abc-");
    check_replace(LIT(""), (mb_slice){NULL, 0}, LIT("-"), 1, "-");
    check_replace(LIT("x*"), LIT("\xc3\xa4\xe2\x82\xac"), LIT("-"), 3, "-\xc3\xa4-\xe2\x82\xac-");
}

MB_TEST(substitutions_that_name_nothing_are_refused) {
    static const mb_slice refused[] = {LIT("\\2"), LIT("a\\"), LIT("\\x"), LIT("\\1\\9")};
    fixture f;
    set_up(&f, LIT("(a)"));
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        mb_text_clear(&f.text);
        MB_CHECK_EQ_INT(mb_regex_check_substitution(f.regex, refused[i], &f.text), MB_EINVAL);
        MB_CHECK(f.text.len > 10);
        MB_CHECK_EQ_INT(mb_regex_replace(f.regex, LIT("a"), refused[i], &f.text), MB_EINVAL);
    }
    tear_down(&f);
}

MB_TEST(replacement_that_does_not_fit_says_so) {
    fixture f;
    set_up(&f, LIT("a"));
    f.text.limit = 3;
    MB_CHECK_EQ_INT(mb_regex_replace(f.regex, LIT("aaaa"), LIT("bb"), &f.text), MB_ELIMIT);
    tear_down(&f);
    set_up(&f, LIT("a"));
    f.memory->fail_at = f.memory->requests + 1;
    MB_CHECK_EQ_INT(mb_regex_replace(f.regex, LIT("aaaa"), LIT("bb"), &f.text), MB_ENOMEM);
    tear_down(&f);
}
