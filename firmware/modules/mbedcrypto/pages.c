// PageKey and PageSearch: one record in one flash page (PROTOCOL §10). The C tier of firmware/tessera/page.py, which
// describes the interface.
//
// What is done for a page, and how long that takes, is the same whether it is a record or not, and whose: the time of a
// start would tell how many records there are.

#include <string.h>

#include "py/runtime.h"

#include <mbedtls/aes.h>
#include <mbedtls/constant_time.h>

#include "hmac.h"
#include "types.h"

#define KEY_BYTES 32 // of each half
#define PAGE_BYTES 256
#define HEADER_BYTES 16
#define RECORD_BYTES (PAGE_BYTES - HEADER_BYTES)
#define ROUND_AT 4 // in the header, as the next two
#define BUCKET_AT 8
#define MAC_AT 10
#define MAC_BYTES (HEADER_BYTES - MAC_AT)
#define PLACE_BITS 15

typedef struct {
    mp_obj_base_t base;
    hmac_key mac;
    mbedtls_aes_context decrypt;
    mbedtls_aes_context *encrypt; // made when the first page is sealed
    uint8_t key[KEY_BYTES]; // of the encryption
} page_key_t;

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_u32(uint8_t *at, uint32_t value) {
    at[0] = value >> 24;
    at[1] = value >> 16;
    at[2] = value >> 8;
    at[3] = value;
}

static uint8_t *sized(mp_obj_t object, size_t size, mp_uint_t flags) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, flags);
    if (buffer.len != size) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%d bytes expected"), (int)size);
    }
    return buffer.buf;
}

// -- PageKey

static mp_obj_t page_key_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    const uint8_t *keys = sized(args[0], 2 * KEY_BYTES, MP_BUFFER_READ);
    page_key_t *self = mp_obj_malloc(page_key_t, type);
    memcpy(self->key, keys, KEY_BYTES);
    hmac_make(&self->mac, keys + KEY_BYTES, KEY_BYTES);
    mbedtls_aes_init(&self->decrypt);
    mbedcrypto_check(mbedtls_aes_setkey_dec(&self->decrypt, self->key, 8 * KEY_BYTES));
    self->encrypt = NULL;
    return MP_OBJ_FROM_PTR(self);
}

// The MAC of a page's index, header and record; MAC_BYTES of it count.
static void make_mac(
    const page_key_t *self, uint32_t page_index, const uint8_t *header, const uint8_t *record, uint8_t *digest) {
    uint8_t start[4 + MAC_AT];
    put_u32(start, page_index);
    memcpy(start + 4, header, MAC_AT);
    mbedtls_sha256_context context;
    hmac_begin(&context, &self->mac);
    int status = mbedtls_sha256_update(&context, start, sizeof(start));
    status = status ? status : mbedtls_sha256_update(&context, record, RECORD_BYTES);
    hmac_end(&context, &self->mac, digest);
    mbedcrypto_check(status);
}

static void decrypt_header(page_key_t *self, const uint8_t *page, uint8_t *header) {
    mbedcrypto_check(mbedtls_aes_crypt_ecb(&self->decrypt, MBEDTLS_AES_DECRYPT, page, header));
}

// All blocks but the first.
static void decrypt_rest(page_key_t *self, const uint8_t *page, size_t length, uint8_t *out) {
    uint8_t chain[AES_BLOCK_BYTES];
    memcpy(chain, page, sizeof(chain));
    mbedcrypto_check(mbedtls_aes_crypt_cbc(
        &self->decrypt, MBEDTLS_AES_DECRYPT, length - HEADER_BYTES, chain, page + HEADER_BYTES, out + HEADER_BYTES));
}

static bool fits(const uint8_t *header, uint32_t page_index) {
    return ((header[ROUND_AT - 1] ^ page_index) & PLACE_BITS) == 0;
}

