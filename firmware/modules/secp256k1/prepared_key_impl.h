// Verification under a prepared key (prepared_key.h): s·G - e·K as one sum over two tables of odd multiples.
//
// Guide to Elliptic Curve Cryptography: interleaving of width-w NAFs (algorithm 3.51) over the endomorphism's two halves
// (3.5), each NAF cut every 32 places (3.3.2), so that 32 doublings serve all. Included by library.c, behind the library.

#include "prepared_key.h"
#include "generator_table.h" // generator_table.py makes it: GENERATOR_MULTIPLES

#define HALF_PLACES 129 // of a half's NAF
#define TERMS 4

_Static_assert(sizeof(prepared_point) == sizeof(secp256k1_ge_storage), "a stored point has 64 bytes");
_Static_assert(PREPARED_CHUNKS * PREPARED_CHUNK_BITS == HALF_PLACES - 1, "chunks cover a half, but for a last carry");

static const secp256k1_ge_storage generator_multiples[] = { GENERATOR_MULTIPLES };
_Static_assert(
    sizeof(generator_multiples) == PREPARED_CHUNKS * PREPARED_POINTS(PREPARED_GENERATOR_WINDOW) * sizeof(prepared_point),
    "generator_table.py has the chunks and the window of prepared_key.h");

// -- preparing

// Stores the odd multiples of a point, and leaves twice the point in `twice`.
static void odd_multiples_var(prepared_point *out, const secp256k1_gej *base, secp256k1_gej *twice) {
    secp256k1_gej multiples[PREPARED_POINTS(PREPARED_KEY_WINDOW)];
    secp256k1_ge affine[PREPARED_POINTS(PREPARED_KEY_WINDOW)];
    secp256k1_gej_double_var(twice, base, NULL);
    multiples[0] = *base;
    for (int i = 1; i < PREPARED_POINTS(PREPARED_KEY_WINDOW); i++) {
        secp256k1_gej_add_var(&multiples[i], &multiples[i - 1], twice, NULL);
    }
    secp256k1_ge_set_all_gej_var(affine, multiples, PREPARED_POINTS(PREPARED_KEY_WINDOW));
    for (int i = 0; i < PREPARED_POINTS(PREPARED_KEY_WINDOW); i++) {
        secp256k1_ge_storage stored;
        secp256k1_ge_to_storage(&stored, &affine[i]);
        memcpy(&out[i], &stored, sizeof(stored));
    }
}

bool prepared_key_make(prepared_key *prepared, const uint8_t *key) {
    secp256k1_fe x;
    secp256k1_ge point;
    if (!secp256k1_fe_set_b32_limit(&x, key) || !secp256k1_ge_set_xo_var(&point, &x, 0)) {
        return false;
    }
    memcpy(prepared->key, key, sizeof(prepared->key));
    secp256k1_gej base, next;
    secp256k1_gej_set_ge(&base, &point);
    for (int chunk = 0; chunk < PREPARED_CHUNKS; chunk++) {
        odd_multiples_var(&prepared->multiples[chunk * PREPARED_POINTS(PREPARED_KEY_WINDOW)], &base, &next);
        for (int i = 1; i < PREPARED_CHUNK_BITS; i++) {
            secp256k1_gej_double_var(&next, &next, NULL);
        }
        base = next;
    }
    return true;
}

// -- verifying

// A half of a scalar and what it is multiplied with.
typedef struct {
    const prepared_point *multiples;
    int points; // a chunk
    bool endomorphism;
    int8_t naf[HALF_PLACES];
} half_term;

static void set_half(
    half_term *term, const prepared_point *multiples, int window, bool endomorphism, const secp256k1_scalar *half) {
    int naf[HALF_PLACES];
    secp256k1_ecmult_wnaf(naf, HALF_PLACES, half, window);
    for (int place = 0; place < HALF_PLACES; place++) {
        term->naf[place] = naf[place];
    }
    term->multiples = multiples;
    term->points = PREPARED_POINTS(window);
    term->endomorphism = endomorphism;
}

static void set_halves(half_term *terms, const void *multiples, int window, const secp256k1_scalar *scalar) {
    secp256k1_scalar low, high;
    secp256k1_scalar_split_lambda(&low, &high, scalar);
    set_half(&terms[0], multiples, window, false, &low);
    set_half(&terms[1], multiples, window, true, &high);
}

static void add_digit_var(secp256k1_gej *sum, const half_term *term, int chunk, int digit) {
    secp256k1_ge_storage stored;
    secp256k1_ge point;
    memcpy(&stored, &term->multiples[chunk * term->points + (abs(digit) >> 1)], sizeof(stored));
    secp256k1_ge_from_storage(&point, &stored);
    if (term->endomorphism) {
        secp256k1_ge_mul_lambda(&point, &point);
    }
    if (digit < 0) {
        secp256k1_ge_neg(&point, &point);
    }
    secp256k1_gej_add_ge_var(sum, sum, &point, NULL);
}

static void sum_terms_var(secp256k1_gej *sum, const half_term *terms) {
    secp256k1_gej_set_infinity(sum);
    // The place above a chunk is the first of the next one; only the last chunk has one of its own.
    int first_chunk = PREPARED_CHUNKS - 1;
    for (int place = PREPARED_CHUNK_BITS; place >= 0; place--) {
        secp256k1_gej_double_var(sum, sum, NULL);
        for (const half_term *term = terms; term < terms + TERMS; term++) {
            for (int chunk = first_chunk; chunk < PREPARED_CHUNKS; chunk++) {
                int digit = term->naf[chunk * PREPARED_CHUNK_BITS + place];
                if (digit) {
                    add_digit_var(sum, term, chunk, digit);
                }
            }
        }
        first_chunk = 0;
    }
}

// Whether a point has this x and an even y. Its x is compared first, which needs no inversion.
static bool is_even_point_var(secp256k1_gej *point, const secp256k1_fe *x) {
    if (secp256k1_gej_is_infinity(point) || !secp256k1_gej_eq_x_var(x, point)) {
        return false;
    }
    secp256k1_ge affine;
    secp256k1_ge_set_gej_var(&affine, point);
    secp256k1_fe_normalize_var(&affine.y);
    return !secp256k1_fe_is_odd(&affine.y);
}

bool prepared_key_verify(const prepared_key *prepared, const uint8_t *signature, const uint8_t *message) {
    secp256k1_fe x;
    secp256k1_scalar s, e;
    int overflow;
    if (!secp256k1_fe_set_b32_limit(&x, signature)) {
        return false;
    }
    secp256k1_scalar_set_b32(&s, signature + 32, &overflow);
    if (overflow) {
        return false;
    }
    secp256k1_schnorrsig_challenge(&e, signature, message, 32, prepared->key);
    secp256k1_scalar_negate(&e, &e);
    half_term terms[TERMS];
    set_halves(&terms[0], generator_multiples, PREPARED_GENERATOR_WINDOW, &s);
    set_halves(&terms[2], prepared->multiples, PREPARED_KEY_WINDOW, &e);
    secp256k1_gej sum;
    sum_terms_var(&sum, terms);
    return is_even_point_var(&sum, &x);
}
