// The library's field operations (field.h, 0.2 to 0.5) over eight saturated words, in place of its field_*_impl.h, whose
// include guard this file has. Include it after field_8x32.h and before the library's other files.
//
// All arithmetic goes through the primitives, which a board chooses: field_m0.h (assembly for the Cortex-M0+) or
// field_portable.h (C). They take and give any value below 2^256, correct modulo p, in constant time:
//
//   tessera_fe_mul(r, a, b)  r = a·b          tessera_fe_add(r, a)   r += a        tessera_fe_half(r)  r = r/2
//   tessera_fe_sqr(r, a)     r = a²           tessera_fe_sub(r, a)   r -= a        tessera_fe_mul3(r)  r = 3·r
//   tessera_fe_neg(r, a)     r = -a           tessera_fe_sub2(r, a)  r -= 2·a
//   tessera_wide_mul(r, a, b)  the integer a·b in sixteen words, for scalars; r is neither a nor b
//
// Those of a board may define tessera_fe_choose() (below) as a macro, too.
// Operands and result may be one and the same, but for sub2() and wide_mul().

#ifndef SECP256K1_FIELD_REPR_IMPL_H
#define SECP256K1_FIELD_REPR_IMPL_H

#ifndef SECP256K1_BUILD
#define SECP256K1_BUILD // secp256k1.c says so first; here a file of the library comes before it
#endif

#include <string.h>

#include "src/checkmem.h"
#include "src/util.h"
#include "src/field.h"
#include "src/modinv32_impl.h"

#if defined(TESSERA_FIELD_M0)
#include "field_m0.h"
#elif defined(TESSERA_FIELD_PORTABLE)
#include "field_portable.h"
#else
#error "Choose the primitives: TESSERA_FIELD_M0 or TESSERA_FIELD_PORTABLE"
#endif

// 2^256 = 2^32 + TESSERA_FE_FOLD modulo p = 2^256 - 2^32 - TESSERA_FE_FOLD.
#define TESSERA_FE_FOLD 977u

// -- normal form

// r = a + 2^32 + 977 without what exceeds 256 bits. Returns that carry, which is 1 if a is p or more; then r = a - p.
static uint32_t tessera_fe_minus_p(uint32_t *r, const uint32_t *a) {
    uint32_t carry = TESSERA_FE_FOLD;
    for (int i = 0; i < 8; i++) {
        uint32_t sum = a[i] + carry;
        carry = (sum < carry) + (i == 0);
        r[i] = sum;
    }
    return carry;
}

// r = choice ? a : r, where choice is 0 or 1 and a secret: the compiler must not see that.
#ifndef tessera_fe_choose
static void tessera_fe_choose(uint32_t *r, const uint32_t *a, uint32_t choice) {
    volatile uint32_t hidden = choice;
    uint32_t mask = -hidden;
    for (int i = 0; i < 8; i++) {
        r[i] ^= (r[i] ^ a[i]) & mask;
    }
}
#endif

static void secp256k1_fe_impl_normalize(secp256k1_fe *r) {
    uint32_t less[8];
    uint32_t reaches_p = tessera_fe_minus_p(less, r->n);
    tessera_fe_choose(r->n, less, reaches_p);
}

static void secp256k1_fe_impl_normalize_var(secp256k1_fe *r) {
    if (r->n[7] == 0xffffffff) {
        secp256k1_fe_impl_normalize(r);
    }
}

static void secp256k1_fe_impl_normalize_weak(secp256k1_fe *r) {
    (void)r;
}

// Zero modulo p is 0 or p itself.
static int tessera_fe_is_zero(const uint32_t *a) {
    uint32_t from_zero = a[0] | a[1];
    uint32_t from_p = (a[0] ^ (0u - TESSERA_FE_FOLD)) | (a[1] ^ 0xfffffffe);
    for (int i = 2; i < 8; i++) {
        from_zero |= a[i];
        from_p |= ~a[i];
    }
    return (from_zero == 0) | (from_p == 0);
}

static int tessera_fe_is_zero_var(const uint32_t *a) {
    return (a[0] == 0 || a[0] == 0u - TESSERA_FE_FOLD) && tessera_fe_is_zero(a);
}

static int secp256k1_fe_impl_normalizes_to_zero(const secp256k1_fe *r) {
    return tessera_fe_is_zero(r->n);
}

