// The group operations in which verification and DH spend their time, in place of those of the library's group_impl.h:
// with a field that subtracts as fast as it adds they need no negations, and no value is copied that is only read.
//
// The library's own are compiled under other names (so whatever of theirs calls them keeps doing so), and what includes
// this file gets these. A version of the library that declares them otherwise does not compile.

#ifndef TESSERA_GROUP_8X32_H
#define TESSERA_GROUP_8X32_H

#define secp256k1_gej_double library_gej_double
#define secp256k1_gej_double_var library_gej_double_var
#define secp256k1_gej_add_ge_var library_gej_add_ge_var
#define secp256k1_gej_add_zinv_var library_gej_add_zinv_var
#include "src/group.h"
#include "src/group_impl.h"
#undef secp256k1_gej_double
#undef secp256k1_gej_double_var
#undef secp256k1_gej_add_ge_var
#undef secp256k1_gej_add_zinv_var

// A board puts these functions where code runs fastest.
#ifndef TESSERA_HOT
#define TESSERA_HOT(name) name
#endif

// What these functions compute is neither normalized nor above magnitude 1, should the library's tests ask.
#ifdef VERIFY
#define TESSERA_COMPUTED(fe) ((fe)->magnitude = 1, (fe)->normalized = 0)
#else
#define TESSERA_COMPUTED(fe) ((void)(fe))
#endif

static void tessera_gej_computed(secp256k1_gej *r) {
    TESSERA_COMPUTED(&r->x);
    TESSERA_COMPUTED(&r->y);
    TESSERA_COMPUTED(&r->z);
    SECP256K1_GEJ_VERIFY(r);
}

// S = Y², L = 3·X²/2, T = X·S; X' = L² - 2·T, Y' = L·(T - X') - S², Z' = Y·Z. r may be a.
static __attribute__((noinline)) void TESSERA_HOT(secp256k1_gej_double)(secp256k1_gej *r, const secp256k1_gej *a) {
    uint32_t s[8], l[8], t[8];
    r->infinity = a->infinity;
    tessera_fe_mul(r->z.n, a->z.n, a->y.n);
    tessera_fe_sqr(s, a->y.n);
    tessera_fe_sqr(l, a->x.n);
    tessera_fe_mul3(l);
    tessera_fe_half(l);
    tessera_fe_mul(t, s, a->x.n);
    tessera_fe_sqr(r->x.n, l);
    tessera_fe_sub2(r->x.n, t);
    tessera_fe_sub(t, r->x.n);
    tessera_fe_mul(r->y.n, t, l);
    tessera_fe_sqr(s, s);
    tessera_fe_sub(r->y.n, s);
    tessera_gej_computed(r);
}

// rzr, if not NULL: Z' = Z·rzr. Twice a point is infinity only if the point is: no y is zero on this curve.
static void secp256k1_gej_double_var(secp256k1_gej *r, const secp256k1_gej *a, secp256k1_fe *rzr) {
    if (a->infinity) {
        secp256k1_gej_set_infinity(r);
        if (rzr != NULL) {
            secp256k1_fe_set_int(rzr, 1);
        }
        return;
    }
    if (rzr != NULL) {
        *rzr = a->y;
    }
    secp256k1_gej_double(r, a);
}

// r = a + (x, y), neither infinity, where z is a's Z coordinate on the curve on which (x, y) is affine (a's own, or
// another one by the isomorphism of the library's ecmult_impl.h). In h, r's Z coordinate divided by a's; 0 if x is the
// same in both: then it is *opposite that says whether a = -(x, y), else a = (x, y), and r is not set. r may be a.
//
// H = x·z² - X, I = y·z³ - Y, T = X·H²; X' = I² - H³ - 2·T, Y' = I·(T - X') - Y·H³, Z' = Z·H.
static __attribute__((noinline)) int TESSERA_HOT(tessera_gej_add_affine)(
    secp256k1_gej *r, const secp256k1_gej *a, const secp256k1_ge *b, const uint32_t *z, uint32_t *h, int *opposite) {
    uint32_t i[8], t[8], h3[8];
    tessera_fe_sqr(t, z);
    tessera_fe_mul(h, b->x.n, t);
    tessera_fe_mul(i, t, z);
    tessera_fe_mul(i, i, b->y.n);
    tessera_fe_sub(h, a->x.n);
    tessera_fe_sub(i, a->y.n);
    if (tessera_fe_is_zero_var(h)) {
        *opposite = !tessera_fe_is_zero_var(i);
        return 0;
    }
    r->infinity = 0;
    tessera_fe_mul(r->z.n, a->z.n, h);
    tessera_fe_sqr(h3, h);
    tessera_fe_mul(t, a->x.n, h3);
    tessera_fe_mul(h3, h3, h);
    tessera_fe_sqr(r->x.n, i);
    tessera_fe_sub(r->x.n, h3);
    tessera_fe_sub2(r->x.n, t);
    tessera_fe_sub(t, r->x.n);
    tessera_fe_mul(h3, h3, a->y.n);
    tessera_fe_mul(r->y.n, t, i);
    tessera_fe_sub(r->y.n, h3);
    tessera_gej_computed(r);
    return 1;
}

static void secp256k1_gej_add_ge_var(
    secp256k1_gej *r, const secp256k1_gej *a, const secp256k1_ge *b, secp256k1_fe *rzr) {
    uint32_t h[8];
    int opposite;
    if (a->infinity) {
        VERIFY_CHECK(rzr == NULL);
        secp256k1_gej_set_ge(r, b);
    } else if (b->infinity) {
        *r = *a;
        if (rzr != NULL) {
            secp256k1_fe_set_int(rzr, 1);
        }
    } else if (tessera_gej_add_affine(r, a, b, a->z.n, h, &opposite)) {
        if (rzr != NULL) {
            memcpy(rzr->n, h, sizeof(h));
            TESSERA_COMPUTED(rzr);
        }
    } else if (opposite) {
        secp256k1_gej_set_infinity(r);
        if (rzr != NULL) {
            secp256k1_fe_set_int(rzr, 0);
        }
    } else {
        secp256k1_gej_double_var(r, a, rzr);
    }
}

// b's Z coordinate is 1/bzinv.
static void secp256k1_gej_add_zinv_var(
    secp256k1_gej *r, const secp256k1_gej *a, const secp256k1_ge *b, const secp256k1_fe *bzinv) {
    uint32_t z[8], h[8];
    int opposite;
    if (a->infinity) {
        tessera_fe_sqr(z, bzinv->n);
        tessera_fe_mul(r->x.n, b->x.n, z);
        tessera_fe_mul(z, z, bzinv->n);
        tessera_fe_mul(r->y.n, b->y.n, z);
        secp256k1_fe_set_int(&r->z, 1);
        r->infinity = b->infinity;
        tessera_gej_computed(r);
        return;
    }
    if (b->infinity) {
        *r = *a;
        return;
    }
    tessera_fe_mul(z, a->z.n, bzinv->n);
    if (!tessera_gej_add_affine(r, a, b, z, h, &opposite)) {
        if (opposite) {
            secp256k1_gej_set_infinity(r);
        } else {
            secp256k1_gej_double_var(r, a, NULL);
        }
    }
}

#endif
