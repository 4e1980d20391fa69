// The primitives of the field of secp256k1 in portable C: numbers of eight 32-bit words, the lowest first, every one
// below 2^256 valid (so two numbers below C = 2^32 + 977 have two forms). field_8x32_impl.h builds the library's field
// from these; field_m0.h has the same primitives for the Cortex-M0+.
//
// Where there is an instruction for a * b + c + d (UMAAL: Cortex-M33), field_umaal.h has what chains of carries and
// products are made of; the rest is the same.
//
// Constant time: no branch and no address depends on a number (tests/field/test_field.py asks the compilers). Whether a
// multiplication's time does is the processor's: it does not on a Cortex-M33, it does on a Cortex-M3. A result may be
// the same array as an argument, but for wide_mul() and wide_sqr().

#ifndef TESSERA_FIELD_PORTABLE_H
#define TESSERA_FIELD_PORTABLE_H

#include <stdint.h>

// p = 2^256 - C, so 2^256 = C (mod p), C = 2^32 + 977.
#define TESSERA_C_LOW 977u

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)

#include "field_umaal.h"

#else

// -- chains of carries

// Adds b and a carry of 0 or 1, and leaves the next carry.
static inline uint32_t tessera_adc(uint32_t a, uint32_t b, uint32_t *carry) {
    uint64_t sum = (uint64_t)a + b + *carry;
    *carry = (uint32_t)(sum >> 32);
    return (uint32_t)sum;
}

// Subtracts b and a borrow of 0 or 1, and leaves the next borrow.
static inline uint32_t tessera_sbb(uint32_t a, uint32_t b, uint32_t *borrow) {
    uint64_t difference = (uint64_t)a - b - *borrow;
    *borrow = (uint32_t)(difference >> 63);
    return (uint32_t)difference;
}

// r += a; returns the carry
static inline uint32_t tessera_add_words(uint32_t r[8], const uint32_t a[8]) {
    uint32_t carry = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        r[i] = tessera_adc(r[i], a[i], &carry);
    }
    return carry;
}

// r -= a; returns the borrow
static inline uint32_t tessera_sub_words(uint32_t r[8], const uint32_t a[8]) {
    uint32_t borrow = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        r[i] = tessera_sbb(r[i], a[i], &borrow);
    }
    return borrow;
}

// r += the number of three words, below 2^67. A carry out of 2^256 leaves less than that: when C is added for it, the
// third word takes the last carry there can be.
static inline void tessera_add_folded(uint32_t r[8], uint32_t low, uint32_t middle, uint32_t high) {
    uint32_t carry = 0;
    r[0] = tessera_adc(r[0], low, &carry);
    r[1] = tessera_adc(r[1], middle, &carry);
    r[2] = tessera_adc(r[2], high, &carry);
    #pragma GCC unroll 8
    for (int i = 3; i < 8; i++) {
        r[i] = tessera_adc(r[i], 0, &carry);
    }
    uint32_t again = carry;
    carry = 0;
    r[0] = tessera_adc(r[0], again * TESSERA_C_LOW, &carry);
    r[1] = tessera_adc(r[1], again, &carry);
    r[2] += carry;
}

// r -= the number of two words, up to 2C. A borrow leaves at least 2^256 - 2C: when C is subtracted for it, no second
// one leaves the first two words.
static inline void tessera_sub_folded(uint32_t r[8], uint32_t low, uint32_t high) {
    uint32_t borrow = 0;
    r[0] = tessera_sbb(r[0], low, &borrow);
    r[1] = tessera_sbb(r[1], high, &borrow);
    #pragma GCC unroll 8
    for (int i = 2; i < 8; i++) {
        r[i] = tessera_sbb(r[i], 0, &borrow);
    }
    uint32_t again = borrow;
    borrow = 0;
    r[0] = tessera_sbb(r[0], again * TESSERA_C_LOW, &borrow);
    r[1] = tessera_sbb(r[1], again, &borrow);
}

// -- products, not reduced: column by column, where the carry between two columns is one number and not one a product

// carry, word = a * b + word + carry
static inline void tessera_multiply_add(uint32_t *word, uint32_t *carry, uint32_t a, uint32_t b) {
    uint64_t product = (uint64_t)a * b + *word + *carry;
    *word = (uint32_t)product;
    *carry = (uint32_t)(product >> 32);
}

// The column that is being added up: three words, which hold the eight products of the longest one and its carry. In
// words and comparisons, because compilers make branches of the overflow of two words.
typedef struct {
    uint32_t low, middle, high;
} tessera_column;

static inline void tessera_column_add(tessera_column *column, uint32_t a, uint32_t b) {
    uint64_t product = (uint64_t)a * b;
    uint32_t low = (uint32_t)product, high = (uint32_t)(product >> 32);
    column->low += low;
    high += column->low < low;
    column->middle += high;
    column->high += column->middle < high;
}

// Adds twice what another column has.
static inline void tessera_column_add_twice(tessera_column *column, const tessera_column *other) {
    uint32_t low = other->low << 1, middle = other->middle << 1 | other->low >> 31;
    uint32_t carry = 0;
    column->low = tessera_adc(column->low, low, &carry);
    column->middle = tessera_adc(column->middle, middle, &carry);
    column->high += (other->high << 1 | other->middle >> 31) + carry;
}

// The column's lowest word; the others are the carry into the next.
static inline uint32_t tessera_column_shift(tessera_column *column) {
    uint32_t word = column->low;
    column->low = column->middle;
    column->middle = column->high;
    column->high = 0;
    return word;
}

