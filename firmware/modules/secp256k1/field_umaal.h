// What field_portable.h is made of, for a Cortex-M33 (and whatever else has UMAAL): chains of carries, which a compiler
// does not find in C, and products row by row, each word with its carry in one instruction. A part of field_portable.h,
// which says what these functions compute.

#ifndef TESSERA_FIELD_UMAAL_H
#define TESSERA_FIELD_UMAAL_H

// All eight words of a number as operands %0 to %7, in and out.
#define TESSERA_WORDS(w) \
    "+r"((w)[0]), "+r"((w)[1]), "+r"((w)[2]), "+r"((w)[3]), "+r"((w)[4]), "+r"((w)[5]), "+r"((w)[6]), "+r"((w)[7])

static inline void tessera_copy(uint32_t r[8], const uint32_t a[8]) {
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        r[i] = a[i];
    }
}

// -- chains of carries

static inline uint32_t tessera_add_words(uint32_t r[8], const uint32_t a[8]) {
    uint32_t w[8], x, y;
    tessera_copy(w, r);
    __asm__("ldrd %8, %9, [%10]; adds %0, %0, %8; adcs %1, %1, %9;"
            "ldrd %8, %9, [%10, #8]; adcs %2, %2, %8; adcs %3, %3, %9;"
            "ldrd %8, %9, [%10, #16]; adcs %4, %4, %8; adcs %5, %5, %9;"
            "ldrd %8, %9, [%10, #24]; adcs %6, %6, %8; adcs %7, %7, %9;"
            "mov %8, #0; adc %8, %8, #0"
        : TESSERA_WORDS(w), "=&r"(x), "=&r"(y)
        : "r"(a), "m"(*(const uint32_t (*)[8])a)
        : "cc");
    tessera_copy(r, w);
    return x;
}

static inline uint32_t tessera_sub_words(uint32_t r[8], const uint32_t a[8]) {
    uint32_t w[8], x, y;
    tessera_copy(w, r);
    __asm__("ldrd %8, %9, [%10]; subs %0, %0, %8; sbcs %1, %1, %9;"
            "ldrd %8, %9, [%10, #8]; sbcs %2, %2, %8; sbcs %3, %3, %9;"
            "ldrd %8, %9, [%10, #16]; sbcs %4, %4, %8; sbcs %5, %5, %9;"
            "ldrd %8, %9, [%10, #24]; sbcs %6, %6, %8; sbcs %7, %7, %9;"
            "sbc %8, %8, %8" // minus the borrow
        : TESSERA_WORDS(w), "=&r"(x), "=&r"(y)
        : "r"(a), "m"(*(const uint32_t (*)[8])a)
        : "cc");
    tessera_copy(r, w);
    return -x;
}

static inline void tessera_add_folded(uint32_t r[8], uint32_t low, uint32_t middle, uint32_t high) {
    uint32_t w[8];
    tessera_copy(w, r);
    __asm__("adds %0, %0, %8; adcs %1, %1, %9; adcs %2, %2, %10;"
            "adcs %3, %3, #0; adcs %4, %4, #0; adcs %5, %5, #0; adcs %6, %6, #0; adcs %7, %7, #0;"
            "mov %9, #0; adc %9, %9, #0; mov %8, %11; mul %8, %8, %9;"
            "adds %0, %0, %8; adcs %1, %1, %9; adc %2, %2, #0"
        : TESSERA_WORDS(w), "+&r"(low), "+&r"(middle)
        : "r"(high), "i"(TESSERA_C_LOW)
        : "cc");
    tessera_copy(r, w);
}

static inline void tessera_sub_folded(uint32_t r[8], uint32_t low, uint32_t high) {
    uint32_t w[8];
    tessera_copy(w, r);
    __asm__("subs %0, %0, %8; sbcs %1, %1, %9;"
            "sbcs %2, %2, #0; sbcs %3, %3, #0; sbcs %4, %4, #0; sbcs %5, %5, #0; sbcs %6, %6, #0; sbcs %7, %7, #0;"
            "sbc %9, %9, %9; and %8, %9, %10; subs %0, %0, %8; lsr %9, %9, #31; sbc %1, %1, %9"
        : TESSERA_WORDS(w), "+&r"(low), "+&r"(high)
        : "r"(TESSERA_C_LOW)
        : "cc");
    tessera_copy(r, w);
}

// -- products

static inline void tessera_multiply_add(uint32_t *word, uint32_t *carry, uint32_t a, uint32_t b) {
    __asm__("umaal %0, %1, %2, %3" : "+r"(*word), "+r"(*carry) : "r"(a), "r"(b));
}

// wide = a * b: one row for every word of a
static inline void tessera_wide_mul(uint32_t wide[16], const uint32_t a[8], const uint32_t b[8]) {
    uint32_t row[8] = {0};
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        uint32_t carry = 0;
        #pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            tessera_multiply_add(&row[j], &carry, a[i], b[j]);
        }
        wide[i] = row[0];
        #pragma GCC unroll 8
        for (int j = 0; j < 7; j++) {
            row[j] = row[j + 1];
        }
        row[7] = carry;
    }
    tessera_copy(wide + 8, row);
}

// wide = a * a: what is off the diagonal once, then doubled
static inline void tessera_wide_sqr(uint32_t wide[16], const uint32_t a[8]) {
    uint32_t products[16] = {0}, shifted = 0, carry = 0;
    #pragma GCC unroll 8
    for (int i = 0; i < 7; i++) {
        uint32_t row_carry = 0;
        #pragma GCC unroll 8
        for (int j = i + 1; j < 8; j++) {
            tessera_multiply_add(&products[i + j], &row_carry, a[i], a[j]);
        }
        products[i + 8] = row_carry;
    }
    #pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        uint32_t low = products[2 * i], high = products[2 * i + 1];
        uint32_t word = low << 1 | shifted;
        tessera_multiply_add(&word, &carry, a[i], a[i]);
        uint64_t sum = (uint64_t)(high << 1 | low >> 31) + carry;
        wide[2 * i] = word;
        wide[2 * i + 1] = (uint32_t)sum;
        shifted = high >> 31;
        carry = (uint32_t)(sum >> 32);
    }
}

#endif
