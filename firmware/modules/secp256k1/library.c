// libsecp256k1 as one source file, with its options: the same library on every port. Its tree is not part of this
// repository; SECP256K1_DIR names it (micropython.mk, micropython.cmake).

#define ENABLE_MODULE_ECDH 1
#define ENABLE_MODULE_EXTRAKEYS 1
#define ENABLE_MODULE_SCHNORRSIG 1

// Tables sized for the flash of a board. Of verification two, 64 bytes · 2^(window - 2) each: 2 KB together unless the
// board says more (micropython.cmake). Of signing one of 2 KB. Larger ones would make a computer faster and its tests say
// less about a board.
#ifndef ECMULT_WINDOW_SIZE
#define ECMULT_WINDOW_SIZE 6
#endif
#define COMB_BLOCKS 2
#define COMB_TEETH 5

// Without this a misuse or a failed self-test ends in abort(); modsecp256k1.c has the callbacks that raise.
#define USE_EXTERNAL_DEFAULT_CALLBACKS 1

#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunused-function"

// The field, which the build chooses: TESSERA_FIELD_M0 or TESSERA_FIELD_PORTABLE, ours over eight words; none of them, the
// library's own. These headers come before the library's, whose include guards they have.
#if defined(TESSERA_FIELD_M0) || defined(TESSERA_FIELD_PORTABLE)
#ifdef TESSERA_FIELD_M0
#define TESSERA_HOT(name) __attribute__((section(".time_critical." #name))) name // in RAM, like the field
#endif
#include "field_8x32.h"
#include "field_8x32_impl.h"
#include "scalar_wide.h"
#include "group_8x32.h"
#endif

#ifdef TESSERA_COMPACT_HASH
#include "hash_compact.h"
#endif

#include "src/secp256k1.c"
#include "src/precomputed_ecmult.c"
#include "src/precomputed_ecmult_gen.c"
#include "prepared_key_impl.h"

// Room for the context that signs, here because only here the compiler knows its size.
secp256k1_context modsecp256k1_context;
