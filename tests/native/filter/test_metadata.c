/* Dynamic metadata: what is set is read back, whole namespaces, bounds. */
#include "filter/metadata.h"

#include "base/msgpack.h"
#include "support/filter_rig.h"
#include "support/json_document.h"

#define SPACE MB_SLICE_LIT("my.filter")

static void set(filter_rig *rig, const char *key, const char *json, int want) {
    mb_text value;
    json_document(&value, json, NULL);
    MB_CHECK_EQ_INT(
        mb_metadata_set(rig->stream, SPACE, (mb_slice){key, strlen(key)}, mb_text_view(&value)),
        want);
    mb_text_fini(&value);
}

static void check(filter_rig *rig, const char *key, const char *want) {
    mb_slice value;
    mb_text json;
    MB_CHECK_EQ_INT(mb_metadata_get(rig->stream, SPACE, (mb_slice){key, strlen(key)}, &value),
                    MB_OK);
    mb_text_init(&json, &rig->memory->allocator, SIZE_MAX);
    MB_CHECK_EQ_INT(mb_msgpack_to_json(value, &json), MB_OK);
    MB_CHECK_EQ_SLICE(mb_text_view(&json), ((mb_slice){want, strlen(want)}));
    mb_text_fini(&json);
}

MB_TEST(values_are_kept_replaced_and_read_as_a_map) {
    filter_rig rig;
    mb_slice value;
    filter_rig_init(&rig, 0);
    MB_CHECK_EQ_INT(mb_metadata_get(rig.stream, SPACE, MB_SLICE_LIT("a"), &value), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_metadata_get(rig.stream, SPACE, MB_SLICE_LIT(""), &value), MB_ENOTFOUND);
    set(&rig, "a", "1", MB_OK);
    check(&rig, "", "{\"a\":1}");
    set(&rig, "b", "'a text that is longer than its room will be at first'", MB_OK);
    set(&rig, "a", "[1,{'x':null}]", MB_OK);
    check(&rig, "a", "[1,{\"x\":null}]");
    set(&rig, "b", "2", MB_OK);
    check(&rig, "", "{\"a\":[1,{\"x\":null}],\"b\":2}");
    MB_CHECK_EQ_INT(mb_metadata_get(rig.stream, SPACE, MB_SLICE_LIT("c"), &value), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_metadata_get(rig.stream, MB_SLICE_LIT("other"), MB_SLICE_LIT("a"), &value),
                    MB_ENOTFOUND);
    filter_rig_fini(&rig);
}

MB_TEST(all_namespaces_are_read_as_one_map) {
    filter_rig rig;
    mb_slice value, all = {NULL, 0};
    mb_text json, one;
    filter_rig_init(&rig, 0);
    MB_CHECK_EQ_INT(mb_metadata_get(rig.stream, all, all, &value), MB_ENOTFOUND);
    set(&rig, "a", "1", MB_OK);
    json_document(&one, "'x'", NULL);
    MB_CHECK_EQ_INT(
        mb_metadata_set(rig.stream, MB_SLICE_LIT("other"), MB_SLICE_LIT("b"), mb_text_view(&one)),
        MB_OK);
    mb_text_fini(&one);
    MB_CHECK_EQ_INT(mb_metadata_get(rig.stream, all, all, &value), MB_OK);
    mb_text_init(&json, &rig.memory->allocator, SIZE_MAX);
    MB_CHECK_EQ_INT(mb_msgpack_to_json(value, &json), MB_OK);
    MB_CHECK_EQ_SLICE(mb_text_view(&json),
                      MB_SLICE_LIT("{\"other\":{\"b\":\"x\"},\"my.filter\":{\"a\":1}}"));
    mb_text_fini(&json);
    filter_rig_fini(&rig);
}

MB_TEST(namespace_is_replaced_as_a_whole) {
    filter_rig rig;
    filter_rig_init(&rig, 0);
    set(&rig, "old", "1", MB_OK);
    set(&rig, "", "{'new':'x','more':{'y':2}}", MB_OK);
    check(&rig, "", "{\"new\":\"x\",\"more\":{\"y\":2}}");
    set(&rig, "", "{}", MB_OK);
    check(&rig, "", "{}");
    filter_rig_fini(&rig);
}

