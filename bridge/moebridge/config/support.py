"""What of Envoy's configuration moebridge has: the one list that decides between the two errors.

A field of Envoy's that is not named here is "Envoy's, moebridge does not have it yet". After a
change run tools/gen_envoy_fields.py, which writes the field table for exactly these messages.
"""

from __future__ import annotations

__all__ = ["ANY_TYPES", "ENUM_VALUES", "FIELDS", "NEWER"]

_CORE = "envoy.config.core.v3."
_ROUTE = "envoy.config.route.v3."
_CLUSTER = "envoy.config.cluster.v3."
_ENDPOINT = "envoy.config.endpoint.v3."
_LISTENER = "envoy.config.listener.v3."
_TLS = "envoy.extensions.transport_sockets.tls.v3."
_LISTENER_FILTER = "envoy.extensions.filters.listener."
_MATCHER = "envoy.type.matcher.v3."
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3."
_UPSTREAM_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_HTTP = "envoy.extensions.filters.http."
_NETWORK = "envoy.extensions.filters.network."
_TCP = _NETWORK + "tcp_proxy.v3.TcpProxy"
_NETWORK_MODULE = _NETWORK + "dynamic_modules.v3.DynamicModuleNetworkFilter"

_HEADER_CHANGES = (
    " request_headers_to_add request_headers_to_remove"
    " response_headers_to_add response_headers_to_remove"
)

