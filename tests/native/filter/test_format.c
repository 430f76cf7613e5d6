/* Formats: operators as text and in JSON; what is expected was written by Envoy 1.40. */
#include "filter/format.h"

#include "base/slice.h"
#include "filter/metadata.h"
#include "support/filter_rig.h"
#include "support/json_document.h"

#include <stdio.h>

/* Formats one operator given as the inside of its JSON. */
static void check(filter_rig *rig, const char *operator_json, const char *want) {
    char json[300];
    mb_text out;
    snprintf(json, sizeof(json), "[{'kind':'operator',%s}]", operator_json);
    mb_text_init(&out, &rig->memory->allocator, SIZE_MAX);
    mb_format_append(filter_rig_format(rig, json), rig->stream, &out);
    MB_CHECK_EQ_INT(out.status, MB_OK);
    MB_CHECK_EQ_SLICE(mb_text_view(&out), mb_slice_from_c(want));
    mb_text_fini(&out);
}

static const mb_address *address(filter_rig *rig, const char *host, uint16_t port) {
    mb_address parsed;
    MB_CHECK_EQ_INT(mb_address_parse(mb_slice_from_c(host), port, &parsed), MB_OK);
    return mb_stream_keep_address(rig->stream, &parsed);
}

/* A request that an upstream answered. */
static void fill(filter_rig *rig) {
    mb_stream_info *info = &rig->stream->info;
    filter_rig_get(rig, "/any?a=%31%20x+y&b&c=hello");
    filter_rig_header(rig, MB_REQUEST, "user-agent", "curl");
    filter_rig_header(rig, MB_REQUEST, "x-m", "one");
    filter_rig_header(rig, MB_REQUEST, "x-m", "two");
    filter_rig_header(rig, MB_REQUEST, "x-empty", "");
    filter_rig_header(rig, MB_REQUEST, "x-request-id", "id-1");
    filter_rig_header(rig, MB_RESPONSE, "x-up", "a");
    mb_headers_add(&rig->stream->trailers[MB_RESPONSE], MB_SLICE_LIT("x-end"), MB_SLICE_LIT("t"));
    info->protocol = "HTTP/1.1";
    info->response_code = 503;
    info->flags = MB_FLAG_UPSTREAM_TERMINATION | MB_FLAG_UPSTREAM_OVERFLOW;
    info->details = MB_SLICE_LIT("via up stream");
    info->upstream_failure = MB_SLICE_LIT("delayed connect error: 111");
    info->cluster = MB_SLICE_LIT("up");
    info->bytes_received = 7;
    info->bytes_sent = 18446744073709551615u;
    info->attempts = 1;
    info->connection_id = 49;
    info->request_end_us = info->start_us + 1999;
    info->upstream_start_us = info->start_us + 3000;
    info->upstream_headers_us = info->start_us + 5000;
    info->end_us = info->start_us + 12345;
    info->remote = address(rig, "192.0.2.1", 1234);
    info->direct_remote = address(rig, "192.0.2.2", 1235);
    info->local = address(rig, "::1", 80);
    info->upstream_remote = address(rig, "192.0.2.3", 9000);
    info->upstream_local = address(rig, "192.0.2.4", 1237);
    rig->stream->choice.name = MB_SLICE_LIT("my-route");
}

typedef struct row {
    const char *op, *text, *json;
} row;

static void check_rows(filter_rig *rig, const row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char json[200];
        check(rig, rows[i].op, rows[i].text);
        snprintf(json, sizeof(json), "%s,'encode':'json_value'", rows[i].op);
        check(rig, json, rows[i].json);
    }
}
#define CHECK_ROWS(rig, rows) check_rows((rig), (rows), sizeof(rows) / sizeof((rows)[0]))

