// The primitives of field_8x32_impl.h on a Cortex-M0+: calls of the assembly that field_m0.py generates, which clobbers
// every register but sp (there is why). The calls tell the compiler, so each function that computes saves what it has to
// once; the compiler must be free to use r7, so no frame pointer.

#ifndef TESSERA_FIELD_M0_H
#define TESSERA_FIELD_M0_H

void tessera_m0_fe_mul(void);
void tessera_m0_fe_sqr(void);
void tessera_m0_fe_add(void);
void tessera_m0_fe_sub(void);
void tessera_m0_fe_sub2(void);
void tessera_m0_fe_neg(void);
void tessera_m0_fe_half(void);
void tessera_m0_fe_mul3(void);
void tessera_m0_fe_choose(void);
void tessera_m0_wide_mul(void);

// Through a register: the field is in RAM and its callers are in flash, too far for a direct branch.
static inline __attribute__((always_inline)) void tessera_m0_call(
    void (*routine)(void), uint32_t *r, const uint32_t *a, const uint32_t *b) {
    register uint32_t *r0 __asm__("r0") = r;
    register const uint32_t *r1 __asm__("r1") = a;
    register const uint32_t *r2 __asm__("r2") = b;
    register void (*r3)(void) __asm__("r3") = routine;
    __asm__ volatile ("blx r3"
        : "+l" (r0), "+l" (r1), "+l" (r2), "+l" (r3)
        :
        : "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
}

#define tessera_fe_mul(r, a, b) tessera_m0_call(tessera_m0_fe_mul, (r), (a), (b))
#define tessera_fe_sqr(r, a) tessera_m0_call(tessera_m0_fe_sqr, (r), (a), (a))
#define tessera_fe_add(r, a) tessera_m0_call(tessera_m0_fe_add, (r), (a), (a))
#define tessera_fe_sub(r, a) tessera_m0_call(tessera_m0_fe_sub, (r), (a), (a))
#define tessera_fe_sub2(r, a) tessera_m0_call(tessera_m0_fe_sub2, (r), (a), (a))
#define tessera_fe_neg(r, a) tessera_m0_call(tessera_m0_fe_neg, (r), (a), (a))
#define tessera_fe_half(r) tessera_m0_call(tessera_m0_fe_half, (r), (r), (r))
#define tessera_fe_mul3(r) tessera_m0_call(tessera_m0_fe_mul3, (r), (r), (r))
#define tessera_fe_choose(r, a, choice) tessera_m0_call(tessera_m0_fe_choose, (r), (a), (void *)-(uintptr_t)(choice))
#define tessera_wide_mul(r, a, b) tessera_m0_call(tessera_m0_wide_mul, (r), (a), (b))

#endif
