/* The HTTP/2 codec towards clients: frames written by hand in, events and frames out. */
#include "../mbtest.h"

#include "../support/h2_rig.h"
#include "base/alloc.h"
#include <stdlib.h>

static h2_rig *server(void) {
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, true, NULL);

    MB_CHECK(rig != NULL);
    return rig;
}

MB_TEST(a_request_is_read_and_answered) {
    h2_rig *rig = server();
    h2_bytes *bytes = h2_bytes_new();

    h2_put_preface(bytes);
    h2_put_get(bytes, 1, H2_END_STREAM, "/a?b=c");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 GET example.com /a?b=c https end\n");
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "SETTINGS 4; SETTINGS ack; WINDOW_UPDATE 0 983041");
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(rig, 1), 200, false), MB_OK);
    MB_CHECK_EQ_INT(h2_flow_send(h2_rig_flow(rig, 1), MB_SLICE_LIT("hello"), true), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "HEADERS 1; DATA 1 5 end");
    MB_CHECK(h2_rig_flow(rig, 1)->stream.state == NULL);
    h2_rig_free(rig);
    free(bytes);
}
