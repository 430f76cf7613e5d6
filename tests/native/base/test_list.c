/*
 * The intrusive list: order, removal while walking, idempotent removal.
 */
#include "base/list.h"

#include "mbtest.h"

typedef struct item {
    int value;
    mb_list_node node;
} item;

static void check_order(const mb_list *list, const char *want) {
    char got[16];
    size_t count = 0;
    MB_LIST_FOREACH(list, it) {
        got[count++] = (char)MB_LIST_ENTRY(it, item, node)->value;
    }
    MB_CHECK_EQ_SLICE(((mb_slice){got, count}), ((mb_slice){want, strlen(want)}));
}

MB_TEST(elements_come_out_in_order_from_both_ends) {
    mb_list list;
    item items[] = {{.value = 'a'}, {.value = 'b'}, {.value = 'c'}};
    mb_list_init(&list);
    MB_CHECK(mb_list_is_empty(&list));
    MB_CHECK(mb_list_front(&list) == NULL && mb_list_back(&list) == NULL);
    mb_list_push_back(&list, &items[1].node);
    mb_list_push_back(&list, &items[2].node);
    mb_list_push_front(&list, &items[0].node);
    check_order(&list, "abc");
    MB_CHECK(mb_list_next(&list, &items[0].node) == &items[1].node);
    MB_CHECK(mb_list_next(&list, &items[2].node) == NULL);
    MB_CHECK(mb_list_pop_back(&list) == &items[2].node);
    MB_CHECK(mb_list_pop_front(&list) == &items[0].node);
    MB_CHECK(mb_list_pop_front(&list) == &items[1].node);
    MB_CHECK(mb_list_pop_front(&list) == NULL && mb_list_pop_back(&list) == NULL);
}

MB_TEST(removal_is_idempotent_and_allowed_while_walking) {
    mb_list list;
    item items[4];
    mb_list_init(&list);
    for (int i = 0; i < 4; i++) {
        items[i].value = 'a' + i;
        mb_list_node_init(&items[i].node);
        mb_list_remove(&items[i].node);
        MB_CHECK(!mb_list_is_linked(&items[i].node));
        mb_list_push_back(&list, &items[i].node);
        MB_CHECK(mb_list_is_linked(&items[i].node));
    }
    MB_LIST_FOREACH(&list, it) {
        if (MB_LIST_ENTRY(it, item, node)->value % 2 == 0) {
            mb_list_remove(it);
            mb_list_remove(it);
        }
    }
    check_order(&list, "ac");
}

MB_TEST(splice_moves_everything_to_the_end) {
    mb_list to;
    mb_list from;
    item items[] = {{.value = 'a'}, {.value = 'b'}, {.value = 'c'}};
    mb_list_init(&to);
    mb_list_init(&from);
    mb_list_splice(&to, &from);
    MB_CHECK(mb_list_is_empty(&to));
    mb_list_push_back(&to, &items[0].node);
    mb_list_push_back(&from, &items[1].node);
    mb_list_push_back(&from, &items[2].node);
    mb_list_splice(&to, &from);
    check_order(&to, "abc");
    MB_CHECK(mb_list_is_empty(&from));
    mb_list_remove(&items[2].node);
    check_order(&to, "ab");
}
