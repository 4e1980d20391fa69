# For ports that build with CMake. mbedTLS, its headers and its configuration are the port's own.
add_library(usermod_mbedcrypto INTERFACE)
target_sources(usermod_mbedcrypto INTERFACE ${CMAKE_CURRENT_LIST_DIR}/modmbedcrypto.c)
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/modmbedcrypto.c PROPERTIES COMPILE_OPTIONS "-fcallgraph-info=su")
target_link_libraries(usermod INTERFACE usermod_mbedcrypto)
