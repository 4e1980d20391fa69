// The primitives of field_portable.h as functions of a shared library, for test_field.py.

#include "field_portable.h"

#define PRIMITIVE __attribute__((visibility("default")))

PRIMITIVE void mul(uint32_t *r, const uint32_t *a, const uint32_t *b) {
    tessera_fe_mul(r, a, b);
}

PRIMITIVE void sqr(uint32_t *r, const uint32_t *a) {
    tessera_fe_sqr(r, a);
}

PRIMITIVE void wide_mul(uint32_t *wide, const uint32_t *a, const uint32_t *b) {
    tessera_wide_mul(wide, a, b);
}

PRIMITIVE void reduce(uint32_t *r, uint32_t *wide) {
    tessera_fe_reduce(r, wide);
}

PRIMITIVE void wide_sqr(uint32_t *wide, const uint32_t *a) {
    tessera_wide_sqr(wide, a);
}

PRIMITIVE void neg(uint32_t *r, const uint32_t *a) {
    tessera_fe_neg(r, a);
}

PRIMITIVE void add(uint32_t *r, const uint32_t *a) {
    tessera_fe_add(r, a);
}

PRIMITIVE void sub(uint32_t *r, const uint32_t *a) {
    tessera_fe_sub(r, a);
}

PRIMITIVE void sub2(uint32_t *r, const uint32_t *a) {
    tessera_fe_sub2(r, a);
}

PRIMITIVE void half(uint32_t *r) {
    tessera_fe_half(r);
}

PRIMITIVE void mul3(uint32_t *r) {
    tessera_fe_mul3(r);
}
