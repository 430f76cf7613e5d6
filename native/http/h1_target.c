/*
 * The request target and Host: the four forms of RFC 9112 3.2, and where `:path`, `:authority` and
 * `:scheme` come from. Part of h1_parse.h.
 *
 * In absolute-form the target's authority counts and Host is only checked (RFC 9112 3.2.2), so
 * that what is routed by and what is sent on can't differ.
 */
#include "base/slice.h"
#include "http/chars.h"
#include "http/h1_parse.h"

/* "?query" without a path gets the one that it stands for. */
static mb_h1_fault set_path(mb_headers *headers, mb_slice rest, bool options) {
    char *path;

    if (rest.len == 0) {
        /* RFC 9112 3.2.4: OPTIONS of a whole server. */
        headers->pseudo[MB_PSEUDO_PATH] = options ? MB_SLICE_LIT("*") : MB_SLICE_LIT("/");
        return MB_H1_FINE;
    }
    if (rest.ptr[0] == '/') {
        headers->pseudo[MB_PSEUDO_PATH] = rest;
        return MB_H1_FINE;
    }
    path = mb_arena_bytes(headers->arena, rest.len + 1);
    if (path == NULL) {
        return MB_H1_NO_MEMORY;
    }
    path[0] = '/';
    memcpy(path + 1, rest.ptr, rest.len);
    headers->pseudo[MB_PSEUDO_PATH] = (mb_slice){path, rest.len + 1};
    return MB_H1_FINE;
}

/* scheme "://" authority [path] ["?" query] */
static mb_h1_fault parse_absolute(mb_slice target, mb_headers *headers, bool options,
                                  mb_slice *authority) {
    static const mb_slice http = {"http://", 7}, https = {"https://", 8};
    size_t end = 0;
    mb_slice rest;

    if (mb_slice_starts_with_nocase(target, http)) {
        headers->pseudo[MB_PSEUDO_SCHEME] = mb_slice_take(http, 4);
        rest = mb_slice_skip(target, http.len);
    } else if (mb_slice_starts_with_nocase(target, https)) {
        headers->pseudo[MB_PSEUDO_SCHEME] = mb_slice_take(https, 5);
        rest = mb_slice_skip(target, https.len);
    } else {
        int64_t colon = mb_slice_index(target, ':');

        return colon > 0 && mb_slice_starts_with(mb_slice_skip(target, (size_t)colon),
                                                 MB_SLICE_LIT("://"))
                   ? MB_H1_TARGET_SCHEME
                   : MB_H1_TARGET_FORM;
    }
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?') {
        end++;
    }
    *authority = mb_slice_take(rest, end);
    if (!mb_http_is_authority(*authority)) {
        return MB_H1_TARGET_AUTHORITY;
    }
    return set_path(headers, mb_slice_skip(rest, end), options);
}

static mb_h1_fault check_host(const mb_codec_options *options, const mb_h1_message *message,
                              mb_slice *authority) {
    bool absolute = authority->len != 0;
    mb_slice host = message->host;

    if (message->host_count > 1) {
        return MB_H1_HOST_REPEATED;
    }
    if (message->host_count == 0) {
        if (message->minor == 1 || (!absolute && options->default_host.len == 0)) {
            return MB_H1_HOST_MISSING;
        }
        host = absolute ? *authority : options->default_host;
    }
    if (!mb_http_is_authority(host)) {
        return MB_H1_HOST;
    }
    if (!absolute) {
        *authority = host;
    }
    return MB_H1_FINE;
}

mb_h1_fault mb_h1_parse_target(mb_slice target, const mb_codec_options *options,
                               mb_headers *headers, const mb_h1_message *message) {
    bool is_options = message->method == MB_H1_OPTIONS;
    mb_slice authority = {NULL, 0};
    mb_h1_fault fault = MB_H1_FINE;

    if (message->method == MB_H1_CONNECT_METHOD) {
        if (!mb_http_is_authority(target)) {
            return MB_H1_TARGET_FORM;
        }
        authority = target;
        headers->pseudo[MB_PSEUDO_AUTHORITY] = target;
        return check_host(options, message, &authority);
    }
    if (memchr(target.ptr, '#', target.len) != NULL) {
        return MB_H1_TARGET;
    }
    if (target.ptr[0] == '/') {
        headers->pseudo[MB_PSEUDO_PATH] = target;
    } else if (target.len == 1 && target.ptr[0] == '*') {
        headers->pseudo[MB_PSEUDO_PATH] = target;
        fault = is_options ? MB_H1_FINE : MB_H1_TARGET_FORM;
    } else {
        fault = parse_absolute(target, headers, is_options, &authority);
    }
    if (fault == MB_H1_FINE) {
        fault = check_host(options, message, &authority);
        headers->pseudo[MB_PSEUDO_AUTHORITY] = authority;
    }
    return fault;
}
