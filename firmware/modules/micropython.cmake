# All C modules, for ports that build with CMake (USER_C_MODULES names this file). Those that build with make find them.

# An image to compare with (tools/build/image.py --library-field) says that all be the libraries' own.
include(${CMAKE_CURRENT_LIST_DIR}/library_field.cmake OPTIONAL)

include(${CMAKE_CURRENT_LIST_DIR}/aes/micropython.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/loops/micropython.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/mbedcrypto/micropython.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/sha256/micropython.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/secp256k1/micropython.cmake)
if(IDF_TARGET)
    include(${CMAKE_CURRENT_LIST_DIR}/splitheap/micropython.cmake)
endif()
