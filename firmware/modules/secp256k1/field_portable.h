// The primitives of the field of secp256k1 in portable C: numbers of eight 32-bit words, the lowest first, every one
// below 2^256 valid (so two numbers below C = 2^32 + 977 have two forms). field_8x32_impl.h builds the library's field
// from these; field_m0.h has the same primitives for the Cortex-M0+.
//
// Constant time: no branch and no address depends on a number. Whether a multiplication's time does is the processor's
// (it does not on Cortex-M0+, M33 and on the cores of the ESP32s; it does on a Cortex-M3). Where r is a result, it may be
// the same array as an argument.

#ifndef TESSERA_FIELD_PORTABLE_H
#define TESSERA_FIELD_PORTABLE_H

#include <stdint.h>

// p = 2^256 - C, so 2^256 = C (mod p), C = 2^32 + 977.
#define TESSERA_C_LOW 977u

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

// Adds C for a carry out of 2^256, which leaves numbers below 2^67: the third word takes the last carry there can be.
static inline void tessera_fold_rare_carry(uint32_t r[8], uint32_t carry) {
    uint32_t mask = -carry;
    carry = 0;
    r[0] = tessera_adc(r[0], TESSERA_C_LOW & mask, &carry);
    r[1] = tessera_adc(r[1], 1u & mask, &carry);
    r[2] += carry;
}

// Subtracts C for a borrow, which leaves numbers of at least 2^256 - 2C: no second one leaves the first two words.
static inline void tessera_fold_rare_borrow(uint32_t r[8], uint32_t borrow) {
    uint32_t mask = -borrow;
    borrow = 0;
    r[0] = tessera_sbb(r[0], TESSERA_C_LOW & mask, &borrow);
    r[1] = tessera_sbb(r[1], 1u & mask, &borrow);
}

// Adds top * 2^256 = top * C for a top below 2^34, which is the low word and the bits above it.
static inline void tessera_fold(uint32_t r[8], uint32_t top, uint32_t above) {
    uint64_t low = (uint64_t)top * TESSERA_C_LOW;
    uint64_t high = (low >> 32) + (uint64_t)above * TESSERA_C_LOW + top;
    uint32_t carry = 0;
    r[0] = tessera_adc(r[0], (uint32_t)low, &carry);
    r[1] = tessera_adc(r[1], (uint32_t)high, &carry);
    r[2] = tessera_adc(r[2], (uint32_t)(high >> 32) + above, &carry);
    #pragma GCC unroll 8
    for (int i = 3; i < 8; i++) {
        r[i] = tessera_adc(r[i], 0, &carry);
    }
    tessera_fold_rare_carry(r, carry);
}

// -- linear operations, in place where they have one argument beside the result

// r += a
static inline void tessera_fe_add(uint32_t r[8], const uint32_t a[8]) {
    uint32_t carry = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        r[i] = tessera_adc(r[i], a[i], &carry);
    }
    tessera_fold(r, carry, 0);
}

// Subtracts borrow * 2^256 = borrow * C for a borrow of up to 2.
static inline void tessera_fold_borrow(uint32_t r[8], uint32_t borrow) {
    uint32_t next = 0;
    r[0] = tessera_sbb(r[0], borrow * TESSERA_C_LOW, &next);
    r[1] = tessera_sbb(r[1], borrow, &next);
    #pragma GCC unroll 8
    for (int i = 2; i < 8; i++) {
        r[i] = tessera_sbb(r[i], 0, &next);
    }
    tessera_fold_rare_borrow(r, next);
}

// r -= a
static inline void tessera_fe_sub(uint32_t r[8], const uint32_t a[8]) {
    uint32_t borrow = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        r[i] = tessera_sbb(r[i], a[i], &borrow);
    }
    tessera_fold_borrow(r, borrow);
}

// r -= 2a
static inline void tessera_fe_sub2(uint32_t r[8], const uint32_t a[8]) {
    uint32_t borrow = 0, shifted = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        uint32_t word = a[i];
        r[i] = tessera_sbb(r[i], word << 1 | shifted, &borrow);
        shifted = word >> 31;
    }
    tessera_fold_borrow(r, borrow + shifted);
}

