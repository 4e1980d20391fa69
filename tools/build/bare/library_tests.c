// libsecp256k1's own test program (TESTS: src/tests.c or src/tests_exhaustive.c) over the field of this project.

// As in library.c: these headers come before the library's.
#include "field_8x32.h"
#include "field_8x32_impl.h"
#include "scalar_wide.h"
#include "group_8x32.h"

#include TESTS

#ifndef EXHAUSTIVE_TEST_ORDER // a curve that small has its tables from the program itself
#include "src/precomputed_ecmult.c"
#include "src/precomputed_ecmult_gen.c"
#endif
