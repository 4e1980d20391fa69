# What every RP2 board's mpconfigboard.cmake includes.

# AES is our own (firmware/modules/aes), and on the RP2040 SHA-256 too (firmware/modules/sha256); but not in an image to
# compare with (tools/build/image.py --library-field).
set(TESSERA_MODULES ${CMAKE_CURRENT_LIST_DIR}/../firmware/modules)
include(${TESSERA_MODULES}/library_field.cmake OPTIONAL)
if(NOT TESSERA_LIBRARY_FIELD)
    add_compile_definitions(MBEDTLS_AES_ALT)
    include_directories(${TESSERA_MODULES}/aes) # aes_alt.h
    if(PICO_PLATFORM STREQUAL "rp2040")
        add_compile_definitions(MBEDTLS_SHA256_PROCESS_ALT)
    endif()
endif()

# The port is compiled for size. These few files are where a relay spends its time: every page, frame and HMAC.
set_source_files_properties(
    ${MICROPY_DIR}/lib/mbedtls/library/aes.c
    ${MICROPY_DIR}/lib/mbedtls/library/sha256.c
    ${MICROPY_DIR}/py/gc.c
    ${MICROPY_DIR}/py/obj.c
    ${MICROPY_DIR}/py/objarray.c
    ${MICROPY_DIR}/py/runtime.c
    PROPERTIES COMPILE_OPTIONS "-O2"
)

# The RP2040's C stack is the 8 KiB of both scratch banks. The curve module takes up to 5.5 KiB of it, and the relay is
# some fifteen Python calls deep by then: 4 KiB more, from the heap's end just below. (The RP2350's linker script has a
# variable for this, and as much of it. These come after the script on the linker's command line, so they count.)
if(PICO_PLATFORM STREQUAL "rp2040")
    link_libraries("-Wl,--defsym=__GcHeapEnd=0x2003f000" "-Wl,--defsym=__StackBottom=0x2003f000")
endif()

# Its object for MicroPython's own ROMFS is unused here (relay_only.h).
set_source_files_properties(rp2_flash.c PROPERTIES COMPILE_OPTIONS "-Wno-unused-variable")
