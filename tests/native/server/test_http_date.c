/*
 * The date header: IMF-fixdate of the present second. RFC 9110 5.6.7.
 */
#include "support/echo_server.h"

MB_TEST(every_answer_has_a_date_of_the_second) {
    echo_server server;
    echo_init(&server, NULL);
    echo_ask(&server, "GET /\nHost: h\n");
    CHECK_ECHO(&server, "date", "Sun, 06 Nov 1994 08:49:37 GMT");
    echo_ask(&server, "GET /\nHost: h\n");
    CHECK_ECHO(&server, "date", "Sun, 06 Nov 1994 08:49:39 GMT");
    server.clock.wall_us = 0;
    echo_ask(&server, "GET /\nHost: h\n");
    CHECK_ECHO(&server, "date", "Thu, 01 Jan 1970 00:00:00 GMT");
    server.clock.wall_us = 951782399999999u;
    echo_ask(&server, "GET /\nHost: h\n");
    CHECK_ECHO(&server, "date", "Mon, 28 Feb 2000 23:59:59 GMT");
    server.clock.wall_us = 951782400000000u;
    echo_ask(&server, "GET /\nHost: h\n");
    CHECK_ECHO(&server, "date", "Tue, 29 Feb 2000 00:00:00 GMT");
    echo_fini(&server);
}

MB_TEST(the_first_second_of_all_has_a_date) {
    echo_server server;
    echo_init(&server, NULL);
    server.clock.wall_us = 0;
    echo_ask(&server, "GET /\nHost: h\n");
    CHECK_ECHO(&server, "date", "Thu, 01 Jan 1970 00:00:00 GMT");
    echo_fini(&server);
}
