// The block function of SHA-256 in 1 KB instead of the library's 13, all of which it runs through for each block: on a
// chip that executes from flash through a cache of 16 KB that would push out the rest of a verification.
//
// The rest of the library's hash_impl.h stays: the build makes a copy of it in which its own block function has another
// name (micropython.cmake), so that it calls this one. FIPS 180-4, 6.2.

#ifndef TESSERA_HASH_COMPACT_H
#define TESSERA_HASH_COMPACT_H

#include <stdint.h>

static const uint32_t tessera_sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static inline uint32_t tessera_rotated(uint32_t x, int bits) {
    return x >> bits | x << (32 - bits);
}

static void tessera_sha256_schedule(uint32_t *w, const unsigned char *block) {
    for (int i = 0; i < 16; i++, block += 4) {
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    }
    for (int i = 16; i < 64; i++) {
        const uint32_t x = w[i - 15], y = w[i - 2];
        w[i] = w[i - 16] + (tessera_rotated(x, 7) ^ tessera_rotated(x, 18) ^ x >> 3)
            + w[i - 7] + (tessera_rotated(y, 17) ^ tessera_rotated(y, 19) ^ y >> 10);
    }
}

// Of one round; what the state's names shift by, the caller's names do.
#define TESSERA_SHA256_ROUND(a, b, c, d, e, f, g, h, i) do { \
        h += (tessera_rotated(e, 6) ^ tessera_rotated(e, 11) ^ tessera_rotated(e, 25)) \
            + (g ^ (e & (f ^ g))) + tessera_sha256_constants[i] + w[i]; \
        d += h; \
        h += (tessera_rotated(a, 2) ^ tessera_rotated(a, 13) ^ tessera_rotated(a, 22)) \
            + ((a & b) | (c & (a | b))); \
} while (0)

static __attribute__((noinline)) void secp256k1_sha256_transform(uint32_t *s, const unsigned char *buf) {
    uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    uint32_t w[64];
    tessera_sha256_schedule(w, buf);
    for (int i = 0; i < 64; i += 4) {
        TESSERA_SHA256_ROUND(a, b, c, d, e, f, g, h, i);
        TESSERA_SHA256_ROUND(h, a, b, c, d, e, f, g, i + 1);
        TESSERA_SHA256_ROUND(g, h, a, b, c, d, e, f, i + 2);
        TESSERA_SHA256_ROUND(f, g, h, a, b, c, d, e, i + 3);
        const uint32_t upper[4] = {e, f, g, h};
        e = a, f = b, g = c, h = d;
        a = upper[0], b = upper[1], c = upper[2], d = upper[3];
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e, s[5] += f, s[6] += g, s[7] += h;
}

#include "library_hash_impl.h"

#endif
