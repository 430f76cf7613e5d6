/*
 * Reading a ClientHello. See client_hello.h; called by the TLS inspector and by a fuzzer.
 *
 * Records are checked one after another; when they hold the whole message its body is read with a
 * cursor that sticks at its first error. The rule for what is malformed: whatever makes the
 * length of anything uncertain, an extension twice, and a server name that is no name. Values that
 * are not needed here, cipher suites and GREASE (RFC 8701) among them, are not looked at.
 */
#include "net/client_hello.h"

#include "base/slice.h"

#define RECORD_HEAD_BYTES 5u
#define RECORD_MAX_BYTES (16u * 1024u) /* RFC 8446 5.1 */
#define MESSAGE_HEAD_BYTES 4u
#define SERVER_NAME_MAX_BYTES 255u

enum { EXTENSION_SERVER_NAME = 0, EXTENSION_ALPN = 16, EXTENSION_SUPPORTED_VERSIONS = 43 };

/* -- a cursor ------------------------------------------------------------------------------ */

typedef struct cursor {
    mb_slice rest;
    bool bad; /* something was longer than what is left */
} cursor;

static mb_slice take(cursor *at, size_t len) {
    if (at->bad || len > at->rest.len) {
        at->bad = true;
        return (mb_slice){"", 0};
    }
    mb_slice taken = mb_slice_take(at->rest, len);
    at->rest = mb_slice_skip(at->rest, len);
    return taken;
}

/* A number of `len` bytes, most significant first; 0 after an error. */
static uint32_t take_number(cursor *at, size_t len) {
    mb_slice bytes = take(at, len);
    uint32_t value = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        value = value << 8 | (uint8_t)bytes.ptr[i];
    }
    return value;
}

/* A vector whose length stands in `len` bytes before it. RFC 8446 3.4 */
static mb_slice take_vector(cursor *at, size_t len) {
    return take(at, take_number(at, len));
}

/* -- extensions ---------------------------------------------------------------------------- */

/* One host_name, which is what every client sends. RFC 6066 3 */
static bool read_server_name(mb_slice body, mb_client_hello *out) {
    cursor at = {.rest = body};
    cursor list = {.rest = take_vector(&at, 2)};
    uint32_t type = take_number(&list, 1);
    mb_slice name = take_vector(&list, 2);
    if (at.bad || list.bad || at.rest.len > 0 || list.rest.len > 0 || type != 0) {
        return false;
    }
    if (name.len == 0 || name.len > SERVER_NAME_MAX_BYTES || mb_slice_index(name, '\0') >= 0) {
        return false;
    }
    out->server_name = name;
    return true;
}

bool mb_alpn_next(mb_slice *rest, mb_slice *protocol) {
    cursor at = {.rest = *rest};
    mb_slice name = take_vector(&at, 1);
    if (at.bad) {
        return false;
    }
    *rest = at.rest;
    *protocol = name;
    return true;
}

/* RFC 7301 3.1 */
static bool read_alpn(mb_slice body, mb_client_hello *out) {
    cursor at = {.rest = body};
    mb_slice list = take_vector(&at, 2);
    if (at.bad || at.rest.len > 0 || list.len == 0) {
        return false;
    }
    mb_slice rest = list, name;
    while (rest.len > 0) {
        if (!mb_alpn_next(&rest, &name) || name.len == 0) {
            return false;
        }
    }
    out->alpn = list;
    return true;
}

/* The newest of those that are TLS versions; GREASE values are not. RFC 8446 4.2.1 */
static bool read_versions(mb_slice body, mb_client_hello *out) {
    cursor at = {.rest = body};
    cursor list = {.rest = take_vector(&at, 1)};
    if (at.bad || at.rest.len > 0) {
        return false;
    }
    uint16_t newest = 0;
    while (list.rest.len > 0 && !list.bad) {
        uint16_t version = (uint16_t)take_number(&list, 2);
        if (version >> 8 == 3 && version > newest) {
            newest = version;
        }
    }
    if (newest > 0) {
        out->version = newest;
    }
    return !list.bad;
}

static bool read_extension(uint32_t type, mb_slice body, mb_client_hello *out) {
    switch (type) {
    case EXTENSION_SERVER_NAME:
        return read_server_name(body, out);
    case EXTENSION_ALPN:
        return read_alpn(body, out);
    case EXTENSION_SUPPORTED_VERSIONS:
        return read_versions(body, out);
    default:
        return true;
    }
}

static bool read_extensions(mb_slice body, mb_client_hello *out) {
    cursor at = {.rest = body};
    uint64_t seen = 0; /* of those that are read, whose types are all below 64 */
    while (at.rest.len > 0 && !at.bad) {
        uint32_t type = take_number(&at, 2);
        mb_slice value = take_vector(&at, 2);
        uint64_t bit = type < 64 ? UINT64_C(1) << type : 0;
        if (at.bad || (seen & bit) != 0 || !read_extension(type, value, out)) {
            return false;
        }
        seen |= bit;
    }
    return !at.bad;
}

