# For ESP-IDF alone: splitheap.c answers in place of the port's function.
add_library(usermod_splitheap INTERFACE)
target_sources(usermod_splitheap INTERFACE ${CMAKE_CURRENT_LIST_DIR}/splitheap.c)
target_link_libraries(usermod_splitheap INTERFACE "-Wl,--wrap=gc_get_max_new_split")
target_link_libraries(usermod INTERFACE usermod_splitheap)
