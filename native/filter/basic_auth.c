/*
 * basic_auth: lets only requests with a known user and password through. RFC 7617.
 *
 * Configuration, as moebridge.config.filter_model.BasicAuth: `users`, a list of {name, sha1} (20
 * bytes: the {SHA} form of htpasswd), `authentication_header` (default "authorization"),
 * `forward_username_header` (default none). Refusals are 401 with Envoy's texts and details.
 *
 * Every request with credentials hashes its password and compares it in constant time, also when
 * the user is unknown, so that the time of an answer says nothing of either.
 *
 * Uses the public ABI only. Its Python twin: moebridge_plugins.basic_auth.
 * Source: Envoy's BasicAuth; answers of Envoy 1.40.
 */
#include "base/base64.h"
#include "base/msgpack.h"
#include "base/sha1.h"
#include "base/slice.h"
#include "filter/builtin.h"

#include <stdlib.h>

/* Longer credentials are refused; a header is bounded anyhow. */
#define TOKEN_CHARS_MAX 4096u
/* Of the path in the realm, as Envoy. */
#define REALM_PATH_BYTES_MAX 256u
#define REALM_BYTES_MAX 1024u

typedef struct auth_user {
    mb_slice name; /* in `text` of the configuration */
    uint8_t sha1[MB_SHA1_BYTES];
} auth_user;

typedef struct auth_config {
    const mb_host *host;
    mb_metric *allowed, *denied;
    mb_slice header, forward; /* in `text` */
    size_t user_count;
    char *text;        /* all names, behind the users */
    auth_user users[]; /* sorted by name */
} auth_config;

typedef struct denial {
    mb_slice body, details;
} denial;

/* -- configuration --------------------------------------------------------------------------- */

static int compare_users(const void *left, const void *right) {
    return mb_slice_compare(((const auth_user *)left)->name, ((const auth_user *)right)->name);
}

static mb_slice copy_text(char **at, mb_slice text) {
    if (text.len > 0) {
        memcpy(*at, text.ptr, text.len);
    }
    mb_slice copy = {*at, text.len};
    *at += text.len;
    return copy;
}

/* A header name under a key of the map; `otherwise` where it is missing or empty. */
static mb_slice read_name(mb_slice map, const char *key, mb_slice otherwise) {
    mb_slice value, name;
    if (mb_msgpack_find(map, mb_slice_from_c(key), &value) != MB_OK) {
        return otherwise;
    }
    mb_msgpack cursor = mb_msgpack_read(value);
    bool given = mb_msgpack_get_str(&cursor, &name) == MB_OK && name.len > 0;
    return given ? name : otherwise;
}

static int read_user(mb_slice map, auth_user *out) {
    mb_slice value, sha1;
    if (mb_msgpack_find(map, MB_SLICE_LIT("name"), &value) != MB_OK) {
        return MB_ECONFIG;
    }
    mb_msgpack cursor = mb_msgpack_read(value);
    if (mb_msgpack_get_str(&cursor, &out->name) != MB_OK || out->name.len == 0 ||
        mb_msgpack_find(map, MB_SLICE_LIT("sha1"), &value) != MB_OK) {
        return MB_ECONFIG;
    }
    cursor = mb_msgpack_read(value);
    if (mb_msgpack_get_str(&cursor, &sha1) != MB_OK || sha1.len != MB_SHA1_BYTES) {
        return MB_ECONFIG;
    }
    memcpy(out->sha1, sha1.ptr, MB_SHA1_BYTES);
    return MB_OK;
}

static int read_users(mb_msgpack cursor, uint32_t count, auth_config *config, char **text) {
    for (uint32_t i = 0; i < count; i++) {
        mb_slice map;
        if (mb_msgpack_value(&cursor, &map) != MB_OK ||
            read_user(map, &config->users[i]) != MB_OK) {
            return MB_ECONFIG;
        }
        config->users[i].name = copy_text(text, config->users[i].name);
    }
    config->user_count = count;
    qsort(config->users, count, sizeof(*config->users), compare_users);
    return MB_OK;
}

