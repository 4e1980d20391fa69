// The module loops: the C tier of firmware/tessera/native.py, which describes the interface, for a loop over the whole
// index of records that native code of MicroPython's own emitter takes seven times as long for. Owns arguments and errors.

#include "py/runtime.h"

#define PAGES_PER_SECTOR 16
#define LONGEST_SPAN 254 // recordlog's
#define NO_ENTRY 0x1ffff // more than 16 bits: no entry of the index is that

static void *array_of(mp_obj_t object, size_t bytes, mp_uint_t flags) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, flags);
    if (buffer.len < bytes) {
        mp_raise_ValueError(MP_ERROR_TEXT("an array is too short"));
    }
    return buffer.buf;
}

// find_pages(index, first_rounds, sectors, bucket, round, found, room) -> count
//
// No branch depends on what is found, nor does what is read; the entry that is written to does, in RAM without a cache.
static mp_obj_t find_pages(size_t n_args, const mp_obj_t *args) {
    const mp_int_t sectors = mp_obj_get_int(args[2]), bucket = mp_obj_get_int(args[3]), round = mp_obj_get_int(args[4]);
    const mp_int_t room = mp_obj_get_int(args[6]);
    if (sectors < 0 || room < 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("less than none"));
    }
    const uint16_t *index = array_of(args[0], 2 * PAGES_PER_SECTOR * sectors, MP_BUFFER_READ);
    const uint32_t *first_rounds = array_of(args[1], 4 * sectors, MP_BUFFER_READ);
    uint32_t *found = array_of(args[5], 4 * (room + 1), MP_BUFFER_WRITE);
    int32_t count = 0;
    uint32_t page = 0;
    for (mp_int_t sector = 0; sector < sectors; sector++) {
        const int32_t offset = (int32_t)round - (int32_t)first_rounds[sector];
        const int32_t outside = (offset | (LONGEST_SPAN - offset)) >> 31; // all ones or none
        const int32_t wanted = (int32_t)bucket << 8 | offset | (outside & NO_ENTRY);
        for (int place = 0; place < PAGES_PER_SECTOR; place++) {
            const int32_t over = count - (int32_t)room;
            found[count - (over & ~(over >> 31))] = page;
            // 1 if they are equal: only then is neither the difference nor its negative below zero.
            const int32_t difference = index[page] - wanted;
            count += 1 + ((difference | -difference) >> 31);
            page++;
        }
    }
    return MP_OBJ_NEW_SMALL_INT(count);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(find_pages_obj, 7, 7, find_pages);

static const mp_rom_map_elem_t globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_loops) },
    { MP_ROM_QSTR(MP_QSTR_find_pages), MP_ROM_PTR(&find_pages_obj) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t loops_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&globals,
};

MP_REGISTER_MODULE(MP_QSTR_loops, loops_module);