static int secp256k1_fe_impl_normalizes_to_zero_var(const secp256k1_fe *r) {
    return tessera_fe_is_zero_var(r->n);
}

#ifdef VERIFY
static void secp256k1_fe_impl_verify(const secp256k1_fe *a) {
    uint32_t less[8];
    VERIFY_CHECK(!a->normalized || !tessera_fe_minus_p(less, a->n));
}
#endif

// -- constants, comparison, choice

static void secp256k1_fe_impl_set_int(secp256k1_fe *r, int a) {
    r->n[0] = a;
    for (int i = 1; i < 8; i++) {
        r->n[i] = 0;
    }
}

static void secp256k1_fe_impl_clear(secp256k1_fe *a) {
    secp256k1_fe_impl_set_int(a, 0);
}

// For the library's tests: a value that overflows soon, with an even word at its end, which they count down.
static void secp256k1_fe_impl_get_bounds(secp256k1_fe *r, int m) {
    for (int i = 0; i < 8; i++) {
        r->n[i] = m ? 0xffffffff - (i == 0) : 0;
    }
}

static int secp256k1_fe_impl_is_zero(const secp256k1_fe *a) {
    uint32_t bits = 0;
    for (int i = 0; i < 8; i++) {
        bits |= a->n[i];
    }
    return bits == 0;
}

static int secp256k1_fe_impl_is_odd(const secp256k1_fe *a) {
    return a->n[0] & 1;
}

static int secp256k1_fe_impl_cmp_var(const secp256k1_fe *a, const secp256k1_fe *b) {
    for (int i = 7; i >= 0; i--) {
        if (a->n[i] != b->n[i]) {
            return a->n[i] > b->n[i] ? 1 : -1;
        }
    }
    return 0;
}

static void secp256k1_fe_impl_cmov(secp256k1_fe *r, const secp256k1_fe *a, int flag) {
    SECP256K1_CHECKMEM_CHECK_VERIFY(r->n, sizeof(r->n));
    tessera_fe_choose(r->n, a->n, flag);
}

static void secp256k1_fe_storage_cmov(secp256k1_fe_storage *r, const secp256k1_fe_storage *a, int flag) {
    SECP256K1_CHECKMEM_CHECK_VERIFY(r->n, sizeof(r->n));
    tessera_fe_choose(r->n, a->n, flag);
}

// -- other representations

static void secp256k1_fe_impl_set_b32_mod(secp256k1_fe *r, const unsigned char *a) {
    for (int i = 0; i < 8; i++) {
        const unsigned char *word = a + 28 - 4 * i;
        r->n[i] = (uint32_t)word[0] << 24 | (uint32_t)word[1] << 16 | (uint32_t)word[2] << 8 | word[3];
    }
}

static int secp256k1_fe_impl_set_b32_limit(secp256k1_fe *r, const unsigned char *a) {
    uint32_t less[8];
    secp256k1_fe_impl_set_b32_mod(r, a);
    return !tessera_fe_minus_p(less, r->n);
}

static void secp256k1_fe_impl_get_b32(unsigned char *r, const secp256k1_fe *a) {
    for (int i = 0; i < 32; i++) {
        r[i] = a->n[7 - i / 4] >> (24 - 8 * (i % 4));
    }
}

static void secp256k1_fe_impl_to_storage(secp256k1_fe_storage *r, const secp256k1_fe *a) {
    memcpy(r->n, a->n, sizeof(r->n));
}

static void secp256k1_fe_impl_from_storage(secp256k1_fe *r, const secp256k1_fe_storage *a) {
    memcpy(r->n, a->n, sizeof(r->n));
}

// Nine limbs of 30 bits: limb i begins 2·i bits below word i.
static void tessera_fe_to_signed30(secp256k1_modinv32_signed30 *r, const uint32_t *a) {
    const uint32_t limb = (uint32_t)-1 >> 2;
    r->v[0] = a[0] & limb;
    for (int i = 1; i < 8; i++) {
        r->v[i] = (a[i - 1] >> (32 - 2 * i) | a[i] << 2 * i) & limb;
    }
    r->v[8] = a[7] >> 16;
}

