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

# The RP2040 computes with a field of our own, whose assembly is generated here (field_m0.py).
if(PICO_PLATFORM STREQUAL "rp2040")
    find_package(Python3 REQUIRED COMPONENTS Interpreter)
    set(FIELD_M0_SOURCE ${CMAKE_BINARY_DIR}/field_m0.s)
    add_custom_command(
        OUTPUT ${FIELD_M0_SOURCE}
        COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/field_m0.py ${FIELD_M0_SOURCE}
        DEPENDS ${CMAKE_CURRENT_LIST_DIR}/field_m0.py
    )
    target_sources(usermod_secp256k1 INTERFACE ${FIELD_M0_SOURCE})
    set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/library.c PROPERTIES COMPILE_DEFINITIONS TESSERA_FIELD_M0)
# In C where that beats the library's own (tools/field_counts.py): RP2350, ESP32-C3. The compiler of an ESP32's Xtensa
# has no package, so there nothing is known, and the library's stays.
elseif(PICO_PLATFORM MATCHES "^rp2350" OR IDF_TARGET STREQUAL "esp32c3")
    set_source_files_properties(
        ${CMAKE_CURRENT_LIST_DIR}/library.c PROPERTIES COMPILE_DEFINITIONS TESSERA_FIELD_PORTABLE
    )
endif()

# Optimised for speed where the port is for size. Beside the objects: call graphs (.ci), which tools/c_stack.py reads.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/library.c PROPERTIES COMPILE_OPTIONS "-O2;-fcallgraph-info=su")
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/modsecp256k1.c PROPERTIES COMPILE_OPTIONS "-fcallgraph-info=su")

target_link_libraries(usermod INTERFACE usermod_secp256k1)