static int define_metrics(auth_config *config, mb_filter_args *args) {
    mb_header label = {MB_SLICE_LIT("filter"), args->name};
    int status = config->host->metric(args->worker, MB_COUNTER, MB_SLICE_LIT("basic_auth.allowed"),
                                      &label, 1, &config->allowed);
    return status != MB_OK
               ? status
               : config->host->metric(args->worker, MB_COUNTER, MB_SLICE_LIT("basic_auth.denied"),
                                      &label, 1, &config->denied);
}

static int on_config_new(void *module, mb_filter_args *args, void **out, uint32_t *wants) {
    mb_slice users;
    mb_msgpack cursor;
    uint32_t count = 0;
    (void)wants;
    if (mb_msgpack_find(args->config, MB_SLICE_LIT("users"), &users) != MB_OK) {
        args->error = MB_SLICE_LIT("users: is required");
        return MB_ECONFIG;
    }
    cursor = mb_msgpack_read(users);
    if (mb_msgpack_get_array(&cursor, &count) != MB_OK || count == 0 || count > users.len) {
        args->error = MB_SLICE_LIT("users: must be a list of at least one user");
        return MB_ECONFIG;
    }
    mb_slice header =
        read_name(args->config, "authentication_header", MB_SLICE_LIT("authorization"));
    mb_slice forward = read_name(args->config, "forward_username_header", MB_SLICE_LIT(""));
    /* No name is longer than the document that it stands in. */
    auth_config *config =
        malloc(sizeof(*config) + count * sizeof(auth_user) + args->config.len + header.len);
    if (config == NULL) {
        return MB_ENOMEM;
    }
    config->host = module;
    config->text = (char *)&config->users[count];
    char *text = config->text;
    config->header = copy_text(&text, header);
    config->forward = copy_text(&text, forward);
    int status = read_users(cursor, count, config, &text);
    if (status != MB_OK) {
        args->error = MB_SLICE_LIT("users: each needs a name and the 20 bytes of its sha1");
    } else {
        status = define_metrics(config, args);
    }
    if (status != MB_OK) {
        free(config);
        return status;
    }
    *out = config;
    return MB_OK;
}

static void on_config_free(void *module, void *config) {
    (void)module;
    free(config);
}

/* -- requests -------------------------------------------------------------------------------- */

