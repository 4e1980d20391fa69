// The compression function of SHA-256 on a Cortex-M0+ (sha256_m0.py). README.md says how to build and use it.

#ifndef TESSERA_SHA256_H
#define TESSERA_SHA256_H

#include <stdint.h>

// Takes a block of 64 bytes, aligned or not, into the eight words of the state.
void tessera_sha256_block(uint32_t state[8], const uint8_t *block);

#endif
