// The surroundings of a program on an emulated Xtensa LX106 in QEMU's user mode: its start, the system calls of Linux,
// and what the compiler asks of a library that Debian's has not, as it lies in that chip's ROM.
//
// The LX106 multiplies 32 bits by 32 to 32, and 16 by 16 to 32; the LX6 and LX7 of the ESP32 and its S3 give the upper
// half of a product, too, in one instruction (MULUH), where here __muldi3() is called.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define WRITE 13
#define EXIT_GROUP 119

int main(int count, char **words);

// The number is in a2, arguments are in a6, a3, a4; the result in a2.
static int call(int number, int first, const void *second, int third) {
    register int a2 __asm__("a2") = number;
    register int a6 __asm__("a6") = first;
    register const void *a3 __asm__("a3") = second;
    register int a4 __asm__("a4") = third;
    __asm__ volatile("syscall" : "+r"(a2) : "r"(a6), "r"(a3), "r"(a4) : "memory");
    return a2;
}

// A mark for count_instructions.c; no other system call has this number.
void mark(void) {
    call(4095, 0, NULL, 0);
}

static int put(char byte, FILE *file) {
    (void)file;
    call(WRITE, 1, &byte, 1);
    return byte;
}

static FILE output = FDEV_SETUP_STREAM(put, NULL, NULL, _FDEV_SETUP_WRITE);
FILE *const stdout = &output;
FILE *const stderr = &output;

__attribute__((noreturn)) void _exit(int status) {
    for (;;) {
        call(EXIT_GROUP, status, NULL, 0);
    }
}

// The count of words and the words lie on the stack.
__attribute__((noreturn, used)) static void begin(int *stack) {
    exit(main(stack[0], (char **)(stack + 1)));
}

__asm__(".section .text.start\n"
        ".global _start\n"
        ".literal_position\n"
        ".align 4\n"
        "_start:\n"
        "mov a2, a1\n"
        "addi a1, a1, -32\n"
        "movi a0, begin\n"
        "jx a0\n"
        ".text\n");

// -- arithmetic

static inline uint32_t mul16(uint32_t a, uint32_t b) {
    uint32_t product;
    __asm__("mul16u %0, %1, %2" : "=a"(product) : "a"(a), "a"(b));
    return product;
}

// a * b, of whose halves the upper ones are mostly 0: a product of 32 bits by 32.
uint64_t __muldi3(uint64_t a, uint64_t b) {
    uint32_t a0 = (uint32_t)a, b0 = (uint32_t)b, a_high = (uint32_t)(a >> 32), b_high = (uint32_t)(b >> 32);
    uint32_t low = mul16(a0, b0), middle = mul16(a0 >> 16, b0), other = mul16(a0, b0 >> 16), high = mul16(a0 >> 16, b0 >> 16);
    uint32_t sum = middle + other;
    high += (uint32_t)(sum < middle) << 16;
    uint32_t lower = low + (sum << 16);
    high += (sum >> 16) + (lower < low);
    return (uint64_t)(high + a0 * b_high + a_high * b0) << 32 | lower;
}

uint64_t __umulsidi3(uint32_t a, uint32_t b) {
    return __muldi3(a, b);
}

static uint64_t divide(uint64_t a, uint64_t b, uint64_t *rest) {
    uint64_t quotient = 0, left = 0;
    for (int bit = 63; bit >= 0; bit--) {
        left = left << 1 | (a >> bit & 1);
        if (left >= b) {
            left -= b;
            quotient |= (uint64_t)1 << bit;
        }
    }
    *rest = left;
    return quotient;
}

uint64_t __udivdi3(uint64_t a, uint64_t b) {
    return divide(a, b, &a);
}

uint64_t __umoddi3(uint64_t a, uint64_t b) {
    uint64_t rest;
    divide(a, b, &rest);
    return rest;
}

uint32_t __udivsi3(uint32_t a, uint32_t b) {
    return (uint32_t)__udivdi3(a, b);
}

uint32_t __umodsi3(uint32_t a, uint32_t b) {
    return (uint32_t)__umoddi3(a, b);
}

int32_t __divsi3(int32_t a, int32_t b) {
    uint32_t quotient = __udivsi3(a < 0 ? -(uint32_t)a : (uint32_t)a, b < 0 ? -(uint32_t)b : (uint32_t)b);
    return (int32_t)((a < 0) != (b < 0) ? -quotient : quotient);
}

int32_t __modsi3(int32_t a, int32_t b) {
    return a - b * __divsi3(a, b);
}