static void tessera_fe_from_signed30(uint32_t *r, const secp256k1_modinv32_signed30 *a) {
    for (int i = 0; i < 8; i++) {
        r[i] = (uint32_t)a->v[i] >> 2 * i | (uint32_t)a->v[i + 1] << (30 - 2 * i);
    }
}

// -- arithmetic

static void secp256k1_fe_impl_mul(secp256k1_fe *r, const secp256k1_fe *a, const secp256k1_fe *SECP256K1_RESTRICT b) {
    tessera_fe_mul(r->n, a->n, b->n);
}

static void secp256k1_fe_impl_sqr(secp256k1_fe *r, const secp256k1_fe *a) {
    tessera_fe_sqr(r->n, a->n);
}

static void secp256k1_fe_impl_add(secp256k1_fe *r, const secp256k1_fe *a) {
    tessera_fe_add(r->n, a->n);
}

static void secp256k1_fe_impl_add_int(secp256k1_fe *r, int a) {
    const uint32_t number[8] = {a};
    tessera_fe_add(r->n, number);
}

static void secp256k1_fe_impl_negate_unchecked(secp256k1_fe *r, const secp256k1_fe *a, int m) {
    (void)m;
    tessera_fe_neg(r->n, a->n);
}

static void secp256k1_fe_impl_half(secp256k1_fe *r) {
    tessera_fe_half(r->n);
}

// By half words, whose products with a number up to 32 and what is carried fit into a word.
static void tessera_fe_mul_small(uint32_t *r, uint32_t a) {
    uint32_t carry = 0;
    for (int i = 0; i < 8; i++) {
        uint32_t low = (r[i] & 0xffff) * a + carry;
        uint32_t high = (r[i] >> 16) * a + (low >> 16);
        r[i] = high << 16 | (low & 0xffff);
        carry = high >> 16;
    }
    const uint32_t folded[8] = {carry * TESSERA_FE_FOLD, carry};
    tessera_fe_add(r, folded);
}

SECP256K1_INLINE static void secp256k1_fe_impl_mul_int_unchecked(secp256k1_fe *r, int a) {
    if (a == 2) {
        tessera_fe_add(r->n, r->n);
    } else if (a == 3) {
        tessera_fe_mul3(r->n);
    } else {
        tessera_fe_mul_small(r->n, a);
    }
}

// -- inverse and Jacobi symbol, by the library's division steps

static const secp256k1_modinv32_modinfo tessera_fe_modulus = {
    {{-0x3D1, -4, 0, 0, 0, 0, 0, 0, 65536}}, // p
    0x2DDACACF // 1/p modulo 2^30
};

static void secp256k1_fe_impl_inv(secp256k1_fe *r, const secp256k1_fe *x) {
    secp256k1_fe normal = *x;
    secp256k1_modinv32_signed30 limbs;
    secp256k1_fe_impl_normalize(&normal);
    tessera_fe_to_signed30(&limbs, normal.n);
    secp256k1_modinv32(&limbs, &tessera_fe_modulus);
    tessera_fe_from_signed30(r->n, &limbs);
}

static void secp256k1_fe_impl_inv_var(secp256k1_fe *r, const secp256k1_fe *x) {
    secp256k1_fe normal = *x;
    secp256k1_modinv32_signed30 limbs;
    secp256k1_fe_impl_normalize_var(&normal);
    tessera_fe_to_signed30(&limbs, normal.n);
    secp256k1_modinv32_var(&limbs, &tessera_fe_modulus);
    tessera_fe_from_signed30(r->n, &limbs);
}

static int secp256k1_fe_impl_is_square_var(const secp256k1_fe *x) {
    secp256k1_fe normal = *x, root;
    secp256k1_modinv32_signed30 limbs;
    secp256k1_fe_impl_normalize_var(&normal);
    if (secp256k1_fe_impl_is_zero(&normal)) {
        return 1;
    }
    tessera_fe_to_signed30(&limbs, normal.n);
    int symbol = secp256k1_jacobi32_maybe_var(&limbs, &tessera_fe_modulus);
    if (symbol == 0) { // did not end in the steps that the library allows, which practically never happens
        #ifdef VERIFY
        normal.magnitude = normal.normalized = 1;
        #endif
        return secp256k1_fe_sqrt(&root, &normal);
    }
    return symbol > 0;
}

#endif
