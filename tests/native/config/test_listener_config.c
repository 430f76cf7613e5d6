/* Listeners: their filters, what their filter chains ask for, and which faults are found. */
#include "base/slice.h"
#include "config/documents.h"
#include "support/config_world.h"

MB_TEST(every_address_and_socket_option_arrives) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(&world, NULL, config_full, NULL);
    const mb_listener_config *listener = &snapshot->listeners[0];
    const mb_listen_address *addresses = listener->addresses;
    MB_CHECK_EQ_INT(listener->address_count, 3);
    MB_CHECK_EQ_INT(mb_address_port(&addresses[0].address), 8080);
    MB_CHECK_EQ_INT(addresses[0].address.sa.sa_family, AF_INET6);
    MB_CHECK(!addresses[0].v6_only && addresses[1].v6_only);
    MB_CHECK_EQ_LIT(mb_slice_from_c(addresses[1].address.un.sun_path), "/run/listener");
    MB_CHECK_EQ_INT(addresses[1].mode, 0660);
    MB_CHECK_EQ_INT(addresses[2].address.un.sun_path[0], 0);
    MB_CHECK(!listener->bind_to_port && listener->use_original_dst);
    MB_CHECK_EQ_INT(listener->options.socket_option_count, 1);
    const mb_socket_option *option = listener->options.socket_options;
    MB_CHECK(option->level == 56 && option->name == 57 && option->value == -58);
    MB_CHECK(option->family == AF_INET6 && option->state == MB_SOCKET_LISTENING);
    mb_snapshot_unref(snapshot);
    snapshot = config_world_load(&world, NULL, config_minimal, NULL);
    listener = &snapshot->listeners[0];
    MB_CHECK(listener->address_count == 1 && listener->addresses[0].v6_only);
    MB_CHECK(listener->bind_to_port && !listener->use_original_dst);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

MB_TEST(every_listener_filter_arrives) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(&world, NULL, config_full, NULL);
    const mb_listener_config *listener = &snapshot->listeners[0];
    const mb_listener_filter_config *filters = listener->filters;
    MB_CHECK_EQ_INT(listener->filter_count, 5);
    MB_CHECK_EQ_INT(listener->filters_timeout_us, 55000);
    MB_CHECK(listener->continue_on_filters_timeout);
    MB_CHECK_EQ_INT(filters[0].kind, MB_ORIGINAL_DST);
    const mb_proxy_protocol_config *proxy = &filters[1].proxy;
    MB_CHECK_EQ_INT(filters[1].kind, MB_PROXY_PROTOCOL);
    MB_CHECK(proxy->allow_without && proxy->disallowed[0] && !proxy->disallowed[1]);
    MB_CHECK(!proxy->pass_all);
    MB_CHECK(proxy->pass[0] == 4 && proxy->pass[1] == 0 && proxy->pass[3] == UINT64_C(1) << 63);
    MB_CHECK_EQ_INT(proxy->rule_count, 1);
    MB_CHECK_EQ_INT(proxy->rules[0].type, 224);
    MB_CHECK_EQ_LIT(proxy->rules[0].space, "ns");
    MB_CHECK_EQ_LIT(proxy->rules[0].key, "k");
    MB_CHECK_EQ_LIT(proxy->metrics.found[1]->name, "proxy_proto.edge.versions.v2.found");
    MB_CHECK_EQ_INT(filters[2].kind, MB_TLS_INSPECTOR);
    MB_CHECK_EQ_INT(filters[2].tls.max_bytes, 53);
    MB_CHECK(filters[2].tls.close_on_error);
    MB_CHECK_EQ_LIT(filters[2].tls.metrics.tls_found->name, "tls_inspector.tls_found");
    MB_CHECK_EQ_INT(filters[3].kind, MB_HTTP_INSPECTOR);
    MB_CHECK_EQ_LIT(filters[3].http.found[2]->name, "http_inspector.http2_found");
    MB_CHECK_EQ_INT(filters[4].kind, MB_ORIGINAL_SRC);
    MB_CHECK(filters[4].source.bind_port);
    MB_CHECK_EQ_INT(filters[4].source.mark, 54);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