MB_TEST(operators_of_an_answered_request) {
    static const row rows[] = {
        {"'op':'REQ','arg':':method'", "GET", "\"GET\""},
        {"'op':'REQ','arg':'x-none','alt_arg':':path'", "/any?a=%31%20x+y&b&c=hello",
         "\"/any?a=%31%20x+y&b&c=hello\""},
        {"'op':'REQ','arg':'x-m'", "one", "\"one\""},
        {"'op':'REQ','arg':'x-m','max_bytes':2", "on", "\"on\""},
        {"'op':'REQ','arg':'x-empty','alt_arg':'x-m'", "", "\"\""},
        {"'op':'REQ_WITHOUT_QUERY','arg':':path'", "/any", "\"/any\""},
        {"'op':'RESP','arg':'x-up'", "a", "\"a\""},
        {"'op':'TRAILER','arg':'x-end'", "t", "\"t\""},
        {"'op':'QUERY_PARAM','arg':'a'", "1 x+y", "\"1 x+y\""},
        {"'op':'QUERY_PARAM','arg':'b'", "", "\"\""},
        {"'op':'QUERY_PARAM','arg':'c','max_bytes':2", "he", "\"he\""},
        {"'op':'PROTOCOL'", "HTTP/1.1", "\"HTTP/1.1\""},
        {"'op':'RESPONSE_CODE'", "503", "503"},
        {"'op':'RESPONSE_CODE_DETAILS'", "via_up_stream", "\"via_up_stream\""},
        {"'op':'RESPONSE_FLAGS'", "UO,UC", "\"UO,UC\""},
        {"'op':'RESPONSE_FLAGS_LONG'", "UpstreamOverflow,UpstreamConnectionTermination",
         "\"UpstreamOverflow,UpstreamConnectionTermination\""},
        {"'op':'BYTES_RECEIVED'", "7", "7"},
        {"'op':'BYTES_SENT'", "18446744073709551615", "18446744073709551615"},
        {"'op':'DURATION'", "12", "12"},
        {"'op':'REQUEST_DURATION'", "1", "1"},
        {"'op':'REQUEST_TX_DURATION'", "3", "3"},
        {"'op':'RESPONSE_DURATION'", "5", "5"},
        {"'op':'RESPONSE_TX_DURATION'", "7", "7"},
        {"'op':'UPSTREAM_HOST'", "192.0.2.3:9000", "\"192.0.2.3:9000\""},
        {"'op':'UPSTREAM_CLUSTER'", "up", "\"up\""},
        {"'op':'UPSTREAM_CLUSTER_RAW'", "up", "\"up\""},
        {"'op':'UPSTREAM_REQUEST_ATTEMPT_COUNT'", "1", "1"},
        {"'op':'UPSTREAM_TRANSPORT_FAILURE_REASON'", "delayed_connect_error:_111",
         "\"delayed_connect_error:_111\""},
        {"'op':'UPSTREAM_LOCAL_ADDRESS'", "192.0.2.4:1237", "\"192.0.2.4:1237\""},
        {"'op':'UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT'", "192.0.2.3", "\"192.0.2.3\""},
        {"'op':'UPSTREAM_REMOTE_PORT'", "9000", "9000"},
        {"'op':'DOWNSTREAM_REMOTE_ADDRESS'", "192.0.2.1:1234", "\"192.0.2.1:1234\""},
        {"'op':'DOWNSTREAM_DIRECT_REMOTE_ADDRESS'", "192.0.2.2:1235", "\"192.0.2.2:1235\""},
        {"'op':'DOWNSTREAM_LOCAL_ADDRESS'", "[::1]:80", "\"[::1]:80\""},
        {"'op':'DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT'", "::1", "\"::1\""},
        {"'op':'DOWNSTREAM_LOCAL_PORT'", "80", "80"},
        {"'op':'ROUTE_NAME'", "my-route", "\"my-route\""},
        {"'op':'CONNECTION_ID'", "49", "49"},
        {"'op':'STREAM_ID'", "id-1", "\"id-1\""},
        {"'op':'START_TIME'", "2018-12-18T23:59:23.123Z", "\"2018-12-18T23:59:23.123Z\""},
        {"'op':'EMIT_TIME','arg':'%s.%6f'", "1545177563.123456", "\"1545177563.123456\""},
    };
    filter_rig rig;
    filter_rig_init(&rig, 0);
    fill(&rig);
    CHECK_ROWS(&rig, rows);
    filter_rig_fini(&rig);
}

