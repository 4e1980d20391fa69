# For ports that build with CMake: SHA-256 on the RP2040. boards/rp2.cmake tells mbedTLS, the module secp256k1 uses it too.
if(PICO_PLATFORM STREQUAL "rp2040" AND NOT TESSERA_LIBRARY_FIELD)
    find_package(Python3 REQUIRED COMPONENTS Interpreter)
    set(SHA256_SOURCE ${CMAKE_BINARY_DIR}/sha256_m0.s)
    add_custom_command(
        OUTPUT ${SHA256_SOURCE}
        COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/sha256_m0.py ${SHA256_SOURCE}
        DEPENDS ${CMAKE_CURRENT_LIST_DIR}/sha256_m0.py
    )
    add_library(usermod_sha256 INTERFACE)
    target_sources(usermod_sha256 INTERFACE ${CMAKE_CURRENT_LIST_DIR}/sha256.c ${SHA256_SOURCE})
    target_include_directories(usermod_sha256 INTERFACE ${CMAKE_CURRENT_LIST_DIR})
    set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/sha256.c PROPERTIES COMPILE_OPTIONS "-O2;-fcallgraph-info=su")
    target_link_libraries(usermod INTERFACE usermod_sha256)
endif()
