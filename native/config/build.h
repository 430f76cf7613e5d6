/*
 * What the files of config/ share while a snapshot is built. build.c begins and ends it; each
 * reader fills its part of the model from one value of the document, notes faults there and goes
 * on. What needs more than its memory freed is owned by the snapshot from the moment it is made,
 * so nothing has to be undone anywhere: the half-built snapshot is released as a whole.
 */
#ifndef MB_CONFIG_BUILD_H
#define MB_CONFIG_BUILD_H

#include "config/document.h"
#include "config/snapshot.h"
#include "net/h2_keepalive.h"
#include "net/tls.h"

/* An object of the snapshot and how to let it go; newest first. */
typedef struct mb_release {
    struct mb_release *next;
    void (*release)(void *object);
    void *object;
} mb_release;

typedef struct mb_builder {
    mb_doc_reader reader;
    mb_worker *worker;
    const mb_config_modules *modules;
    const mb_snapshot *previous; /* or NULL */
    mb_snapshot *snapshot;       /* being built; its arena is the reader's */
    mb_text scratch;             /* messages of RE2, merged documents; cleared by who uses it */
} mb_builder;

/* Memory for a release, taken before the object is made so that owning it can't fail. NULL: out
 * of memory. Unused ones are simply left. */
mb_release *mb__release_new(mb_builder *builder);
void mb__release_own(mb_builder *builder, mb_release *owned, void (*release)(void *object),
                     void *object);

/* -- value_config.c: small values that several parts share ----------------------------------- */

/* NULL: reported. Owned by the snapshot. */
mb_regex *mb__config_regex(mb_builder *builder, const mb_doc *doc, mb_slice pattern);
/* A RegexRewrite, or nil. */
void mb__config_regex_rewrite(mb_builder *builder, const mb_doc *doc, mb_regex **regex,
                              mb_slice *substitution);
mb_format *mb__config_format(mb_builder *builder, const mb_doc *doc);
void mb__config_header_rules(mb_builder *builder, const mb_doc *doc, mb_header_rules *out);
/* A list of HeaderMatch, of QueryParameterMatch. */
mb_matcher *mb__config_header_matchers(mb_builder *builder, const mb_doc *doc, uint32_t *count);
mb_matcher *mb__config_query_matchers(mb_builder *builder, const mb_doc *doc, uint32_t *count);

/* -- http2_config.c: an Http2Options ---------------------------------------------------------- */

/* `keepalive` is zeroed and stays so where the document has none. */
void mb__config_http2(const mb_doc *doc, mb_h2_options *options, mb_keepalive_settings *keepalive);

/* An array in the snapshot. */
mb_upgrade *mb__config_upgrades(const mb_doc *doc, uint32_t *count);

/* -- filter_config.c: the chain -------------------------------------------------------------- */

/* What the document said about one entry of the chain, for the overrides of its routes. */
typedef struct mb_filter_source {
    mb_slice name; /* key of per_filter */
    mb_slice kind; /* which filter of its module */
    mb_slice config;
    /* Overrides of this filter add to it instead of replacing it (header_mutation). */
    bool adds;
    bool most_specific_last; /* in which order they add */
} mb_filter_source;

typedef struct mb_chain_source {
    mb_chain *chain;
    mb_filter_source *filters; /* chain->count */
    bool incomplete;           /* a filter has faults and is not in the chain */
} mb_chain_source;

void mb__config_chain(mb_builder *builder, const mb_doc *filters, mb_hcm_config *hcm,
                      mb_chain_source *source);

/* The network filters of a filter chain, before its terminal. */
void mb__config_network_chain(mb_builder *builder, const mb_doc *filters, mb_network_chain *out);

/* -- override_config.c: what routes change about it ------------------------------------------ */

/* A level of the route configuration: table, virtual host, route or weighted cluster. */
typedef struct mb_config_level {
    const struct mb_config_level *up;   /* the next less specific one, or NULL */
    const mb_chain_override *overrides; /* merged with those above; NULL: there are none */
    const mb_slice *configs;            /* what this level itself adds, one an entry, or NULL */
} mb_config_level;

/* Reads the per_filter map of a level; without entries it shares what is above. */
void mb__config_level(mb_builder *builder, const mb_chain_source *source, const mb_doc *per_filter,
                      const mb_config_level *up, mb_config_level *out);

/* -- tls_config.c ---------------------------------------------------------------------------- */

/* A DownstreamTls (`server`) or UpstreamTls, loaded; owned by the snapshot. NULL: it is nil, or
 * reported. */
mb_tls_context *mb__config_tls(mb_builder *builder, const mb_doc *doc, bool server);
/* One that an older snapshot has too: this one owns a reference, and its files are looked at. */
mb_tls_context *mb__config_tls_share(mb_builder *builder, mb_tls_context *context);

/* -- the larger parts ------------------------------------------------------------------------ */

mb_route_table *mb__config_routes(mb_builder *builder, const mb_doc *doc,
                                  const mb_chain_source *source);
/* action_config.c: what a route does. `level` is the route's own. */
void mb__config_action(mb_builder *builder, const mb_doc *doc, const mb_chain_source *source,
                       const mb_config_level *level, mb_route *route);
void mb__config_hcm(mb_builder *builder, const mb_doc *doc, mb_hcm_config *out);
void mb__config_access_logs(mb_builder *builder, const mb_doc *doc, mb_access_log_config **out,
                            uint32_t *count);
void mb__config_tcp(mb_builder *builder, const mb_doc *doc, mb_tcp_config *out);
/* chain_match_config.c: an empty match, owned by the snapshot. NULL: out of memory, reported. */
mb_chain_match *mb__config_chain_match_new(mb_builder *builder);
/* Adds what a chain asks for; `match` NULL only checks it. True: it asks for nothing. */
bool mb__config_chain_match(mb_builder *builder, const mb_doc *doc, mb_filter_chain_config *chain,
                            mb_chain_match *match);
/* listener_filter_config.c */
void mb__config_listener_filters(mb_builder *builder, const mb_doc *doc, mb_listener_config *out);
void mb__config_listeners(mb_builder *builder, const mb_doc *doc);
/* Makes clusters, or takes over those of the previous snapshot, unless a fault was found so far. */
void mb__config_clusters(mb_builder *builder, const mb_doc *doc);

#endif
