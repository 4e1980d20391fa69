# For ports that build with CMake. Optimised for speed where the port is for size.
add_library(usermod_loops INTERFACE)
target_sources(usermod_loops INTERFACE ${CMAKE_CURRENT_LIST_DIR}/modloops.c)
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/modloops.c PROPERTIES COMPILE_OPTIONS "-O2")
target_link_libraries(usermod INTERFACE usermod_loops)
