// What the curve's operations cost on a machine that QEMU emulates, in instructions, for field_counts.py: a line
// `name instructions times` each. Compiled with the field to be measured (library.c); run with `-icount shift=0`, where
// an instruction takes a nanosecond of the emulated time. In QEMU's user mode count_instructions.c counts, and says so in
// a line of its own before and after what is measured; the number here is 0 then.

#include <stdio.h>
#include <stdlib.h>

#include "library.c"

#if defined(__riscv)

static uint64_t instructions(void) {
    uint32_t low, high, again;
    do {
        // An extension to the assembler, but every such processor has it.
        __asm__ volatile(".option push; .option arch, +zicsr;"
                         "csrr %0, minstreth; csrr %1, minstret; csrr %2, minstreth; .option pop"
            : "=r"(high), "=r"(low), "=r"(again));
    } while (high != again);
    return (uint64_t)high << 32 | low;
}

#elif defined(__XTENSA__)

void mark(void);

static uint64_t instructions(void) {
    mark();
    return 0;
}

#else

// The counter of every Cortex-M, 24 bits that count down, here with the processor's clock: CLOCK_NS an instruction.
#define SYSTICK ((volatile uint32_t *)0xe000e010)
#define TICKS (1u << 24)

static uint64_t instructions(void) {
    static uint64_t total;
    static uint32_t last = TICKS - 1;
    if ((SYSTICK[0] & 1) == 0) {
        SYSTICK[1] = TICKS - 1;
        SYSTICK[2] = 0;
        SYSTICK[0] = 5; // on, at the processor's clock
    }
    uint32_t now = SYSTICK[2];
    total += (last - now) & (TICKS - 1);
    last = now;
    return total * CLOCK_NS;
}

#endif

void secp256k1_default_illegal_callback_fn(const char *text, void *data) {
    (void)data;
    puts(text);
    exit(1);
}

void secp256k1_default_error_callback_fn(const char *text, void *data) {
    secp256k1_default_illegal_callback_fn(text, data);
}

#define COUNTED(name, times, ...) do { \
        uint64_t start = instructions(); \
        for (int round = 0; round < (times); round++) { \
            __VA_ARGS__; \
        } \
        printf("%s %lu %d\n", name, (unsigned long)(instructions() - start), times); \
} while (0)

// Called and not seen through, so that all rounds are computed.
static __attribute__((noipa)) void mul(secp256k1_fe *r, const secp256k1_fe *a, const secp256k1_fe *b) {
    secp256k1_fe_mul(r, a, b);
}

static __attribute__((noipa)) void sqr(secp256k1_fe *r, const secp256k1_fe *a) {
    secp256k1_fe_sqr(r, a);
}

static __attribute__((noipa)) void add(secp256k1_fe *r, const secp256k1_fe *a) {
    secp256k1_fe_add(r, a);
}

static void check(int done) {
    if (!done) {
        puts("wrong");
        exit(1);
    }
}

static void count_field(const unsigned char *bytes) {
    secp256k1_fe a, b, r;
    secp256k1_fe_set_b32_mod(&a, bytes);
    b = a;
    COUNTED("mul", 1000, mul(&r, &a, &b));
    COUNTED("sqr", 1000, sqr(&r, &a));
    r = a;
    COUNTED("add", 10, add(&r, &b));
    COUNTED("inverse", 10, secp256k1_fe_inv(&r, &a));
}

static void count_curve(const unsigned char *secret, const unsigned char *message) {
    secp256k1_context *context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    secp256k1_keypair pair;
    secp256k1_xonly_pubkey public;
    secp256k1_pubkey key;
    unsigned char signature[64], point[33], xonly[32], shared[32];
    size_t size = sizeof(point);
    check(secp256k1_keypair_create(context, &pair, secret) && secp256k1_keypair_xonly_pub(context, &public, NULL, &pair));
    check(secp256k1_xonly_pubkey_serialize(context, xonly, &public));
    COUNTED("public", 3, check(secp256k1_ec_pubkey_create(context, &key, secret)));
    COUNTED("sign", 3, check(secp256k1_schnorrsig_sign32(context, signature, message, &pair, message)));
    COUNTED("verify", 3, check(secp256k1_xonly_pubkey_parse(context, &public, xonly)
        && secp256k1_schnorrsig_verify(context, signature, message, 32, &public)));
    check(secp256k1_ec_pubkey_serialize(context, point, &size, &key, SECP256K1_EC_COMPRESSED));
    COUNTED("dh", 3, check(secp256k1_ec_pubkey_parse(context, &key, point, size)
        && secp256k1_ecdh(context, shared, &key, message, NULL, NULL)));
}

int main(void) {
    unsigned char secret[32], message[32];
    for (int i = 0; i < 32; i++) {
        secret[i] = 7 * i + 1;
        message[i] = 151 * i + 3;
    }
    count_field(message);
    count_curve(secret, message);
    return 0;
}