/* RFC 8446 4.1.2, the same in every version since TLS 1.0. */
static bool read_body(mb_slice body, mb_client_hello *out) {
    cursor at = {.rest = body};
    mb_client_hello hello = {.version = (uint16_t)take_number(&at, 2)};
    take(&at, 32); /* random */
    mb_slice session = take_vector(&at, 1);
    mb_slice ciphers = take_vector(&at, 2);
    mb_slice compression = take_vector(&at, 1);
    if (at.bad || hello.version >> 8 != 3 || session.len > 32 || ciphers.len < 2 ||
        ciphers.len % 2 != 0 || compression.len == 0) {
        return false;
    }
    if (at.rest.len > 0) { /* a client of TLS 1.0 may send none */
        mb_slice extensions = take_vector(&at, 2);
        if (at.bad || at.rest.len > 0 || !read_extensions(extensions, &hello)) {
            return false;
        }
    }
    *out = hello;
    return true;
}

/* -- records ------------------------------------------------------------------------------- */

/* Whether what there is of `bytes` can begin a record of a handshake. RFC 8446 5.1 */
static bool may_be_record(mb_slice bytes) {
    static const uint8_t head[2] = {22, 3};
    for (size_t i = 0; i < bytes.len && i < sizeof(head); i++) {
        if ((uint8_t)bytes.ptr[i] != head[i]) {
            return false;
        }
    }
    return true;
}

/* The next record's fragment. Its length with the head, MB_EAGAIN (`*fragment` is what there is of
 * it), MB_EPROTO. */
static int64_t next_record(mb_slice bytes, mb_slice *fragment) {
    if (!may_be_record(bytes)) {
        return MB_EPROTO;
    }
    *fragment = mb_slice_skip(bytes, RECORD_HEAD_BYTES);
    if (bytes.len < RECORD_HEAD_BYTES) {
        return MB_EAGAIN;
    }
    size_t len = (size_t)(uint8_t)bytes.ptr[3] << 8 | (uint8_t)bytes.ptr[4];
    if (len == 0 || len > RECORD_MAX_BYTES) {
        return MB_EPROTO;
    }
    if (fragment->len < len) {
        return MB_EAGAIN;
    }
    fragment->len = len;
    return (int64_t)(RECORD_HEAD_BYTES + len);
}

/* What is known of the message after some records. */
typedef struct message {
    mb_slice first; /* fragment of the first record */
    char head[MESSAGE_HEAD_BYTES];
    size_t received; /* of head and body */
    size_t wire;     /* bytes of the whole records so far */
    uint32_t records;
} message;

static size_t message_length(const message *m) {
    const uint8_t *head = (const uint8_t *)m->head;
    return MESSAGE_HEAD_BYTES + ((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]);
}

/* MB_OK, or MB_EPROTO when it is no ClientHello, MB_ELIMIT when it will be too long. */
static int add_fragment(message *m, mb_slice fragment, size_t max_bytes) {
    size_t missing = m->received < MESSAGE_HEAD_BYTES ? MESSAGE_HEAD_BYTES - m->received : 0;
    mb_slice head = mb_slice_take(fragment, missing);
    if (head.len > 0) {
        memcpy(m->head + m->received, head.ptr, head.len);
    }
    m->received += fragment.len;
    if (m->received > 0 && m->head[0] != 1) { /* client_hello */
        return MB_EPROTO;
    }
    bool known = m->received >= MESSAGE_HEAD_BYTES;
    return known && message_length(m) + RECORD_HEAD_BYTES > max_bytes ? MB_ELIMIT : MB_OK;
}

/* Collects records until they hold the whole message. MB_OK, MB_EAGAIN or an error. */
static int collect(mb_slice bytes, size_t max_bytes, message *m) {
    for (;;) {
        mb_slice fragment = {NULL, 0};
        int64_t record = next_record(mb_slice_skip(bytes, m->wire), &fragment);
        if (record < 0 && record != MB_EAGAIN) {
            return (int)record;
        }
        int result = add_fragment(m, fragment, max_bytes);
        if (result != MB_OK) {
            return result;
        }
        if (record == MB_EAGAIN) {
            return bytes.len >= max_bytes ? MB_ELIMIT : MB_EAGAIN;
        }
        m->first = m->records == 0 ? fragment : m->first;
        m->records++;
        m->wire += (size_t)record;
        if (m->received >= MESSAGE_HEAD_BYTES && m->received >= message_length(m)) {
            return m->wire > max_bytes ? MB_ELIMIT : MB_OK;
        }
    }
}

/* The message's bytes in one piece. MB_OK or MB_ENOMEM. */
static int join(mb_slice bytes, const message *m, mb_text *joined, mb_slice *out) {
    mb_slice all = m->first;
    if (m->records > 1) {
        mb_text_clear(joined);
        for (size_t at = 0; at < m->wire;) {
            mb_slice fragment = {NULL, 0};
            at += (size_t)next_record(mb_slice_skip(bytes, at), &fragment);
            mb_text_append(joined, fragment);
        }
        if (joined->status != MB_OK) {
            return MB_ENOMEM;
        }
        all = mb_text_view(joined);
    }
    *out = mb_slice_take(all, message_length(m));
    return MB_OK;
}

int64_t mb_client_hello_read(mb_slice bytes, size_t max_bytes, mb_text *joined,
                             mb_client_hello *out) {
    message m = {.received = 0};
    mb_slice whole;
    int result = collect(bytes, max_bytes, &m);
    if (result == MB_OK) {
        result = join(bytes, &m, joined, &whole);
    }
    if (result != MB_OK) {
        return result;
    }
    /* Nothing may follow it in its record: the client waits for the answer. RFC 8446 5.1 */
    if (m.received > message_length(&m) ||
        !read_body(mb_slice_skip(whole, MESSAGE_HEAD_BYTES), out)) {
        return MB_EPROTO;
    }
    return (int64_t)m.wire;
}
