// The types of the module mbedcrypto that have a source file of their own.

#ifndef TESSERA_MBEDCRYPTO_TYPES_H
#define TESSERA_MBEDCRYPTO_TYPES_H

#include "py/obj.h"

#define AES_BLOCK_BYTES 16

extern const mp_obj_type_t dummies_type; // dummies.c
extern const mp_obj_type_t frame_key_type; // frames.c
extern const mp_obj_type_t page_key_type; // pages.c
extern const mp_obj_type_t page_search_type;

#endif
