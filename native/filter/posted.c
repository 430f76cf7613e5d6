/*
 * See posted.h.
 */
#include "filter/posted.h"

#include "base/alloc.h"
#include <string.h>

static void run(mb_post *post) {
    mb_posted *posted = (mb_posted *)post;
    posted->deliver(posted);
    mb_free(posted->worker->allocator, posted, posted->bytes);
}

int mb__posted_send(mb_worker *worker, void (*deliver)(const mb_posted *posted), uint64_t id,
                    const char *name, uint64_t event) {
    size_t length = strlen(name) + 1;
    size_t bytes = sizeof(mb_posted) + length;
    mb_posted *posted = mb_alloc(worker->allocator, bytes);
    if (posted == NULL) {
        return MB_ENOMEM;
    }
    *posted = (mb_posted){.post = {.run = run},
                          .worker = worker,
                          .deliver = deliver,
                          .id = id,
                          .event = event,
                          .bytes = bytes};
    memcpy(posted->name, name, length);
    mb_loop_post(worker->loop, &posted->post);
    return MB_OK;
}