// Decrypts what stands behind a header that is decrypted; whether all of it was written under this key at this place.
static bool open_rest(page_key_t *self, uint32_t page_index, const uint8_t *page, uint8_t *plain) {
    uint8_t digest[DIGEST_BYTES];
    decrypt_rest(self, page, PAGE_BYTES, plain);
    make_mac(self, page_index, plain, plain + HEADER_BYTES, digest);
    return (mbedtls_ct_memcmp(plain + MAC_AT, digest, MAC_BYTES) == 0) & fits(plain, page_index);
}

// open(page_index, page, plain) -> bool
static mp_obj_t page_key_open(size_t n_args, const mp_obj_t *args) {
    page_key_t *self = MP_OBJ_TO_PTR(args[0]);
    uint32_t page_index = mp_obj_get_int_truncated(args[1]);
    const uint8_t *page = sized(args[2], PAGE_BYTES, MP_BUFFER_READ);
    uint8_t *plain = sized(args[3], PAGE_BYTES, MP_BUFFER_WRITE);
    decrypt_header(self, page, plain);
    return mp_obj_new_bool(open_rest(self, page_index, page, plain));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(page_key_open_obj, 4, 4, page_key_open);

// decrypt(data, out): a page or its first blocks, without the header
static mp_obj_t page_key_decrypt(mp_obj_t self_in, mp_obj_t data_in, mp_obj_t out_in) {
    mp_buffer_info_t data, out;
    mp_get_buffer_raise(data_in, &data, MP_BUFFER_READ);
    mp_get_buffer_raise(out_in, &out, MP_BUFFER_WRITE);
    if (data.len <= HEADER_BYTES || data.len % AES_BLOCK_BYTES != 0 || out.len < data.len) {
        mp_raise_ValueError(MP_ERROR_TEXT("not whole blocks, or no room for them"));
    }
    decrypt_rest(MP_OBJ_TO_PTR(self_in), data.buf, data.len, out.buf);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(page_key_decrypt_obj, page_key_decrypt);

// seal(page_index, seq, round, bucket, record, page); seq with the bit that says that it is a copy
static mp_obj_t page_key_seal(size_t n_args, const mp_obj_t *args) {
    page_key_t *self = MP_OBJ_TO_PTR(args[0]);
    uint32_t bucket = mp_obj_get_int_truncated(args[4]);
    const uint8_t *record = sized(args[5], RECORD_BYTES, MP_BUFFER_READ);
    uint8_t *page = sized(args[6], PAGE_BYTES, MP_BUFFER_WRITE);
    if (self->encrypt == NULL) {
        self->encrypt = m_new_obj(mbedtls_aes_context);
        mbedtls_aes_init(self->encrypt);
        mbedcrypto_check(mbedtls_aes_setkey_enc(self->encrypt, self->key, 8 * KEY_BYTES));
    }
    uint8_t digest[DIGEST_BYTES], chain[AES_BLOCK_BYTES] = {0};
    put_u32(page, mp_obj_get_int_truncated(args[2]));
    put_u32(page + ROUND_AT, mp_obj_get_int_truncated(args[3]));
    page[BUCKET_AT] = bucket >> 8;
    page[BUCKET_AT + 1] = bucket;
    memmove(page + HEADER_BYTES, record, RECORD_BYTES);
    make_mac(self, mp_obj_get_int_truncated(args[1]), page, page + HEADER_BYTES, digest);
    memcpy(page + MAC_AT, digest, MAC_BYTES);
    mbedcrypto_check(mbedtls_aes_crypt_cbc(self->encrypt, MBEDTLS_AES_ENCRYPT, PAGE_BYTES, chain, page, page));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(page_key_seal_obj, 7, 7, page_key_seal);

static const mp_rom_map_elem_t page_key_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_decrypt), MP_ROM_PTR(&page_key_decrypt_obj) },
    { MP_ROM_QSTR(MP_QSTR_open), MP_ROM_PTR(&page_key_open_obj) },
    { MP_ROM_QSTR(MP_QSTR_seal), MP_ROM_PTR(&page_key_seal_obj) },
};
static MP_DEFINE_CONST_DICT(page_key_locals, page_key_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    page_key_type,
    MP_QSTR_PageKey,
    MP_TYPE_FLAG_NONE,
    make_new, page_key_make_new,
    locals_dict, &page_key_locals
    );