#define TESSERA_FIRST(k) ((k) < 8 ? 0 : (k) - 7)

// wide = a * b
static inline void tessera_wide_mul(uint32_t wide[16], const uint32_t a[8], const uint32_t b[8]) {
    tessera_column column = {0};
    #pragma GCC unroll 15
    for (int k = 0; k < 15; k++) {
        #pragma GCC unroll 8
        for (int i = TESSERA_FIRST(k); i <= k - TESSERA_FIRST(k); i++) {
            tessera_column_add(&column, a[i], b[k - i]);
        }
        wide[k] = tessera_column_shift(&column);
    }
    wide[15] = column.low;
}

// wide = a * a: what is off the diagonal once, then doubled
static inline void tessera_wide_sqr(uint32_t wide[16], const uint32_t a[8]) {
    tessera_column column = {0};
    #pragma GCC unroll 15
    for (int k = 0; k < 15; k++) {
        tessera_column products = {0};
        #pragma GCC unroll 4
        for (int i = TESSERA_FIRST(k); 2 * i < k; i++) {
            tessera_column_add(&products, a[i], a[k - i]);
        }
        tessera_column_add_twice(&column, &products);
        if (k % 2 == 0) {
            tessera_column_add(&column, a[k / 2], a[k / 2]);
        }
        wide[k] = tessera_column_shift(&column);
    }
    wide[15] = column.low;
}

#endif

// -- linear operations, in place where they have one argument beside the result

// r += top * 2^256 = top * C for a top below 2^34, which is the low word and the bits above it
static inline void tessera_fold(uint32_t r[8], uint32_t top, uint32_t above) {
    uint64_t low = (uint64_t)top * TESSERA_C_LOW;
    uint64_t high = (low >> 32) + above * TESSERA_C_LOW + top;
    tessera_add_folded(r, (uint32_t)low, (uint32_t)high, (uint32_t)(high >> 32) + above);
}

// r += a
static void tessera_fe_add(uint32_t r[8], const uint32_t a[8]) {
    uint32_t carry = tessera_add_words(r, a);
    tessera_add_folded(r, carry * TESSERA_C_LOW, carry, 0);
}

// r -= a
static void tessera_fe_sub(uint32_t r[8], const uint32_t a[8]) {
    uint32_t borrow = tessera_sub_words(r, a);
    tessera_sub_folded(r, borrow * TESSERA_C_LOW, borrow);
}

// r -= 2a
static void tessera_fe_sub2(uint32_t r[8], const uint32_t a[8]) {
    uint32_t twice[8], shifted = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        twice[i] = a[i] << 1 | shifted;
        shifted = a[i] >> 31;
    }
    uint32_t borrow = tessera_sub_words(r, twice) + shifted;
    tessera_sub_folded(r, borrow * TESSERA_C_LOW, borrow);
}

// r = -a: what is left of 2^256 - C; a number of p or more leaves a borrow
static void tessera_fe_neg(uint32_t r[8], const uint32_t a[8]) {
    uint32_t p[8] = {-TESSERA_C_LOW, UINT32_MAX - 1};
    #pragma GCC unroll 8
    for (int i = 2; i < 8; i++) {
        p[i] = UINT32_MAX;
    }
    uint32_t borrow = tessera_sub_words(p, a);
    tessera_sub_folded(p, borrow * TESSERA_C_LOW, borrow);
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        r[i] = p[i];
    }
}

// r /= 2: an odd number gets p first, which is odd too
static void tessera_fe_half(uint32_t r[8]) {
    uint32_t odd = -(r[0] & 1);
    uint32_t p[8] = {-TESSERA_C_LOW & odd, (UINT32_MAX - 1) & odd, odd, odd, odd, odd, odd, odd};
    uint32_t carry = tessera_add_words(r, p);
    #pragma GCC unroll 8
    for (int i = 0; i < 7; i++) {
        r[i] = r[i] >> 1 | r[i + 1] << 31;
    }
    r[7] = r[7] >> 1 | carry << 31;
}

// r *= 3
static void tessera_fe_mul3(uint32_t r[8]) {
    uint32_t top = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        uint32_t word = 0;
        tessera_multiply_add(&word, &top, r[i], 3);
        r[i] = word;
    }
    tessera_add_folded(r, top * TESSERA_C_LOW, top, 0);
}

// -- multiplication

// r = wide (mod p), and wide is used up: the high half times 977, then shifted by a word, joins the low one, which
// leaves less than 2^34 above 2^256.
static inline void tessera_fe_reduce(uint32_t r[8], uint32_t wide[16]) {
    uint32_t top = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        uint32_t word = wide[i];
        tessera_multiply_add(&word, &top, wide[8 + i], TESSERA_C_LOW);
        r[i] = word;
    }
    wide[7] = 0;
    uint64_t above = (uint64_t)wide[15] + top + tessera_add_words(r, wide + 7);
    tessera_fold(r, (uint32_t)above, (uint32_t)(above >> 32));
}

// r = a * b
static void tessera_fe_mul(uint32_t r[8], const uint32_t a[8], const uint32_t b[8]) {
    uint32_t wide[16];
    tessera_wide_mul(wide, a, b);
    tessera_fe_reduce(r, wide);
}

// r = a * a
static void tessera_fe_sqr(uint32_t r[8], const uint32_t a[8]) {
    uint32_t wide[16];
    tessera_wide_sqr(wide, a);
    tessera_fe_reduce(r, wide);
}

#endif
