// The start of a program on an emulated Cortex-M: vectors, the words of the command line, main(). What C's library asks
// of its surroundings goes to the emulator by semihosting (rdimon).

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_LINE_BYTES 256
#define MOST_WORDS 8
#define SYS_GET_CMDLINE 0x15

extern char stack_top[]; // the linker's: STACK_TOP
int main(int argc, char **argv);
void initialise_monitor_handles(void);

static int semihosting(int operation, void *arguments) {
    register int r0 __asm__("r0") = operation;
    register void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

__attribute__((noreturn)) void reset(void) {
    static char line[COMMAND_LINE_BYTES];
    static char *words[MOST_WORDS + 1] = {"program"}; // its name is not among the emulator's words
    struct {
        char *text;
        size_t size;
    } block = {line, sizeof(line)};
    int count = 1;
    initialise_monitor_handles();
    semihosting(SYS_GET_CMDLINE, &block);
    for (char *word = strtok(line, " "); word && count < MOST_WORDS; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    exit(main(count, words));
}

// exit() calls it; there is nothing to undo.
void _fini(void) {
}

// A fault ends the program with an error, and not in an endless loop.
static void fault(void) {
    abort();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_top, reset, fault, fault, fault, fault, fault,
};
