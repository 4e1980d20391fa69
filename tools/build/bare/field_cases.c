// Every primitive of field_portable.h over many numbers, random ones and those that carry far; prints a digest of all
// results. A processor's must be the host's, whose results tests/field/test_field.py compares with Python's integers.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "field_portable.h"

static uint64_t digest = 0xcbf29ce484222325; // FNV-1a

static void add_to_digest(const uint32_t *words, int count) {
    for (int i = 0; i < count; i++) {
        digest = (digest ^ words[i]) * 0x100000001b3;
    }
}

static uint32_t random_word(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005 + 1442695040888963407;
    return state >> 32;
}

// Random words among runs of zeros and of ones, now and then within 4C of 0 or of 2^256.
static void random_number(uint32_t number[8]) {
    uint32_t kind = random_word() % 4, ones = -(random_word() & 1);
    for (int i = 0; i < 8; i++) {
        uint32_t choice = random_word() % 4;
        number[i] = kind == 0 ? random_word() : choice == 0 ? random_word() : choice == 1 ? ~ones : ones;
    }
    if (kind == 1) {
        memset(number, (int)ones, 32);
        number[0] ^= random_word() % (4 * TESSERA_C_LOW);
        number[1] ^= random_word() % 4;
    }
}

static void one_case(void) {
    uint32_t a[8], b[8], r[8], wide[16];
    random_number(a);
    random_number(b);

    tessera_wide_mul(wide, a, b);
    add_to_digest(wide, 16);
    tessera_wide_sqr(wide, a);
    add_to_digest(wide, 16);
    tessera_fe_mul(r, a, b);
    add_to_digest(r, 8);
    tessera_fe_sqr(r, a);
    add_to_digest(r, 8);

    // A high half of ones makes the top of the first fold C; a low half close to 2^256 lets the second one carry.
    random_number(wide);
    memset(wide + 2, 0xff, 56);
    tessera_fe_reduce(r, wide);
    add_to_digest(r, 8);

    tessera_fe_add(r, b);
    add_to_digest(r, 8);
    tessera_fe_add(a, b);
    add_to_digest(a, 8);
    tessera_fe_sub(r, a);
    add_to_digest(r, 8);
    tessera_fe_sub2(r, b);
    add_to_digest(r, 8);
    tessera_fe_sub(b, a);
    add_to_digest(b, 8);
    tessera_fe_neg(r, b);
    add_to_digest(r, 8);
    tessera_fe_half(r);
    add_to_digest(r, 8);
    random_number(a);
    random_number(b);
    tessera_fe_sub2(a, b);
    add_to_digest(a, 8);
    tessera_fe_mul3(b);
    add_to_digest(b, 8);
    random_number(a);
    tessera_fe_neg(r, a);
    add_to_digest(r, 8);
    tessera_fe_half(a);
    add_to_digest(a, 8);
}

int main(int argc, char **argv) {
    int cases = argc > 1 ? atoi(argv[1]) : 1;
    for (int i = 0; i < cases; i++) {
        one_case();
    }
    printf("%d cases, digest %08" PRIx32 "%08" PRIx32 "\n", cases, (uint32_t)(digest >> 32), (uint32_t)digest);
    return 0;
}
