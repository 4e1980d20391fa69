# For ports that build with CMake: AES on chips that have none, in place of mbedTLS's, whose tables are in flash behind a
# cache. boards/rp2.cmake tells mbedTLS. A chip of Espressif has a unit for it, which ESP-IDF's mbedTLS uses.
if(PICO_PLATFORM AND NOT TESSERA_LIBRARY_FIELD)
    find_package(Python3 REQUIRED COMPONENTS Interpreter)
    set(AES_GENERATOR ${CMAKE_CURRENT_LIST_DIR}/aes_rp2040.py)
    set(AES_GENERATED ${CMAKE_BINARY_DIR}/aes)
    file(MAKE_DIRECTORY ${AES_GENERATED})
    add_library(usermod_aes INTERFACE)
    target_sources(usermod_aes INTERFACE ${CMAKE_CURRENT_LIST_DIR}/aes.c ${CMAKE_CURRENT_LIST_DIR}/aes_alt.c)

    # The tables of the rounds in C, made when CMake runs. MicroPython's search for names wants them on every chip.
    execute_process(
        COMMAND ${Python3_EXECUTABLE} ${AES_GENERATOR} ${AES_GENERATED}/aes_tables.h
        RESULT_VARIABLE AES_TABLES_FAILED
    )
    if(AES_TABLES_FAILED)
        message(FATAL_ERROR "aes_rp2040.py failed: ${AES_TABLES_FAILED}")
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${AES_GENERATOR})
    target_include_directories(usermod_aes INTERFACE ${AES_GENERATED})

    if(PICO_PLATFORM STREQUAL "rp2040")
        add_custom_command(
            OUTPUT ${AES_GENERATED}/aes_rp2040.s
            COMMAND ${Python3_EXECUTABLE} ${AES_GENERATOR} ${AES_GENERATED}/aes_rp2040.s
            DEPENDS ${AES_GENERATOR}
        )
        target_sources(usermod_aes INTERFACE ${AES_GENERATED}/aes_rp2040.s)
        target_compile_definitions(usermod_aes INTERFACE TESSERA_AES_RP2040)
    endif()
    set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/aes.c PROPERTIES COMPILE_OPTIONS "-O2;-fcallgraph-info=su")
    target_link_libraries(usermod INTERFACE usermod_aes)
endif()