MB_TEST(operators_of_a_request_that_nothing_is_known_of) {
    static const row rows[] = {
        {"'op':'REQ','arg':'x-m','empty':'-'", "-", "null"},
        {"'op':'REQ','arg':'x-m','alt_arg':':path','empty':''", "", "null"},
        {"'op':'TRAILER','arg':'x-m','empty':'-'", "-", "null"},
        {"'op':'QUERY_PARAM','arg':'a','empty':'-'", "-", "null"},
        {"'op':'PROTOCOL','empty':'-'", "-", "null"},
        {"'op':'RESPONSE_CODE','empty':'-'", "0", "0"},
        {"'op':'RESPONSE_CODE_DETAILS','empty':'-'", "-", "null"},
        {"'op':'RESPONSE_FLAGS','empty':''", "-", "\"-\""},
        {"'op':'RESPONSE_FLAGS_LONG','empty':''", "-", "\"-\""},
        {"'op':'REQUEST_DURATION','empty':'-'", "-", "null"},
        {"'op':'REQUEST_TX_DURATION','empty':'-'", "-", "null"},
        {"'op':'RESPONSE_DURATION','empty':'-'", "-", "null"},
        {"'op':'RESPONSE_TX_DURATION','empty':'-'", "-", "null"},
        {"'op':'DURATION','empty':'-'", "0", "0"},
        {"'op':'UPSTREAM_HOST','empty':'-'", "-", "null"},
        {"'op':'UPSTREAM_REMOTE_PORT','empty':'-'", "-", "null"},
        {"'op':'UPSTREAM_CLUSTER','empty':'-'", "-", "null"},
        {"'op':'UPSTREAM_REQUEST_ATTEMPT_COUNT','empty':'-'", "0", "0"},
        {"'op':'CONNECTION_TERMINATION_DETAILS','empty':'-'", "-", "null"},
        {"'op':'DYNAMIC_METADATA','arg':'x:y','empty':'-'", "-", "null"},
        {"'op':'STREAM_ID','empty':'-'", "-", "null"},
        {"'op':'ROUTE_NAME','empty':'-'", "-", "null"},
    };
    filter_rig rig;
    filter_rig_init(&rig, 0);
    CHECK_ROWS(&rig, rows);
    filter_rig_fini(&rig);
}

MB_TEST(direct_local_address_is_that_of_the_socket) {
    static const row rows[] = {
        {"'op':'DOWNSTREAM_LOCAL_ADDRESS'", "[::1]:80", "\"[::1]:80\""},
        {"'op':'DOWNSTREAM_DIRECT_LOCAL_ADDRESS'", "192.0.2.5:8080", "\"192.0.2.5:8080\""},
        {"'op':'DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT'", "192.0.2.5", "\"192.0.2.5\""},
        {"'op':'DOWNSTREAM_DIRECT_LOCAL_PORT'", "8080", "8080"},
    };
    filter_rig rig;
    mb_origin origin = {.refs = 1};
    filter_rig_init(&rig, 0);
    fill(&rig);
    MB_CHECK_EQ_INT(mb_address_parse(MB_SLICE_LIT("192.0.2.5"), 8080, &origin.direct_local), MB_OK);
    rig.stream->info.origin = &origin;
    CHECK_ROWS(&rig, rows);
    filter_rig_fini(&rig);
}

MB_TEST(grpc_status_comes_from_trailers_then_the_head_then_the_http_status) {
    static const row unset = {"'op':'GRPC_STATUS'", "", "null"};
    static const row inferred[] = {{"'op':'GRPC_STATUS'", "Unavailable", "\"Unavailable\""},
                                   {"'op':'GRPC_STATUS_NUMBER'", "14", "14"}};
    static const row head[] = {
        {"'op':'GRPC_STATUS','arg':'SNAKE_STRING'", "CANCELLED", "\"CANCELLED\""},
        {"'op':'GRPC_STATUS','arg':'CAMEL_STRING'", "Canceled", "\"Canceled\""}};
    static const row trailers[] = {{"'op':'GRPC_STATUS'", "99", "\"99\""},
                                   {"'op':'GRPC_STATUS_NUMBER'", "99", "99"}};
    static const row malformed[] = {{"'op':'GRPC_STATUS'", "-1", "\"-1\""},
                                    {"'op':'GRPC_STATUS_NUMBER'", "-1", "-1"}};
    mb_slice status = MB_SLICE_LIT("grpc-status");
    filter_rig rig;
    filter_rig_init(&rig, 0);
    filter_rig_get(&rig, "/a.B/C");
    rig.stream->info.response_code = 503;
    check_rows(&rig, &unset, 1); /* no request of gRPC */
    filter_rig_header(&rig, MB_REQUEST, "content-type", "application/grpc+proto");
    check_rows(&rig, inferred, 2);
    filter_rig_header(&rig, MB_RESPONSE, "grpc-status", "1");
    check_rows(&rig, head, 2);
    mb_headers_add(&rig.stream->trailers[MB_RESPONSE], status, MB_SLICE_LIT("99"));
    check_rows(&rig, trailers, 2);
    mb_headers_set(&rig.stream->trailers[MB_RESPONSE], status, MB_SLICE_LIT("x"));
    check_rows(&rig, malformed, 2);
    filter_rig_fini(&rig);
}

