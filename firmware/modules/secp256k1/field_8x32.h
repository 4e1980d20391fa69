// A field element of secp256k1 as eight saturated words: the representation, in place of libsecp256k1's field_5x52.h
// and field_10x26.h. Include it before any file of the library: its include guard is theirs, so the library takes it
// instead of its own.
//
// Every value below 2^256 is valid; "normalized" is below p. No magnitudes: nothing ever overflows, so the library's
// normalize_weak() has nothing to do. What computes with it is field_8x32_impl.h.

#ifndef SECP256K1_FIELD_REPR_H
#define SECP256K1_FIELD_REPR_H

#include <stdint.h>

typedef struct {
    uint32_t n[8]; // the lowest word first
    #ifdef VERIFY
    int magnitude; // the library's own bookkeeping in its tests (SECP256K1_FE_VERIFY_FIELDS)
    int normalized;
    #endif
} secp256k1_fe;

typedef struct {
    uint32_t n[8];
} secp256k1_fe_storage;

#define SECP256K1_FE_CONST_INNER(d7, d6, d5, d4, d3, d2, d1, d0) {(d0), (d1), (d2), (d3), (d4), (d5), (d6), (d7)}
#define SECP256K1_FE_STORAGE_CONST(d7, d6, d5, d4, d3, d2, d1, d0) {{(d0), (d1), (d2), (d3), (d4), (d5), (d6), (d7)}}
#define SECP256K1_FE_STORAGE_CONST_GET(d) d.n[7], d.n[6], d.n[5], d.n[4], d.n[3], d.n[2], d.n[1], d.n[0]

#endif
