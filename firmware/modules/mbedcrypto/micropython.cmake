# For ports that build with CMake. mbedTLS, its headers and its configuration are the port's own.
add_library(usermod_mbedcrypto INTERFACE)
foreach(NAME dummies frames modmbedcrypto pages)
    target_sources(usermod_mbedcrypto INTERFACE ${CMAKE_CURRENT_LIST_DIR}/${NAME}.c)
    set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/${NAME}.c PROPERTIES COMPILE_OPTIONS "-O2;-fcallgraph-info=su")
endforeach()
target_link_libraries(usermod INTERFACE usermod_mbedcrypto)
