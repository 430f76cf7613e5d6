/*
 * Statistics as text for Prometheus (its exposition format, and Envoy's names and labels) and as
 * msgpack.
 */
#define _GNU_SOURCE /* memmem */

#include "support/echo_server.h"

#include "base/alloc.h"
#include "base/msgpack.h"
#include "base/slice.h"
#include "base/text.h"
#include "filter/worker.h"

#include <stdio.h>
#include <stdlib.h>

static char *prometheus(echo_server *server) {
    char *text;
    size_t length;
    MB_CHECK_EQ_INT(mb_server_prometheus(server->server, &text, &length), MB_OK);
    MB_CHECK_EQ_INT(strlen(text), length);
    return text;
}

static bool has_line(const char *text, const char *line) {
    size_t length = strlen(line);
    for (const char *at = text; (at = strstr(at, line)) != NULL; at++) {
        if ((at == text || at[-1] == '\n') && (at[length] == '\n' || at[length] == ' ')) {
            return true;
        }
    }
    return false;
}

#define CHECK_LINE(text, line)                                                                     \
    do {                                                                                           \
        if (!has_line((text), (line))) {                                                           \
            fprintf(stderr, "%s", (text));                                                         \
            MB_FAIL("no line " line);                                                              \
        }                                                                                          \
    } while (0)

/* -- a parser of the format ------------------------------------------------------------------- */

static const char *skip_name(const char *at) {
    MB_CHECK((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || *at == '_');
    while ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || *at == '_' ||
           (*at >= '0' && *at <= '9')) {
        at++;
    }
    return at;
}

static const char *skip_labels(const char *at) {
    if (*at != '{') {
        return at;
    }
    do {
        at = skip_name(at + 1);
        MB_CHECK(at[0] == '=' && at[1] == '"');
        for (at += 2; *at != '"'; at++) {
            MB_CHECK(*at != '\n' && *at != '\0');
            if (*at == '\\') {
                at++;
                MB_CHECK(*at == '\\' || *at == '"' || *at == 'n');
            }
        }
        at++;
    } while (*at == ',');
    MB_CHECK(*at == '}');
    return at + 1;
}

/* The name of a family: of a histogram's series without what is behind it. */
static size_t family_length(const char *line, const char *end, const char *kind) {
    static const char *const tails[] = {"_bucket", "_sum", "_count"};
    size_t length = (size_t)(end - line);
    for (size_t i = 0; i < 3 && strcmp(kind, "histogram") == 0; i++) {
        size_t tail = strlen(tails[i]);
        if (length > tail && memcmp(end - tail, tails[i], tail) == 0) {
            return length - tail;
        }
    }
    return length;
}

/* Checks the text as a whole; returns how many families it has. */
static size_t check_format(const char *text) {
    char seen[400][128];
    char family[128] = "", kind[16] = "";
    size_t families = 0;
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        MB_CHECK(end != NULL);
        if (*text == '#') {
            MB_CHECK_EQ_INT(sscanf(text, "# TYPE %127s %15s\n", family, kind), 2);
            for (size_t i = 0; i < families; i++) {
                MB_CHECK(strcmp(seen[i], family) != 0);
            }
            MB_CHECK(families < 400);
            strcpy(seen[families++], family);
        } else {
            const char *name_end = skip_name(text);
            MB_CHECK_EQ_SLICE(((mb_slice){text, family_length(text, name_end, kind)}),
                              mb_slice_from_c(family));
            const char *value = skip_labels(name_end);
            char *value_end;
            MB_CHECK(*value == ' ');
            MB_CHECK(strtod(value + 1, &value_end) >= 0);
            MB_CHECK(value_end == end);
        }
        text = end + 1;
    }
    return families;
}

/* -- Prometheus ------------------------------------------------------------------------------- */

MB_TEST(the_text_is_prometheus_exposition_format) {
    echo_server server;
    echo_init(&server, NULL);
    echo_ask(&server, "GET /\nHost: h\n");
    char *text = prometheus(&server);
    MB_CHECK(check_format(text) > 50);
    mb_text_free(text);
    echo_fini(&server);
}

