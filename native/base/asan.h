/*
 * Marks memory that nobody may touch now, so that AddressSanitizer reports a use of a slab or an
 * arena after its release although the block never went back to the allocator. Nothing elsewhere.
 */
#ifndef MB_BASE_ASAN_H
#define MB_BASE_ASAN_H

#if defined(__SANITIZE_ADDRESS__)
#define MB_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MB_HAS_ASAN 1
#endif
#endif

#ifdef MB_HAS_ASAN
#include <sanitizer/asan_interface.h>
#define MB_POISON(at, bytes) ASAN_POISON_MEMORY_REGION((at), (bytes))
#define MB_UNPOISON(at, bytes) ASAN_UNPOISON_MEMORY_REGION((at), (bytes))
#else
#define MB_POISON(at, bytes) ((void)(at), (void)(bytes))
#define MB_UNPOISON(at, bytes) ((void)(at), (void)(bytes))
#endif

#endif