// r = -a
static inline void tessera_fe_neg(uint32_t r[8], const uint32_t a[8]) {
    uint32_t borrow = 0;
    r[0] = tessera_sbb(-TESSERA_C_LOW, a[0], &borrow);
    r[1] = tessera_sbb(UINT32_MAX - 1, a[1], &borrow);
    #pragma GCC unroll 8
    for (int i = 2; i < 8; i++) {
        r[i] = tessera_sbb(UINT32_MAX, a[i], &borrow);
    }
    tessera_fold_rare_borrow(r, borrow);
}

// r /= 2: an odd number gets p first, which is odd too.
static inline void tessera_fe_half(uint32_t r[8]) {
    uint32_t odd = -(r[0] & 1), carry = 0;
    r[0] = tessera_adc(r[0], -TESSERA_C_LOW & odd, &carry);
    r[1] = tessera_adc(r[1], (UINT32_MAX - 1) & odd, &carry);
    #pragma GCC unroll 8
    for (int i = 2; i < 8; i++) {
        r[i] = tessera_adc(r[i], odd, &carry);
    }
    #pragma GCC unroll 8
    for (int i = 0; i < 7; i++) {
        r[i] = r[i] >> 1 | r[i + 1] << 31;
    }
    r[7] = r[7] >> 1 | carry << 31;
}

// r *= 3
static inline void tessera_fe_mul3(uint32_t r[8]) {
    uint64_t product = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        product = (uint64_t)r[i] * 3 + (product >> 32);
        r[i] = (uint32_t)product;
    }
    tessera_fold(r, (uint32_t)(product >> 32), 0);
}

// -- multiplication, not reduced
//
// Where there is an instruction for a * b + c + d (UMAAL: Cortex-M33, DSP extension), row by row with it; elsewhere
// column by column of the product, where the carry between two columns is one number and not one a product.

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)

// carry, word = a * b + word + carry
static inline void tessera_umaal(uint32_t *word, uint32_t *carry, uint32_t a, uint32_t b) {
    __asm__("umaal %0, %1, %2, %3" : "+r"(*word), "+r"(*carry) : "r"(a), "r"(b));
}

// wide = a * b
static inline void tessera_wide_mul(uint32_t wide[16], const uint32_t a[8], const uint32_t b[8]) {
    uint32_t row[8] = {0};
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        uint32_t carry = 0;
        #pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            tessera_umaal(&row[j], &carry, a[i], b[j]);
        }
        wide[i] = row[0];
        #pragma GCC unroll 8
        for (int j = 0; j < 7; j++) {
            row[j] = row[j + 1];
        }
        row[7] = carry;
    }
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        wide[8 + i] = row[i];
    }
}

// wide = a * a: what is off the diagonal once, then doubled
static inline void tessera_wide_sqr(uint32_t wide[16], const uint32_t a[8]) {
    uint32_t products[16] = {0}, shifted = 0, carry = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 7; i++) {
        uint32_t row_carry = 0;
        #pragma GCC unroll 8
        for (int j = i + 1; j < 8; j++) {
            tessera_umaal(&products[i + j], &row_carry, a[i], a[j]);
        }
        products[i + 8] = row_carry;
    }
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        uint32_t low = products[2 * i], high = products[2 * i + 1];
        uint32_t word = low << 1 | shifted;
        tessera_umaal(&word, &carry, a[i], a[i]);
        wide[2 * i] = word;
        shifted = high >> 31;
        uint64_t sum = (uint64_t)(high << 1 | low >> 31) + carry;
        wide[2 * i + 1] = (uint32_t)sum;
        carry = (uint32_t)(sum >> 32);
    }
}

#else

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

// r = wide (mod p): the high half times C joins the low one, which leaves less than 2^34 above 2^256.
static inline void tessera_fe_reduce(uint32_t r[8], const uint32_t wide[16]) {
    uint64_t sum = 0;
    uint32_t previous = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        uint32_t high = wide[8 + i];
        uint64_t product = (uint64_t)high * TESSERA_C_LOW;
        sum += (uint64_t)wide[i] + (uint32_t)product + previous;
        r[i] = (uint32_t)sum;
        sum = (sum >> 32) + (product >> 32);
        previous = high;
    }
    sum += previous;
    tessera_fold(r, (uint32_t)sum, (uint32_t)(sum >> 32));
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
