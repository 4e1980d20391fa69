// The library's SHA-256 with our block function (firmware/modules/sha256) in place of its own, which is 13 KB that run
// through for each block: on a chip that executes from flash through a cache of 16 KB that would push out the rest of a
// verification.
//
// The rest of the library's hash_impl.h stays: the build makes a copy of it in which its own block function has another
// name (micropython.cmake), so that it calls this one.

#ifndef TESSERA_HASH_COMPACT_H
#define TESSERA_HASH_COMPACT_H

#include "sha256.h"

static void secp256k1_sha256_transform(uint32_t *s, const unsigned char *buf) {
    tessera_sha256_block(s, buf);
}

#include "library_hash_impl.h"

#endif
