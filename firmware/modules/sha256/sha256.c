// Blocks that are not aligned to words, and what mbedTLS asks for by MBEDTLS_SHA256_PROCESS_ALT.

#include <string.h>

#include "sha256.h"

#define BLOCK_BYTES 64

void tessera_m0_sha256(uint32_t state[8], const uint32_t *block);

void tessera_sha256_block(uint32_t state[8], const uint8_t *block) {
    if ((uintptr_t)block & 3) {
        uint32_t words[BLOCK_BYTES / 4];
        memcpy(words, block, BLOCK_BYTES);
        tessera_m0_sha256(state, words);
        memset(words, 0, sizeof(words));
        __asm__ volatile ("" : : "r" (words) : "memory"); // nobody reads it, and it is to be cleared
    } else {
        tessera_m0_sha256(state, (const uint32_t *)(const void *)block);
    }
}

#ifdef MBEDTLS_SHA256_PROCESS_ALT

#define MBEDTLS_ALLOW_PRIVATE_ACCESS // of the context, whose state this is about
#include <mbedtls/sha256.h>

int mbedtls_internal_sha256_process(mbedtls_sha256_context *context, const unsigned char block[BLOCK_BYTES]) {
    tessera_sha256_block(context->state, block);
    return 0;
}

#endif
