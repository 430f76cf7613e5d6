/*
 * The date header: text made once a second. RFC 9110 5.6.7, IMF-fixdate.
 */
#include "server/server_internal.h"
#include <stdio.h>
#include <time.h>

mb_slice mb__server_http_date(struct mb_server *server) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint64_t second = mb_loop_wall_us(server->worker.loop) / 1000000;
    if (second != server->date_second || server->date[0] == '\0') {
        time_t now = (time_t)second;
        struct tm tm;
        gmtime_r(&now, &tm);
        snprintf(server->date, sizeof(server->date), "%s, %02u %s %04u %02u:%02u:%02u GMT",
                 days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12],
                 (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                 (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        server->date_second = second;
    }
    return (mb_slice){server->date, 29};
}
