/*
 * Intrusive doubly linked list: the node lives in the element, so linking never allocates and
 * unlinking needs no list. A circular list with a sentinel: `mb_list` is its own end.
 *
 *     mb_list_push_back(&pool->idle, &conn->node);
 *     mb_conn *conn = MB_LIST_ENTRY(mb_list_pop_front(&pool->idle), mb_conn, node);
 */
#ifndef MB_BASE_LIST_H
#define MB_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mb_list_node {
    struct mb_list_node *prev, *next; /* NULL while in no list (after init or remove) */
} mb_list_node;

typedef struct mb_list {
    mb_list_node head; /* sentinel: next is the first, prev the last */
} mb_list;

/* The element that holds `node` as its field `member`. `node` must not be NULL. */
#define MB_LIST_ENTRY(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

/* Walks nodes in order; the body may remove `it` (its successor is read before). */
#define MB_LIST_FOREACH(list, it)                                                                  \
    for (mb_list_node *it = (list)->head.next, *mb_next_of_##it = it->next; it != &(list)->head;   \
         it = mb_next_of_##it, mb_next_of_##it = it->next)

static inline void mb_list_init(mb_list *list) {
    list->head.prev = list->head.next = &list->head;
}

static inline void mb_list_node_init(mb_list_node *node) {
    node->prev = node->next = NULL;
}

static inline bool mb_list_is_linked(const mb_list_node *node) {
    return node->next != NULL;
}

static inline bool mb_list_is_empty(const mb_list *list) {
    return list->head.next == &list->head;
}

static inline void mb__list_link(mb_list_node *prev, mb_list_node *node) {
    node->prev = prev;
    node->next = prev->next;
    prev->next->prev = node;
    prev->next = node;
}

static inline void mb_list_push_front(mb_list *list, mb_list_node *node) {
    mb__list_link(&list->head, node);
}

static inline void mb_list_push_back(mb_list *list, mb_list_node *node) {
    mb__list_link(list->head.prev, node);
}

/* Idempotent: a node in no list stays so. */
static inline void mb_list_remove(mb_list_node *node) {
    if (node->next != NULL) {
        node->prev->next = node->next;
        node->next->prev = node->prev;
        mb_list_node_init(node);
    }
}

/* NULL when the list is empty. */
static inline mb_list_node *mb_list_front(const mb_list *list) {
    return mb_list_is_empty(list) ? NULL : list->head.next;
}

static inline mb_list_node *mb_list_back(const mb_list *list) {
    return mb_list_is_empty(list) ? NULL : list->head.prev;
}

/* The one behind `node`, or NULL at the end. */
static inline mb_list_node *mb_list_next(const mb_list *list, const mb_list_node *node) {
    return node->next == &list->head ? NULL : node->next;
}

static inline mb_list_node *mb_list_pop_front(mb_list *list) {
    mb_list_node *node = mb_list_front(list);
    if (node != NULL) {
        mb_list_remove(node);
    }
    return node;
}

static inline mb_list_node *mb_list_pop_back(mb_list *list) {
    mb_list_node *node = mb_list_back(list);
    if (node != NULL) {
        mb_list_remove(node);
    }
    return node;
}

/* Moves all of `from` to the end of `to`. */
static inline void mb_list_splice(mb_list *to, mb_list *from) {
    if (!mb_list_is_empty(from)) {
        from->head.next->prev = to->head.prev;
        from->head.prev->next = &to->head;
        to->head.prev->next = from->head.next;
        to->head.prev = from->head.prev;
        mb_list_init(from);
    }
}

#endif