MB_TEST(names_and_labels_are_envoys) {
    echo_server server;
    char line[160];
    echo_init(&server, NULL);
    echo_ask(&server, "GET /\nHost: h\n");
    echo_ask(&server, "GET x\nHost: h\n");
    char *text = prometheus(&server);
    CHECK_LINE(text, "# TYPE envoy_http_downstream_rq_xx counter");
    CHECK_LINE(text, "envoy_http_downstream_rq_xx{envoy_response_code_class=\"2\","
                     "envoy_http_conn_manager_prefix=\"ingress\"} 1");
    CHECK_LINE(text, "envoy_http_downstream_rq_xx{envoy_response_code_class=\"4\","
                     "envoy_http_conn_manager_prefix=\"ingress\"} 1");
    CHECK_LINE(text,
               "envoy_http_downstream_cx_total{envoy_http_conn_manager_prefix=\"ingress\"} 2");
    CHECK_LINE(text, "# TYPE envoy_http_downstream_cx_active gauge");
    CHECK_LINE(text,
               "envoy_http_downstream_cx_active{envoy_http_conn_manager_prefix=\"ingress\"} 0");
    CHECK_LINE(text, "envoy_cluster_upstream_cx_total{envoy_cluster_name=\"backend\"} 0");
    CHECK_LINE(text, "# TYPE envoy_cluster_membership_total gauge");
    CHECK_LINE(text, "envoy_server_live 1");
    CHECK_LINE(text, "# TYPE envoy_http2_streams_active gauge");
    CHECK_LINE(text, "envoy_http2_outbound_control_flood 0");
    snprintf(line, sizeof(line), "envoy_listener_downstream_cx_total{envoy_listener_address=\"");
    MB_CHECK(strstr(text, line) != NULL);
    mb_text_free(text);
    echo_fini(&server);
}

MB_TEST(times_are_milliseconds) {
    echo_server server;
    echo_init(&server, NULL);
    server.slow_us = 30000;
    echo_ask(&server, "GET /\nHost: h\n");
    char *text = prometheus(&server);
#define RQ_TIME(tail) "envoy_http_downstream_rq_time" tail
#define OF "envoy_http_conn_manager_prefix=\"ingress\""
    CHECK_LINE(text, "# TYPE envoy_http_downstream_rq_time histogram");
    CHECK_LINE(text, RQ_TIME("_bucket{" OF ",le=\"10\"} 0"));
    CHECK_LINE(text, RQ_TIME("_bucket{" OF ",le=\"25\"} 0"));
    CHECK_LINE(text, RQ_TIME("_bucket{" OF ",le=\"50\"} 1"));
    CHECK_LINE(text, RQ_TIME("_bucket{" OF ",le=\"+Inf\"} 1"));
    CHECK_LINE(text, RQ_TIME("_sum{" OF "} 30"));
    CHECK_LINE(text, RQ_TIME("_count{" OF "} 1"));
    CHECK_LINE(text, "envoy_http_downstream_cx_length_ms_bucket{" OF ",le=\"25\"} 0");
    mb_text_free(text);
    echo_fini(&server);
}

MB_TEST(labels_of_filters_are_escaped) {
    echo_server server;
    echo_init(&server, NULL);
    mb_worker *worker = mb_server_worker(server.server);
    mb_header labels[2] = {{MB_SLICE_LIT("a.b"), MB_SLICE_LIT("q\"b\\s\nn")},
                           {MB_SLICE_LIT("c"), MB_SLICE_LIT("")}};
    mb_metric *metric, *other;
    MB_CHECK_EQ_INT(mb_stats_define(worker->stats, MB_COUNTER, MB_SLICE_LIT("my-filter.seen"),
                                    labels, 2, &metric),
                    MB_OK);
    MB_CHECK_EQ_INT(mb_stats_define(worker->stats, MB_COUNTER, MB_SLICE_LIT("my-filter.seen"),
                                    labels, 1, &other),
                    MB_OK);
    mb_metric_add(metric, 3);
    char *text = prometheus(&server);
    check_format(text);
    CHECK_LINE(text, "envoy_my_filter_seen{a_b=\"q\\\"b\\\\s\\nn\",c=\"\"} 3");
    CHECK_LINE(text, "envoy_my_filter_seen{a_b=\"q\\\"b\\\\s\\nn\"} 0");
    mb_text_free(text);
    echo_fini(&server);
}