MB_TEST(what_is_no_value_or_no_namespace_is_refused) {
    filter_rig rig;
    filter_rig_init(&rig, 0);
    set(&rig, "a", "{'$raw':'c1'}", MB_EINVAL);
    set(&rig, "a", "{'$raw':'0101'}", MB_EINVAL);
    set(&rig, "a", "{'$raw':'93'}", MB_EINVAL);
    set(&rig, "", "1", MB_EINVAL);
    set(&rig, "", "{'':1}", MB_EINVAL);
    set(&rig, "", "{'$raw':'810101'}", MB_EINVAL);
    MB_CHECK_EQ_INT(
        mb_metadata_set(rig.stream, MB_SLICE_LIT(""), MB_SLICE_LIT("a"), MB_SLICE_LIT("\x01")),
        MB_EINVAL);
    filter_rig_fini(&rig);
}

MB_TEST(value_read_before_may_be_set_again) {
    filter_rig rig;
    mb_slice value;
    filter_rig_init(&rig, 0);
    set(&rig, "a", "'abc'", MB_OK);
    MB_CHECK_EQ_INT(mb_metadata_get(rig.stream, SPACE, MB_SLICE_LIT("a"), &value), MB_OK);
    MB_CHECK_EQ_INT(mb_metadata_set(rig.stream, SPACE, MB_SLICE_LIT("a"), value), MB_OK);
    check(&rig, "a", "\"abc\"");
    filter_rig_fini(&rig);
}

MB_TEST(memory_of_a_stream_is_bounded_and_counters_take_none) {
    filter_rig rig;
    static char bytes[60000];
    filter_rig_init(&rig, 0);
    memset(bytes, 'x', sizeof(bytes));
    memcpy(bytes, "\xc5\xea\x5d", 3); /* bin 16 of all the rest */
    for (int i = 0; i < 100000; i++) {
        MB_CHECK_EQ_INT(
            mb_metadata_set(rig.stream, SPACE, MB_SLICE_LIT("n"), MB_SLICE_LIT("\xcd\x01\x00")),
            MB_OK);
    }
    int status = MB_OK;
    int added = 0;
    for (; added < 10 && status == MB_OK; added++) {
        char key[2] = {(char)('a' + added), '\0'};
        status = mb_metadata_set(rig.stream, SPACE, (mb_slice){key, 1},
                                 (mb_slice){bytes, sizeof(bytes)});
    }
    MB_CHECK_EQ_INT(status, MB_ELIMIT);
    MB_CHECK_EQ_INT(added, 5);
    check(&rig, "n", "256");
    filter_rig_fini(&rig);
}

MB_TEST(every_failing_allocation_leaves_what_was_there) {
    static char bytes[3000];
    memcpy(bytes, "\xc5\x0b\xb5", 3);
    for (size_t n = 1, failed = 1; failed; n++) {
        filter_rig rig;
        mb_slice value;
        if (!filter_rig_init(&rig, n)) {
            continue;
        }
        int status = mb_metadata_set(rig.stream, SPACE, MB_SLICE_LIT("a"), MB_SLICE_LIT("\x01"));
        if (status == MB_OK) {
            status = mb_metadata_set(rig.stream, SPACE, MB_SLICE_LIT("a"),
                                     (mb_slice){bytes, sizeof(bytes)});
            MB_CHECK_EQ_INT(mb_metadata_get(rig.stream, SPACE, MB_SLICE_LIT("a"), &value), MB_OK);
            MB_CHECK_EQ_INT(value.len, status == MB_OK ? sizeof(bytes) : 1);
        }
        if (status == MB_OK) {
            status = mb_metadata_get(rig.stream, SPACE, MB_SLICE_LIT(""), &value);
        }
        failed = rig.memory->requests >= n;
        MB_CHECK_EQ_INT(status, failed ? MB_ENOMEM : MB_OK);
        filter_rig_fini(&rig);
    }
}