#: Message -> names of the fields that moebridge carries out.
FIELDS: dict[str, frozenset[str]] = {
    message: frozenset(names.split())
    for message, names in {
        "envoy.config.bootstrap.v3.Bootstrap": "node static_resources",
        "envoy.config.bootstrap.v3.Bootstrap.StaticResources": "listeners clusters secrets",
        _CORE + "Node": "id cluster",
        # Addresses
        _CORE + "Address": "socket_address pipe",
        _CORE + "Pipe": "path mode",
        _CORE + "SocketAddress": "protocol address port_value ipv4_compat",
        _CORE + "CidrRange": "address_prefix prefix_len",
        _CORE + "TcpKeepalive": "keepalive_probes keepalive_time keepalive_interval",
        _CORE + "TransportSocket": "name typed_config",
        "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer": "",
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport": (
            "config transport_socket"
        ),
        _CORE + "ProxyProtocolConfig": "version",
        # TLS
        _TLS + "DownstreamTlsContext": "common_tls_context require_client_certificate require_sni"
        " session_ticket_keys disable_stateless_session_resumption"
        " disable_stateful_session_resumption session_timeout ocsp_staple_policy"
        " full_scan_certs_on_sni_mismatch prefer_client_ciphers",
        _TLS + "UpstreamTlsContext": "common_tls_context sni auto_host_sni"
        " auto_sni_san_validation max_session_keys",
        _TLS + "CommonTlsContext": "tls_params tls_certificates tls_certificate_sds_secret_configs"
        " validation_context validation_context_sds_secret_config alpn_protocols",
        _TLS + "TlsParameters": "tls_minimum_protocol_version tls_maximum_protocol_version"
        " cipher_suites ecdh_curves signature_algorithms",
        _TLS + "TlsCertificate": "certificate_chain private_key password ocsp_staple"
        " watched_directory",
        _TLS + "TlsSessionTicketKeys": "keys",
        _TLS + "CertificateValidationContext": "trusted_ca system_root_certs watched_directory"
        " verify_certificate_spki verify_certificate_hash match_typed_subject_alt_names"
        " match_subject_alt_names crl allow_expired_certificate trust_chain_verification"
        " only_verify_leaf_cert_crl max_verify_depth",
        _TLS + "CertificateValidationContext.SystemRootCerts": "",
        _TLS + "SubjectAltNameMatcher": "san_type matcher",
        _TLS + "SdsSecretConfig": "name",
        _TLS + "Secret": "name tls_certificate validation_context",
        _CORE + "WatchedDirectory": "path",
        # Listener
        _LISTENER + "Listener": "name address stat_prefix filter_chains default_filter_chain"
        " per_connection_buffer_limit_bytes enable_reuse_port tcp_backlog_size listener_filters"
        " listener_filters_timeout continue_on_listener_filters_timeout additional_addresses"
        " bind_to_port use_original_dst freebind transparent tcp_fast_open_queue_length"
        " socket_options",
        _LISTENER + "AdditionalAddress": "address",
        _CORE + "SocketOption": "description level name int_value state",
        _LISTENER + "FilterChain": "name filter_chain_match filters transport_socket"
        " transport_socket_connect_timeout",
        _LISTENER + "FilterChainMatch": "destination_port prefix_ranges server_names"
        " transport_protocol application_protocols direct_source_prefix_ranges source_type"
        " source_prefix_ranges source_ports",
        _LISTENER + "ListenerFilter": "name typed_config",
        _LISTENER_FILTER + "proxy_protocol.v3.ProxyProtocol": "rules pass_through_tlvs"
        " allow_requests_without_proxy_protocol disallowed_versions stat_prefix",
        _LISTENER_FILTER + "proxy_protocol.v3.ProxyProtocol.Rule": "tlv_type on_tlv_present",
        _LISTENER_FILTER + "proxy_protocol.v3.ProxyProtocol.KeyValuePair": "metadata_namespace key",
        _CORE + "ProxyProtocolPassThroughTLVs": "match_type tlv_type",
        _LISTENER_FILTER + "tls_inspector.v3.TlsInspector": "max_client_hello_size"
        " close_connection_on_client_hello_parsing_errors",
        _LISTENER_FILTER + "http_inspector.v3.HttpInspector": "",
        _LISTENER_FILTER + "original_dst.v3.OriginalDst": "",
        _LISTENER_FILTER + "original_src.v3.OriginalSrc": "bind_port mark",
        _LISTENER + "Filter": "name typed_config",
        "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit": "stat_prefix"
        " max_connections",
        _NETWORK_MODULE: "dynamic_module_config filter_name filter_config",
        # TCP proxy
        _TCP: "stat_prefix cluster weighted_clusters idle_timeout max_connect_attempts"
        " max_downstream_connection_duration access_log",
        _TCP + ".WeightedCluster": "clusters",
        _TCP + ".WeightedCluster.ClusterWeight": "name weight",
        # HTTP connection manager
        _HCM + "HttpConnectionManager": "codec_type stat_prefix route_config http_filters"
        " common_http_protocol_options http_protocol_options http2_protocol_options server_name"
        " server_header_transformation max_request_headers_kb stream_idle_timeout request_timeout"
        " request_headers_timeout drain_timeout delayed_close_timeout access_log"
        " use_remote_address xff_num_trusted_hops internal_address_config skip_xff_append via"
        " generate_request_id preserve_external_request_id always_set_request_id_in_response"
        " forward_client_cert_details set_current_client_cert_details proxy_100_continue"
        " normalize_path merge_slashes"
        " path_with_escaped_slashes_action strip_matching_host_port strip_any_host_port"
        " strip_trailing_host_dot append_x_forwarded_port upgrade_configs",
        _HCM + "HttpConnectionManager.SetCurrentClientCertDetails": "subject cert chain dns uri",
        _HCM + "HttpConnectionManager.InternalAddressConfig": "cidr_ranges",
        _HCM + "HttpFilter": "name typed_config disabled",
        # HttpProtocolOptions and Http1ProtocolOptions serve both sides; lower_http.py has the rest
        _CORE + "HttpProtocolOptions": "idle_timeout max_connection_duration max_headers_count"
        " max_response_headers_kb max_stream_duration headers_with_underscores_action"
        " max_requests_per_connection",
        _CORE + "Http1ProtocolOptions": "allow_absolute_url accept_http_10"
        " default_host_for_http_10 enable_trailers",
        _CORE + "Http2ProtocolOptions": "hpack_table_size max_concurrent_streams"
        " initial_stream_window_size initial_connection_window_size allow_connect"
        " max_outbound_frames max_outbound_control_frames"
        " max_consecutive_inbound_frames_with_empty_payload max_inbound_priority_frames_per_stream"
        " max_inbound_window_update_frames_per_data_frame_sent connection_keepalive",
        _CORE + "KeepaliveSettings": "interval timeout interval_jitter connection_idle_interval",
        "envoy.type.v3.Percent": "value",
        # Access logs
        "envoy.config.accesslog.v3.AccessLog": "name typed_config",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog": "path format json_format"
        " typed_json_format log_format",
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": "log_format",
        "envoy.extensions.access_loggers.stream.v3.StderrAccessLog": "log_format",
        _CORE + "SubstitutionFormatString": "text_format text_format_source json_format"
        " omit_empty_values",
        _CORE + "DataSource": "filename inline_bytes inline_string environment_variable",
        # Routes
        _ROUTE + "RouteConfiguration": "name virtual_hosts most_specific_header_mutations_wins"
        " validate_clusters max_direct_response_body_size_bytes ignore_port_in_host_matching"
        " typed_per_filter_config metadata" + _HEADER_CHANGES,
        _ROUTE + "VirtualHost": "name domains routes require_tls typed_per_filter_config metadata"
        + _HEADER_CHANGES,
        _ROUTE + "Route": "name match route redirect direct_response metadata"
        " typed_per_filter_config" + _HEADER_CHANGES,
        _ROUTE + "RouteMatch.ConnectMatcher": "",
        _ROUTE + "RouteAction.UpgradeConfig": "upgrade_type enabled connect_config",
        _ROUTE + "RouteAction.UpgradeConfig.ConnectConfig": "",
        _HCM + "HttpConnectionManager.UpgradeConfig": "upgrade_type enabled",
        _ROUTE + "RouteMatch": "prefix path safe_regex path_separated_prefix connect_matcher"
        " case_sensitive"
        " headers query_parameters",
        _ROUTE + "HeaderMatcher": "name exact_match safe_regex_match range_match present_match"
        " prefix_match suffix_match contains_match string_match invert_match"
        " treat_missing_header_as_empty",
        "envoy.type.v3.Int64Range": "start end",
        _ROUTE + "QueryParameterMatcher": "name string_match present_match",
        _MATCHER + "StringMatcher": "exact prefix suffix safe_regex contains ignore_case",
        _MATCHER + "RegexMatcher": "google_re2 regex",
        _MATCHER + "RegexMatcher.GoogleRE2": "",
        _MATCHER + "RegexMatchAndSubstitute": "pattern substitution",
        _ROUTE + "RouteAction": "cluster cluster_header weighted_clusters"
        " cluster_not_found_response_code prefix_rewrite regex_rewrite host_rewrite_literal"
        " auto_host_rewrite host_rewrite_header host_rewrite_path_regex append_x_forwarded_host"
        " timeout idle_timeout max_stream_duration max_grpc_timeout grpc_timeout_offset priority"
        " upgrade_configs",
        _ROUTE + "RouteAction.MaxStreamDuration": "max_stream_duration grpc_timeout_header_max"
        " grpc_timeout_header_offset",
        _ROUTE + "WeightedCluster": "clusters total_weight",
        _ROUTE + "WeightedCluster.ClusterWeight": "name weight typed_per_filter_config"
        " host_rewrite_literal" + _HEADER_CHANGES,
        _ROUTE + "RedirectAction": "https_redirect scheme_redirect host_redirect port_redirect"
        " path_redirect prefix_rewrite regex_rewrite response_code strip_query",
        _ROUTE + "DirectResponseAction": "status body",
        _ROUTE + "FilterConfig": "config disabled",
        _CORE + "HeaderValueOption": "header append append_action keep_empty_value",
        _CORE + "HeaderValue": "key value",
        _CORE + "Metadata": "filter_metadata",
        # HTTP filters
        _HTTP + "router.v3.Router": "suppress_envoy_headers",
        _HTTP
        + "header_mutation.v3.HeaderMutation": "mutations most_specific_header_mutations_wins",
        _HTTP + "header_mutation.v3.HeaderMutationPerRoute": "mutations",
        _HTTP + "header_mutation.v3.Mutations": "request_mutations response_mutations"
        " response_trailers_mutations request_trailers_mutations",
        "envoy.config.common.mutation_rules.v3.HeaderMutation": "remove append remove_on_match",
        "envoy.config.common.mutation_rules.v3.HeaderMutation.RemoveOnMatch": "key_matcher",
        _HTTP + "basic_auth.v3.BasicAuth": "users forward_username_header authentication_header",
        _HTTP + "basic_auth.v3.BasicAuthPerRoute": "users",
        _HTTP + "grpc_web.v3.GrpcWeb": "",
        _HTTP + "dynamic_modules.v3.DynamicModuleFilter": "dynamic_module_config filter_name"
        " filter_config",
        _HTTP + "dynamic_modules.v3.DynamicModuleFilterPerRoute": "dynamic_module_config"
        " per_route_config_name filter_config",
        "envoy.extensions.dynamic_modules.v3.DynamicModuleConfig": "name do_not_close",
        # Clusters
        _CLUSTER + "Cluster": "name alt_stat_name type connect_timeout"
        " per_connection_buffer_limit_bytes lb_policy load_assignment circuit_breakers"
        " max_requests_per_connection common_http_protocol_options http_protocol_options"
        " http2_protocol_options typed_extension_protocol_options dns_refresh_rate dns_jitter"
        " dns_failure_refresh_rate respect_dns_ttl dns_lookup_family transport_socket"
        " upstream_connection_options",
        _CLUSTER + "Cluster.RefreshRate": "base_interval max_interval",
        _CLUSTER + "UpstreamConnectionOptions": "tcp_keepalive",
        _CLUSTER + "CircuitBreakers": "thresholds",
        _CLUSTER + "CircuitBreakers.Thresholds": "priority max_connections max_pending_requests"
        " max_requests max_retries",
        _ENDPOINT + "ClusterLoadAssignment": "cluster_name endpoints",
        _ENDPOINT + "LocalityLbEndpoints": "lb_endpoints priority",
        _ENDPOINT + "LbEndpoint": "endpoint load_balancing_weight",
        _ENDPOINT + "Endpoint": "address hostname",
        _UPSTREAM_HTTP: "common_http_protocol_options explicit_http_config"
        " use_downstream_protocol_config auto_config",
        _UPSTREAM_HTTP + ".ExplicitHttpConfig": "http_protocol_options http2_protocol_options",
        _UPSTREAM_HTTP + ".UseDownstreamHttpConfig": "http_protocol_options http2_protocol_options",
        _UPSTREAM_HTTP + ".AutoHttpConfig": "http_protocol_options http2_protocol_options",
    }.items()
}