MB_TEST(times_are_written_as_by_strftime_with_fractions) {
    static const char *const rows[][2] = {
        {"%Y/%m/%dT%H:%M:%S.%3f %6f %9f %f %1f %5f",
         "2018/12/18T23:59:23.123 123456 123456000 123456000 1 12345"},
        {"%s %z %Z %j %%", "1545177563 +0000 UTC 352 %"},
        {"%E3S %E*S %E6f", "23.123 23.123456 123456"},
        {"%-d %e", "18 18"},
        {"", "2018-12-18T23:59:23.123Z"},
        {"plain", "plain"},
        {"end%", "end%"},
    };
    filter_rig rig;
    filter_rig_init(&rig, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char json[200];
        snprintf(json, sizeof(json), "'op':'START_TIME','arg':'%s'", rows[i][0]);
        check(&rig, json, rows[i][1]);
    }
    rig.stream->info.start_wall_us = 0;
    check(&rig, "'op':'START_TIME','arg':'%E*S'", "00");
    filter_rig_fini(&rig);
}

MB_TEST(text_is_not_escaped_and_json_is) {
    filter_rig rig;
    filter_rig_init(&rig, 0);
    filter_rig_header(&rig, MB_REQUEST, "x-a", "q\"u\\\tote \xe4\xff\xc3\xa4");
    filter_rig_header(&rig, MB_REQUEST, "x-b", "gr\xc3\xbc\xc3\x9f");
    check(&rig, "'op':'REQ','arg':'x-a'", "q\"u\\\tote \xe4\xff\xc3\xa4");
    check(&rig, "'op':'REQ','arg':'x-a','encode':'json_value'",
          "\"q\\u0022u\\u005c\\u0009ote \\u00e4\\u00ff\\u00c3\\u00a4\"");
    check(&rig, "'op':'REQ','arg':'x-a','encode':'json_string'",
          "q\\u0022u\\u005c\\u0009ote \\u00e4\\u00ff\\u00c3\\u00a4");
    check(&rig, "'op':'REQ','arg':'x-b','encode':'json_value'", "\"gr\xc3\xbc\xc3\x9f\"");
    /* Cut in the middle of a character: Latin-1 from there on. */
    check(&rig, "'op':'REQ','arg':'x-b','max_bytes':3,'encode':'json_value'", "\"gr\\u00c3\"");
    filter_rig_fini(&rig);
}

MB_TEST(metadata_is_text_or_json_of_its_type) {
    filter_rig rig;
    mb_text value;
    filter_rig_init(&rig, 0);
    json_document(&value, "{'s':'a\\'b','n':7,'o':{'i':'bar','l':[1,2]}}", NULL);
    MB_CHECK_EQ_INT(mb_metadata_set(rig.stream, MB_SLICE_LIT("com.test"), MB_SLICE_LIT("k"),
                                    mb_text_view(&value)),
                    MB_OK);
    mb_text_fini(&value);
    static const row rows[] = {
        {"'op':'DYNAMIC_METADATA','arg':'com.test:k:s'", "a'b", "\"a'b\""},
        {"'op':'DYNAMIC_METADATA','arg':'com.test:k:s','max_bytes':1", "a", "\"a\""},
        {"'op':'DYNAMIC_METADATA','arg':'com.test:k:n'", "7", "7"},
        {"'op':'DYNAMIC_METADATA','arg':'com.test:k:o'", "{\"i\":\"bar\",\"l\":[1,2]}",
         "{\"i\":\"bar\",\"l\":[1,2]}"},
        {"'op':'DYNAMIC_METADATA','arg':'com.test:k:o:i'", "bar", "\"bar\""},
        {"'op':'DYNAMIC_METADATA','arg':'com.test:k:o:x','empty':'-'", "-", "null"},
        {"'op':'DYNAMIC_METADATA','arg':'com.test:k:s:x','empty':'-'", "-", "null"},
        {"'op':'DYNAMIC_METADATA','arg':'com.other','empty':'-'", "-", "null"},
    };
    CHECK_ROWS(&rig, rows);
    check(&rig, "'op':'DYNAMIC_METADATA','arg':'com.test'",
          "{\"k\":{\"s\":\"a'b\",\"n\":7,\"o\":{\"i\":\"bar\",\"l\":[1,2]}}}");
    check(&rig, "'op':'DYNAMIC_METADATA','arg':'com.test:k:o:l','encode':'json_string'", "[1,2]");
    filter_rig_fini(&rig);
}

