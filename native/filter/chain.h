/*
 * Chain: the configured filters of a listener, in order, shared by all of its streams; and the
 * walk of a message along them (chain.c; the theory stands there).
 *
 * A chain is immutable once built. It lives as long as its configuration snapshot.
 */
#ifndef MB_FILTER_CHAIN_H
#define MB_FILTER_CHAIN_H

#include "filter/worker.h"

/* A loaded module, shared by the filters configured from it; freed with the last. */
struct mb_module_ref {
    mb_module module;
    mb_worker *worker;
    mb_module_ref *next;
    uint32_t refs;
    void *library;   /* dlopen handle, or NULL */
    bool in_batch;   /* a hook of it ran since the last on_batch_end */
    char error[256]; /* of the last mb_chain_*_configure that failed */
};

typedef struct mb_chain_entry {
    const char *name; /* NUL-terminated, owned by the snapshot */
    const mb_filter_hooks *hooks;
    mb_module_ref *module; /* one reference */
    void *config;
    uint32_t wants;        /* bits of mb_hook */
    uint32_t state_offset; /* in the stream's state block */
    bool disabled;         /* unless a route enables it */
} mb_chain_entry;

/* What a route changes for one entry of the chain. */
typedef struct mb_chain_override {
    void *config; /* NULL: the entry's own */
    uint32_t wants;
    bool disabled;
    bool present; /* false: the entry as it is */
} mb_chain_override;

/* The end of the chain: where requests go and responses come from (the router). All calls come
 * from the chain; none may free the stream. */
typedef struct mb_terminal {
    const char *name;
    void (*request_headers)(mb_stream *stream, bool end_stream);
    void (*request_body)(mb_stream *stream, mb_buffer *data, bool end_stream); /* empties data */
    void (*request_trailers)(mb_stream *stream);
    /* The client reads too slowly, or filters hold too much: stop/restart the source. */
    void (*pause_response)(mb_stream *stream, bool paused);
    /* The stream has ended early; nothing more may be sent to it. Called at most once, and not
     * after the response's end was handed over with the request complete. */
    void (*abort)(mb_stream *stream);
} mb_terminal;

typedef struct mb_chain {
    mb_chain_entry *entries;
    uint32_t count;
    uint32_t state_bytes; /* of all filters of a stream */
    const mb_terminal *terminal;
    const void *terminal_config; /* the router's own; owned by the snapshot */
} mb_chain;

/* Looks a kind up in a module and makes its configuration: fills hooks, module (one reference),
 * config and wants of `entry` and leaves the rest to the caller. MB_OK; or MB_ENOTFOUND, MB_EABI,
 * MB_ECONFIG (or what the filter answered), MB_ENOMEM with a text in `args->error`, valid until
 * the module's next call, and `entry` untouched. */
int mb_chain_entry_configure(mb_module_ref *module, mb_filter_args *args, mb_chain_entry *entry);
/* Idempotent. */
void mb_chain_entry_release(mb_chain_entry *entry);
/* The same filter with another configuration, for a route. `args->filter_name` may be another
 * name that stands for the same hooks (the Python bridge's classes). Results as of
 * mb_chain_entry_configure; `disabled` comes back false. */
int mb_chain_override_configure(const mb_chain_entry *entry, mb_filter_args *args,
                                mb_chain_override *out);
void mb_chain_override_release(const mb_chain_entry *entry, mb_chain_override *override);

#endif