#: Message and field -> what stands there may be a key or a password: no error shows it.
SECRETS = frozenset(
    (_message, _field)
    for _message, _fields in (
        (_TLS + "TlsCertificate", "private_key password"),
        (_TLS + "TlsSessionTicketKeys", "keys"),
        (_CORE + "DataSource", "inline_string inline_bytes"),
    )
    for _field in _fields.split()
)

#: Enum -> values that moebridge carries out; an enum that is not here has all of them.
ENUM_VALUES: dict[str, frozenset[str]] = {
    enum: frozenset(names.split())
    for enum, names in {
        _CORE + "SocketAddress.Protocol": "TCP",
        _CORE + "RoutingPriority": "DEFAULT",
        _CLUSTER + "Cluster.DiscoveryType": "STATIC STRICT_DNS",
        _TLS + "SubjectAltNameMatcher.SanType": "EMAIL DNS URI IP_ADDRESS",
        _CLUSTER + "Cluster.LbPolicy": "ROUND_ROBIN",
        _HCM + "HttpConnectionManager.CodecType": "AUTO HTTP1 HTTP2",
    }.items()
}

_PER_ROUTE = (
    f"{_HTTP}dynamic_modules.v3.DynamicModuleFilterPerRoute "
    f"{_HTTP}header_mutation.v3.HeaderMutationPerRoute "
    f"{_HTTP}basic_auth.v3.BasicAuthPerRoute"
)
_VALUES = "google.protobuf.Struct google.protobuf.StringValue google.protobuf.BytesValue"

