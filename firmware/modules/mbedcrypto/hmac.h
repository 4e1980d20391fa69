// HMAC-SHA-256 under a key whose two padded blocks are hashed once, for the types of the module mbedcrypto. Nothing here
// allocates or raises but check(), after what is secret was cleared.

#ifndef TESSERA_HMAC_H
#define TESSERA_HMAC_H

#include <stddef.h>
#include <stdint.h>

#include <mbedtls/sha256.h>

#define BLOCK_BYTES 64
#define DIGEST_BYTES 32

typedef struct {
    mbedtls_sha256_context inner; // after the block key ^ ipad
    mbedtls_sha256_context outer; // after the block key ^ opad
} hmac_key;

// Raises RuntimeError unless mbedTLS was content.
void mbedcrypto_check(int status);

// A key of any length.
void hmac_make(hmac_key *key, const uint8_t *bytes, size_t length);

// A MAC: begin, mbedtls_sha256_update() of the message, end.
void hmac_begin(mbedtls_sha256_context *context, const hmac_key *key);
void hmac_end(mbedtls_sha256_context *context, const hmac_key *key, uint8_t *digest);

#endif
