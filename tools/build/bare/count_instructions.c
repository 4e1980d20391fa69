// A plugin of QEMU's user mode, for field_counts.py: whenever the program makes the system call MARK, a line says how
// many instructions ran until then, how many of them in __muldi3() and how often that was called. (The declarations are
// those of QEMU's plugin interface, version 1, of which Debian has no header.)

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MARK 4095

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*on_translation)(qemu_plugin_id_t id, struct qemu_plugin_tb *block);
typedef void (*on_system_call)(qemu_plugin_id_t id, unsigned processor, int64_t number, uint64_t, uint64_t, uint64_t,
    uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, on_translation function);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, enum qemu_plugin_op operation, void *number,
    uint64_t by);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id, on_system_call function);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t place);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *instruction);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);

int qemu_plugin_version = 1;

static uint64_t instructions, in_products, products;

static void add(struct qemu_plugin_tb *block, uint64_t *number, uint64_t by) {
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, number, by);
}

// Blocks of __muldi3() come in the order in which they run first: its beginning before all else of it.
static void count(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    static uint64_t beginning;
    (void)id;
    size_t size = qemu_plugin_tb_n_insns(block);
    const struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(block, 0);
    const char *name = qemu_plugin_insn_symbol(first);
    add(block, &instructions, size);
    if (name && strcmp(name, "__muldi3") == 0) {
        beginning = beginning ? beginning : qemu_plugin_insn_vaddr(first);
        add(block, &in_products, size);
        add(block, &products, qemu_plugin_insn_vaddr(first) == beginning);
    }
}

static void tell(qemu_plugin_id_t id, unsigned processor, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
    uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)processor, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number == MARK) {
        dprintf(1, "mark %llu %llu %llu\n", (unsigned long long)instructions, (unsigned long long)in_products,
            (unsigned long long)products);
    }
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *about, int count_of_words, char **words) {
    (void)about, (void)count_of_words, (void)words;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count);
    qemu_plugin_register_vcpu_syscall_cb(id, tell);
    return 0;
}