// -- PageSearch: which of several epochs a page is of

typedef struct {
    uint32_t epoch;
    page_key_t *key;
} searched_t;

typedef struct {
    mp_obj_base_t base;
    uint32_t epoch_rounds;
    mp_obj_t page; // buffers of PAGE_BYTES
    mp_obj_t plain;
    size_t epochs;
    searched_t of[];
} page_search_t;

// PageSearch(keys, epochs, epoch_rounds, page, plain): keys is a list of PageKey, epochs one of their numbers
static mp_obj_t page_search_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 5, 5, false);
    size_t count, numbers;
    mp_obj_t *keys, *epochs;
    mp_obj_get_array(args[0], &count, &keys);
    mp_obj_get_array(args[1], &numbers, &epochs);
    mp_int_t epoch_rounds = mp_obj_get_int(args[2]);
    if (count == 0 || count != numbers || epoch_rounds < 1) {
        mp_raise_ValueError(MP_ERROR_TEXT("an epoch for each key, and rounds in it"));
    }
    page_search_t *self = mp_obj_malloc_var(page_search_t, of, searched_t, count, type);
    self->epoch_rounds = epoch_rounds;
    self->page = args[3];
    self->plain = args[4];
    self->epochs = count;
    for (size_t i = 0; i < count; i++) {
        if (!mp_obj_is_type(keys[i], &page_key_type)) {
            mp_raise_TypeError(MP_ERROR_TEXT("not a PageKey"));
        }
        self->of[i].key = MP_OBJ_TO_PTR(keys[i]);
        self->of[i].epoch = mp_obj_get_int_truncated(epochs[i]);
    }
    return MP_OBJ_FROM_PTR(self);
}

static bool is_of(const page_search_t *self, size_t i, uint32_t page_index, const uint8_t *header) {
    return (get_u32(header + ROUND_AT) / self->epoch_rounds == self->of[i].epoch) & fits(header, page_index);
}

// search(page_index) -> whether what is in page is a record of one of the epochs, at this place; it is decrypted then
static mp_obj_t page_search_call(mp_obj_t self_in, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    page_search_t *self = MP_OBJ_TO_PTR(self_in);
    uint32_t page_index = mp_obj_get_int_truncated(args[0]);
    const uint8_t *page = sized(self->page, PAGE_BYTES, MP_BUFFER_READ);
    uint8_t *plain = sized(self->plain, PAGE_BYTES, MP_BUFFER_WRITE);
    size_t fitting = 0, found = 0;
    uint8_t headers[2][HEADER_BYTES] = {{0}}; // of the last that fits; another
    for (size_t i = 0; i < self->epochs; i++) {
        decrypt_header(self->of[i].key, page, headers[1]);
        size_t is_its = is_of(self, i, page_index, headers[1]);
        fitting += (i - fitting) & -is_its;
        found += is_its;
        memmove(headers[1 - is_its], headers[1], HEADER_BYTES);
    }
    memcpy(plain, headers[0], HEADER_BYTES);
    bool whole = open_rest(self->of[fitting].key, page_index, page, plain) & (found > 0);
    if (found > 1 && !whole) { // of noise that looks like a header there is some in four billion pages
        for (size_t i = 0; i < self->epochs && !whole; i++) {
            decrypt_header(self->of[i].key, page, plain);
            whole = open_rest(self->of[i].key, page_index, page, plain) && is_of(self, i, page_index, plain);
        }
    }
    return mp_obj_new_bool(whole);
}

MP_DEFINE_CONST_OBJ_TYPE(
    page_search_type,
    MP_QSTR_PageSearch,
    MP_TYPE_FLAG_NONE,
    make_new, page_search_make_new,
    call, page_search_call
    );