static const void *find(const mb_listener_config *listener, const char *local, const char *remote,
                        uint16_t remote_port, const char *name, mb_slice *protocol) {
    mb_address to, from;
    MB_CHECK_EQ_INT(mb_address_parse(mb_slice_from_c(local), 50, &to), MB_OK);
    MB_CHECK_EQ_INT(mb_address_parse(mb_slice_from_c(remote), remote_port, &from), MB_OK);
    mb_address direct;
    MB_CHECK_EQ_INT(mb_address_parse(MB_SLICE_LIT("::1"), 1, &direct), MB_OK);
    mb_chain_facts facts = {
        .local = &to,
        .remote = &from,
        .direct_remote = &direct,
        .server_name = mb_slice_from_c(name),
        .transport_protocol = MB_SLICE_LIT("tls"),
        .application_protocols = protocol,
        .application_protocol_count = 1,
    };
    return mb_chain_match_find(listener->match, &facts);
}

MB_TEST(every_criterion_of_a_filter_chain_arrives) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(&world, NULL, config_full, NULL);
    const mb_listener_config *listener = &snapshot->listeners[0];
    const void *first = &listener->chains[0];
    mb_slice h2 = MB_SLICE_LIT("h2"), h1 = MB_SLICE_LIT("http/1.1");
    MB_CHECK(listener->sole_chain == NULL);
    MB_CHECK(find(listener, "10.1.1.1", "192.0.2.1", 51, "a.test", &h2) == first);
    MB_CHECK(find(listener, "10.1.1.1", "192.0.2.1", 52, "x.b.test", &h2) == first);
    MB_CHECK(find(listener, "11.1.1.1", "192.0.2.1", 51, "a.test", &h2) == NULL);
    MB_CHECK(find(listener, "10.1.1.1", "192.0.2.2", 51, "a.test", &h2) == NULL);
    MB_CHECK(find(listener, "10.1.1.1", "192.0.2.1", 53, "a.test", &h2) == NULL);
    MB_CHECK(find(listener, "10.1.1.1", "192.0.2.1", 51, "b.test", &h2) == NULL);
    MB_CHECK(find(listener, "10.1.1.1", "192.0.2.1", 51, "a.test", &h1) == NULL);
    mb_snapshot_unref(snapshot);
    snapshot = config_world_load(&world, NULL, config_minimal, NULL);
    listener = &snapshot->listeners[0];
    MB_CHECK(listener->sole_chain == &listener->chains[0]);
    MB_CHECK_EQ_INT(listener->filter_count, 0);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

typedef struct fault_case {
    const char *from, *to, *fault;
} fault_case;

MB_TEST(faults_of_listener_filters_are_found) {
    static const fault_case cases[] = {
        {"'path':'/run/listener'", "'path':'@'", "listeners[0].addresses[1].path: is no path"},
        {"'kind':'http_inspector'", "'kind':'dns'", "listeners[0].listener_filters[3].kind"},
        {"'tlv_type':224", "'tlv_type':256", "listeners[0].listener_filters[1].rules[0].tlv_type"},
        {"'pass_through_types':[2,255]", "'pass_through_types':[2,256]",
         "listeners[0].listener_filters[1].pass_through_types[1]: must be 0 to 255"},
        {"'max_client_hello_bytes':53", "'max_client_hello_bytes':16385",
         "listeners[0].listener_filters[2].max_client_hello_bytes"},
        {"'source_ports':[51,52]", "'source_ports':[51,0]",
         "listeners[0].filter_chains[0].filter_chain_match.source_ports[1]: must be 1 to 65535"},
        {"'server_names':['a.test','*.b.test']", "'server_names':['a.test','']",
         "listeners[0].filter_chains[0].filter_chain_match.server_names[1]: must not be empty"},
        {"'server_names':['a.test','*.b.test']", "'server_names':['a.test','a.test']",
         "listeners[0].filter_chains[0].filter_chain_match: another filter chain has overlapping"},
        {"'address':'192.0.2.1'", "'address':'host'",
         "source_prefix_ranges[0].address: is no IP address"},
    };
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mb_snapshot *snapshot = NULL;
        mb_text document;
        json_document(&document, config_full, cases[i].from, cases[i].to, NULL);
        mb_slice bytes = mb_text_view(&document);
        MB_CHECK_EQ_INT(config_world_build(&world, NULL, bytes, &snapshot), MB_ECONFIG);
        mb_text_fini(&document);
        mb_text_append(&world.faults, MB_SLICE_LIT("\0"));
        if (strstr(world.faults.ptr, cases[i].fault) == NULL) {
            MB_CHECK_EQ_SLICE(mb_text_view(&world.faults), mb_slice_from_c(cases[i].fault));
        }
    }
    config_world_fini(&world);
}