MB_TEST(literals_are_told_from_formats) {
    filter_rig rig;
    mb_slice text;
    filter_rig_init(&rig, 0);
    MB_CHECK(mb_format_literal(filter_rig_format(&rig, "[]"), &text));
    MB_CHECK_EQ_INT(text.len, 0);
    MB_CHECK(
        mb_format_literal(filter_rig_format(&rig, "[{'kind':'literal','text':'a%b'}]"), &text));
    MB_CHECK_EQ_LIT(text, "a%b");
    MB_CHECK(mb_format_literal(
        filter_rig_format(&rig, "[{'kind':'operator','op':'HOSTNAME','empty':'-'}]"), &text));
    MB_CHECK(text.len > 0);
    MB_CHECK(!mb_format_literal(
        filter_rig_format(&rig, "[{'kind':'literal','text':'a'},{'kind':'literal','text':'b'}]"),
        &text));
    MB_CHECK(!mb_format_literal(filter_rig_format(&rig, "[{'kind':'operator','op':'PROTOCOL'}]"),
                                &text));
    filter_rig_fini(&rig);
}

MB_TEST(what_is_no_format_is_refused_with_a_reason) {
    static const char *const bad[] = {
        "1",
        "[1]",
        "[{}]",
        "[{'kind':'other'}]",
        "[{'kind':'literal','text':1}]",
        "[{'kind':'operator','op':'NO_SUCH'}]",
        "[{'kind':'operator','op':1}]",
        "[{'kind':'operator','op':'REQ','arg':1}]",
        "[{'kind':'operator','op':'REQ','arg':'a','encode':'x'}]",
        "[{'kind':'operator','op':'REQ','arg':'a','max_bytes':-1}]",
        "{'$raw':'dd7fffffff'}",
        "{'$raw':'92c0'}",
    };
    filter_rig rig;
    filter_rig_init(&rig, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        mb_text document;
        mb_format *format = NULL;
        const char *error = NULL;
        json_document(&document, bad[i], NULL);
        MB_CHECK_EQ_INT(mb_format_build(&rig.arena, mb_text_view(&document), &format, &error),
                        MB_ECONFIG);
        MB_CHECK(format == NULL && error[0] != '\0');
        mb_text_fini(&document);
    }
    filter_rig_fini(&rig);
}

MB_TEST(every_failing_allocation_is_reported) {
    static char value[3000];
    memset(value, '"', sizeof(value) - 1);
    for (size_t n = 1, failed = 1; failed; n++) {
        filter_rig rig;
        mb_text document, out;
        mb_format *format = NULL;
        const char *error = NULL;
        if (!filter_rig_init(&rig, n)) {
            continue;
        }
        json_document(&document,
                      "[{'kind':'operator','op':'REQ','arg':'x-a','encode':'json_value'}]", NULL);
        mb_text_init(&out, &rig.memory->allocator, SIZE_MAX);
        int status = mb_headers_add(&rig.stream->headers[MB_REQUEST], MB_SLICE_LIT("x-a"),
                                    mb_slice_from_c(value));
        if (status == MB_OK) {
            status = mb_format_build(&rig.arena, mb_text_view(&document), &format, &error);
        }
        if (status == MB_OK) {
            mb_format_append(format, rig.stream, &out);
            status = out.status;
        }
        failed = rig.memory->requests >= n;
        MB_CHECK_EQ_INT(status, failed ? MB_ENOMEM : MB_OK);
        MB_CHECK(status != MB_OK || out.len == 6 * (sizeof(value) - 1) + 2);
        mb_text_fini(&out);
        mb_text_fini(&document);
        filter_rig_fini(&rig);
    }
}