MB_TEST(names_of_clusters_may_have_dots) {
    echo_server server;
    echo_init(&server, "'name':'backend','weight'", "'name':'a.b.upstream','weight'",
              "'name':'backend','type'", "'name':'a.b.upstream','type'", NULL);
    char *text = prometheus(&server);
    check_format(text);
    CHECK_LINE(text, "envoy_cluster_upstream_cx_total{envoy_cluster_name=\"a.b.upstream\"} 0");
    mb_text_free(text);
    echo_fini(&server);
}

/* A code is taken for a label only where it stands as Envoy writes it. */
MB_TEST(response_codes_become_labels) {
    echo_server server;
    mb_metric *metric;
    static const char *const names[] = {"cluster.c.upstream_rq_503", "cluster.c.upstream_rq_5xx",
                                        "cluster.c.upstream_cx_http1_total",
                                        "cluster.c.upstream_rq_time_5000",
                                        "cluster.c.http2.tx_reset"};
    echo_init(&server, NULL);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        MB_CHECK_EQ_INT(mb_stats_define(mb_server_worker(server.server)->stats, MB_COUNTER,
                                        mb_slice_from_c(names[i]), NULL, 0, &metric),
                        MB_OK);
    }
    char *text = prometheus(&server);
    check_format(text);
    CHECK_LINE(text, "envoy_cluster_upstream_rq{envoy_response_code=\"503\","
                     "envoy_cluster_name=\"c\"} 0");
    CHECK_LINE(text, "envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"5\","
                     "envoy_cluster_name=\"c\"} 0");
    CHECK_LINE(text, "envoy_cluster_upstream_cx_http1_total{envoy_cluster_name=\"c\"} 0");
    CHECK_LINE(text, "envoy_cluster_upstream_rq_time_5000{envoy_cluster_name=\"c\"} 0");
    CHECK_LINE(text, "envoy_cluster_http2_tx_reset{envoy_cluster_name=\"c\"} 0");
    mb_text_free(text);
    echo_fini(&server);
}

/* -- msgpack ---------------------------------------------------------------------------------- */

static bool has_text(const mb_text *text, const char *what) {
    return memmem(text->ptr, text->len, what, strlen(what)) != NULL;
}

MB_TEST(the_same_numbers_as_msgpack) {
    echo_server server;
    char *bytes;
    size_t length;
    mb_text json;
    mb_metric *metric;
    mb_header label = {MB_SLICE_LIT("tenant"), MB_SLICE_LIT("x")};
    echo_init(&server, NULL);
    MB_CHECK_EQ_INT(mb_stats_define(mb_server_worker(server.server)->stats, MB_GAUGE,
                                    MB_SLICE_LIT("labelled"), &label, 1, &metric),
                    MB_OK);
    mb_metric_set(metric, 7);
    server.slow_us = 30000;
    echo_ask(&server, "GET /\nHost: h\n");
    MB_CHECK_EQ_INT(mb_server_stats(server.server, &bytes, &length), MB_OK);
    mb_text_init(&json, mb_allocator_default(), SIZE_MAX);
    MB_CHECK_EQ_INT(mb_msgpack_to_json((mb_slice){bytes, length}, &json), MB_OK);
    MB_CHECK(has_text(&json, "\"http.ingress.downstream_rq_2xx\":1"));
    MB_CHECK(has_text(&json, "\"http.ingress.downstream_cx_active\":0"));
    MB_CHECK(has_text(&json, "\"labelled{tenant=x}\":7"));
    MB_CHECK(has_text(&json, "\"http.ingress.downstream_rq_time\":{\"count\":1,\"sum\":30000,"));
    MB_CHECK(has_text(&json, "\"buckets\":[[500,0],[1000,0],"));
    mb_text_fini(&json);
    mb_text_free(bytes);
    echo_fini(&server);
}
