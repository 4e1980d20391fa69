# For ports that build with CMake: `cmake -DUSER_C_MODULES=…/secp256k1/micropython.cmake -DSECP256K1_DIR=…`.

if(NOT EXISTS "${SECP256K1_DIR}/src/secp256k1.c")
    message(FATAL_ERROR "SECP256K1_DIR must name the source tree of libsecp256k1 (it is \"${SECP256K1_DIR}\")")
endif()

file(STRINGS "${SECP256K1_DIR}/CMakeLists.txt" LIBSECP256K1_VERSION REGEX "^  VERSION ")
string(REGEX MATCH "[0-9.]+" LIBSECP256K1_VERSION "${LIBSECP256K1_VERSION}")

add_library(usermod_secp256k1 INTERFACE)
target_sources(usermod_secp256k1 INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/modsecp256k1.c
    ${CMAKE_CURRENT_LIST_DIR}/library.c
)
target_include_directories(usermod_secp256k1 INTERFACE ${SECP256K1_DIR} ${SECP256K1_DIR}/include)
target_compile_definitions(usermod_secp256k1 INTERFACE LIBSECP256K1_VERSION=${LIBSECP256K1_VERSION})

find_package(Python3 REQUIRED COMPONENTS Interpreter)

# What prepared_key_impl.h includes, made when CMake runs.
set(GENERATED_DIR ${CMAKE_BINARY_DIR}/secp256k1)
file(MAKE_DIRECTORY ${GENERATED_DIR})
execute_process(
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/generator_table.py
    OUTPUT_FILE ${GENERATED_DIR}/generator_table.h
    RESULT_VARIABLE GENERATOR_TABLE_FAILED
)
if(GENERATOR_TABLE_FAILED)
    message(FATAL_ERROR "generator_table.py failed: ${GENERATOR_TABLE_FAILED}")
endif()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/generator_table.py)
target_include_directories(usermod_secp256k1 INTERFACE ${GENERATED_DIR})

# The RP2040 computes with a field of our own, whose assembly is generated here (field_m0.py).
if(PICO_PLATFORM STREQUAL "rp2040" AND NOT TESSERA_LIBRARY_FIELD)
    set(FIELD_M0_SOURCE ${GENERATED_DIR}/field_m0.s)
    add_custom_command(
        OUTPUT ${FIELD_M0_SOURCE}
        COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/field_m0.py ${FIELD_M0_SOURCE}
        DEPENDS ${CMAKE_CURRENT_LIST_DIR}/field_m0.py
    )
    target_sources(usermod_secp256k1 INTERFACE ${FIELD_M0_SOURCE})

    # hash_compact.h: the library's hash with the definition of its block function under another name.
    set(LIBRARY_HASH ${SECP256K1_DIR}/src/hash_impl.h)
    set(BLOCK_FUNCTION "static void secp256k1_sha256_transform(uint32_t* s, const unsigned char* buf) {")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${LIBRARY_HASH})
    file(READ ${LIBRARY_HASH} HASH_SOURCE)
    string(REPLACE "${BLOCK_FUNCTION}" "static void library_sha256_transform(uint32_t* s, const unsigned char* buf) {"
        HASH_RENAMED "${HASH_SOURCE}")
    if(HASH_RENAMED STREQUAL HASH_SOURCE)
        message(FATAL_ERROR "${LIBRARY_HASH} no longer defines the block function as hash_compact.h expects it")
    endif()
    file(WRITE ${GENERATED_DIR}/library_hash_impl.h "${HASH_RENAMED}")

    # TESSERA_VERIFY_WINDOW: in the board's mpconfigboard.cmake, by the room in its flash.
    set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/modsecp256k1.c PROPERTIES COMPILE_DEFINITIONS TESSERA_FIELD_M0)
    set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/library.c PROPERTIES
        COMPILE_DEFINITIONS "TESSERA_FIELD_M0;TESSERA_COMPACT_HASH;ECMULT_WINDOW_SIZE=${TESSERA_VERIFY_WINDOW}"
        INCLUDE_DIRECTORIES "${GENERATED_DIR};${SECP256K1_DIR}/src"
    )
# The same in C on all others, where it beats the library's own (tools/bench/field_counts.py): RP2350, ESP32-C3, and by an
# upper bound and a reckoning the Xtensa of other ESP32s.
elseif(NOT TESSERA_LIBRARY_FIELD)
    set_source_files_properties(
        ${CMAKE_CURRENT_LIST_DIR}/library.c ${CMAKE_CURRENT_LIST_DIR}/modsecp256k1.c
        PROPERTIES COMPILE_DEFINITIONS TESSERA_FIELD_PORTABLE
    )
endif()

# Optimised for speed where the port is for size. Beside the objects: call graphs (.ci), which tools/build/c_stack.py reads.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/library.c PROPERTIES COMPILE_OPTIONS "-O2;-fcallgraph-info=su")
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/modsecp256k1.c PROPERTIES COMPILE_OPTIONS "-fcallgraph-info=su")

target_link_libraries(usermod INTERFACE usermod_secp256k1)
