// Products of scalars in place of those of the library's scalar_8x32_impl.h: the 512-bit product is the field's
// (tessera_wide_mul), its reduction modulo the group order remains the library's. Include it after field_8x32_impl.h.
// Where the library's scalars are not eight words of 32 bits, this file has no effect.

#ifndef TESSERA_SCALAR_WIDE_H
#define TESSERA_SCALAR_WIDE_H

#if defined(SECP256K1_WIDEMUL_INT64) && !defined(EXHAUSTIVE_TEST_ORDER)

#define secp256k1_scalar_mul library_scalar_mul
#define secp256k1_scalar_mul_shift_var library_scalar_mul_shift_var
#include "src/scalar.h"
#include "src/scalar_8x32_impl.h"
#undef secp256k1_scalar_mul
#undef secp256k1_scalar_mul_shift_var

static void secp256k1_scalar_mul(secp256k1_scalar *r, const secp256k1_scalar *a, const secp256k1_scalar *b) {
    uint32_t product[16];
    tessera_wide_mul(product, a->d, b->d);
    secp256k1_scalar_reduce_512(r, product);
}

// r = a·b / 2^shift, rounded; shift is 256 or more, a constant of the caller's.
static void secp256k1_scalar_mul_shift_var(
    secp256k1_scalar *r, const secp256k1_scalar *a, const secp256k1_scalar *b, unsigned int shift) {
    uint32_t product[16];
    const unsigned int word = shift / 32, bit = shift % 32;
    VERIFY_CHECK(shift >= 256 && shift < 512);
    tessera_wide_mul(product, a->d, b->d);
    for (unsigned int i = 0; i < 8; i++) {
        const uint32_t low = word + i < 16 ? product[word + i] : 0;
        const uint32_t high = word + i + 1 < 16 ? product[word + i + 1] : 0;
        r->d[i] = bit ? low >> bit | high << (32 - bit) : low;
    }
    secp256k1_scalar_cadd_bit(r, 0, product[(shift - 1) / 32] >> ((shift - 1) % 32) & 1);
}

#endif
#endif
