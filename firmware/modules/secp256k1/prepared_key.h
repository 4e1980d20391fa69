// Keys that verify many signatures: a table of their multiples, made once, takes 96 of 128 doublings and the square root
// out of each verification. For public numbers only: everything here takes a time that depends on its input.

#ifndef TESSERA_PREPARED_KEY_H
#define TESSERA_PREPARED_KEY_H

#include <stdbool.h>
#include <stdint.h>

// A scalar is cut in two halves by the endomorphism, each half in four chunks; chunk i has its own multiples, those of
// 2^(32·i)·P. The window of a key is what RAM allows: 8 points a chunk, 2 KB. One more bit takes 2 KB and saves 6 of 80
// additions. That of the generator, whose table lies in flash, is 16 points a chunk, 4 KB.
#define PREPARED_CHUNKS 4
#define PREPARED_CHUNK_BITS 32
#define PREPARED_KEY_WINDOW 5
#define PREPARED_GENERATOR_WINDOW 6
#define PREPARED_POINTS(window) (1 << ((window) - 2))

// An affine point as the library stores it (its alignment may be 8).
typedef struct {
    uint64_t words[8];
} prepared_point;

typedef struct {
    uint8_t key[32];
    prepared_point multiples[PREPARED_CHUNKS * PREPARED_POINTS(PREPARED_KEY_WINDOW)];
} prepared_key;

// Prepares an x-only key (32 bytes); false if it is not on the curve.
bool prepared_key_make(prepared_key *prepared, const uint8_t *key);

// BIP-340, of a message of 32 bytes.
bool prepared_key_verify(const prepared_key *prepared, const uint8_t *signature, const uint8_t *message);

#endif