static const auth_user *find_user(const auth_config *config, mb_slice name) {
    size_t low = 0;
    size_t high = config->user_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = mb_slice_compare(config->users[middle].name, name);
        if (order == 0) {
            return &config->users[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

static bool password_is_right(const auth_config *config, mb_slice name, mb_slice password) {
    static const uint8_t nobody[MB_SHA1_BYTES];
    const auth_user *user = find_user(config, name);
    const uint8_t *want = user != NULL ? user->sha1 : nobody;
    uint8_t got[MB_SHA1_BYTES];
    volatile uint8_t difference = 0;
    mb_sha1(password, got);
    for (size_t i = 0; i < MB_SHA1_BYTES; i++) {
        difference |= (uint8_t)(got[i] ^ want[i]);
    }
    return difference == 0 && user != NULL;
}

/* Decodes with or without padding, as Envoy. Returns the length, or < 0. */
static int64_t decode(mb_slice token, char *out) {
    char padded[TOKEN_CHARS_MAX];
    while (token.len > 0 && token.ptr[token.len - 1] == '=') {
        token.len--;
    }
    size_t length = (token.len + 3) / 4 * 4;
    if (length > sizeof(padded)) {
        return MB_EINVAL;
    }
    if (token.len > 0) {
        memcpy(padded, token.ptr, token.len);
    }
    memset(padded + token.len, '=', length - token.len);
    return mb_base64_decode((mb_slice){padded, length}, out);
}

#define DENIED(text, why)                                                                          \
    ((denial){MB_SLICE_LIT("User authentication failed. " text), MB_SLICE_LIT(why)})

/* Whether a request may pass; if not, why. `user` is what `decoded` holds of the name. */
static bool check(const auth_config *config, const mb_headers *request, char *decoded,
                  mb_slice *user, denial *why) {
    mb_slice value, password;
    if (config->host->headers_get(request, config->header, 0, &value) < 0) {
        *why = DENIED("Missing username and password.", "no_credential_for_basic_auth");
        return false;
    }
    if (!mb_slice_starts_with(value, MB_SLICE_LIT("Basic "))) {
        *why = DENIED("Expected 'Basic' authentication scheme.", "invalid_scheme_for_basic_auth");
        return false;
    }
    if (config->host->headers_get(request, config->header, 1, &password) >= 0) {
        value.len = 0; /* which of two counts is not for us to guess */
    }
    int64_t length = decode(mb_slice_skip(value, 6), decoded);
    mb_slice pair = {decoded, length < 0 ? 0 : (size_t)length};
    if (!mb_slice_split(pair, ':', user, &password)) {
        *why = DENIED("Invalid basic credential format.", "invalid_format_for_basic_auth");
        return false;
    }
    if (!password_is_right(config, *user, password)) {
        *why =
            DENIED("Invalid username/password combination.", "invalid_credential_for_basic_auth");
        return false;
    }
    return true;
}

typedef struct realm_text {
    char bytes[REALM_BYTES_MAX];
    size_t length;
} realm_text;

static void append(realm_text *out, mb_slice text) {
    size_t room = sizeof(out->bytes) - out->length;
    text = mb_slice_take(text, room);
    if (text.len > 0) {
        memcpy(out->bytes + out->length, text.ptr, text.len);
        out->length += text.len;
    }
}

/* The same as the inside of a quoted string. RFC 9110 5.6.4. */
static void append_quoted(realm_text *out, mb_slice text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') {
            append(out, MB_SLICE_LIT("\\"));
        }
        append(out, (mb_slice){text.ptr + i, 1});
    }
}

/* The URI that was asked for. */
static void make_realm(const mb_host *host, const mb_headers *request, realm_text *out) {
    mb_slice scheme = {"", 0}, authority = {"", 0}, path = {"", 0};
    host->headers_get(request, MB_SLICE_LIT(":scheme"), 0, &scheme);
    host->headers_get(request, MB_SLICE_LIT(":authority"), 0, &authority);
    host->headers_get(request, MB_SLICE_LIT(":path"), 0, &path);
    host->headers_get(request, MB_SLICE_LIT("x-envoy-original-path"), 0, &path);
    append(out, MB_SLICE_LIT("Basic realm=\""));
    append_quoted(out, scheme);
    append(out, MB_SLICE_LIT("://"));
    append_quoted(out, mb_slice_take(authority, REALM_PATH_BYTES_MAX));
    append_quoted(out, mb_slice_take(path, REALM_PATH_BYTES_MAX));
    out->length = out->length < sizeof(out->bytes) ? out->length : sizeof(out->bytes) - 1;
    append(out, MB_SLICE_LIT("\""));
}

static mb_headers_status refuse(mb_filter *filter, const mb_headers *request, const denial *why) {
    const auth_config *config = filter->config;
    realm_text realm = {.length = 0};
    make_realm(config->host, request, &realm);
    mb_header header = {MB_SLICE_LIT("www-authenticate"), {realm.bytes, realm.length}};
    mb_local_reply reply = {
        .status = 401,
        .headers = &header,
        .header_count = 1,
        .body = why->body,
        .details = why->details,
    };
    config->host->metric_add(config->denied, 1);
    if (config->host->respond(filter, &reply) != MB_OK) {
        /* Whatever happens, the request does not pass. */
        config->host->reset(filter->stream, why->details);
    }
    return MB_HEADERS_STOP_ITERATION;
}

static mb_headers_status on_request_headers(mb_filter *filter, bool end_stream) {
    const auth_config *config = filter->config;
    mb_headers *request = config->host->headers(filter->stream, MB_REQUEST);
    char decoded[TOKEN_CHARS_MAX / 4 * 3];
    mb_slice user;
    denial why;
    (void)end_stream;
    if (!check(config, request, decoded, &user, &why)) {
        return refuse(filter, request, &why);
    }
    if (config->forward.len > 0 &&
        config->host->headers_set(request, config->forward, user) != MB_OK) {
        /* A name that is no header value: nobody behind us could tell who it is. */
        why = DENIED("Invalid username/password combination.", "invalid_credential_for_basic_auth");
        return refuse(filter, request, &why);
    }
    config->host->metric_add(config->allowed, 1);
    return MB_HEADERS_CONTINUE;
}

const mb_filter_hooks mb__basic_auth_hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_filter_hooks),
    .config_new = on_config_new,
    .config_free = on_config_free,
    .request_headers = on_request_headers,
};