#: Message and field of type Any -> messages that moebridge takes there.
ANY_TYPES: dict[tuple[str, str], frozenset[str]] = {
    (message, field): frozenset(names.split())
    for message, field, names in (
        (
            _LISTENER + "Filter",
            "typed_config",
            f"{_HCM}HttpConnectionManager"
            f" envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit {_TCP}"
            f" {_NETWORK_MODULE}",
        ),
        (
            _LISTENER + "ListenerFilter",
            "typed_config",
            f"{_LISTENER_FILTER}proxy_protocol.v3.ProxyProtocol"
            f" {_LISTENER_FILTER}tls_inspector.v3.TlsInspector"
            f" {_LISTENER_FILTER}http_inspector.v3.HttpInspector"
            f" {_LISTENER_FILTER}original_dst.v3.OriginalDst"
            f" {_LISTENER_FILTER}original_src.v3.OriginalSrc",
        ),
        (
            _CORE + "TransportSocket",
            "typed_config",
            "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
            f" {_TLS}DownstreamTlsContext {_TLS}UpstreamTlsContext"
            " envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        ),
        (
            "envoy.config.accesslog.v3.AccessLog",
            "typed_config",
            "envoy.extensions.access_loggers.file.v3.FileAccessLog"
            " envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
            " envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
        ),
        (
            _HCM + "HttpFilter",
            "typed_config",
            f"{_HTTP}router.v3.Router {_HTTP}header_mutation.v3.HeaderMutation"
            f" {_HTTP}basic_auth.v3.BasicAuth {_HTTP}grpc_web.v3.GrpcWeb"
            f" {_HTTP}dynamic_modules.v3.DynamicModuleFilter",
        ),
        (_HTTP + "dynamic_modules.v3.DynamicModuleFilter", "filter_config", _VALUES),
        (_NETWORK_MODULE, "filter_config", _VALUES),
        (_HTTP + "dynamic_modules.v3.DynamicModuleFilterPerRoute", "filter_config", _VALUES),
        (_ROUTE + "FilterConfig", "config", _PER_ROUTE),
        *(
            (_ROUTE + owner, "typed_per_filter_config", f"{_PER_ROUTE} {_ROUTE}FilterConfig")
            for owner in (
                "RouteConfiguration",
                "VirtualHost",
                "Route",
                "WeightedCluster.ClusterWeight",
            )
        ),
        (
            _CLUSTER + "Cluster",
            "typed_extension_protocol_options",
            _UPSTREAM_HTTP,
        ),
    )
}

#: Messages of an Envoy that is newer than the xds-protos release: their fields by hand, in the
#: words of the table. Source: envoyproxy/envoy, api/, the proto file of the package.
NEWER: dict[str, dict[str, dict[str, str]]] = {
    _NETWORK_MODULE: {
        "dynamic_module_config": {
            "type": "message",
            "of": "envoy.extensions.dynamic_modules.v3.DynamicModuleConfig",
        },
        "filter_name": {"type": "string"},
        "filter_config": {"type": "any"},
        "terminal_filter": {"type": "bool"},
    },
}
