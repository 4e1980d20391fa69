# All C modules, for ports that build with CMake (USER_C_MODULES names this file). Those that build with make find them.
include(${CMAKE_CURRENT_LIST_DIR}/loops/micropython.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/mbedcrypto/micropython.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/secp256k1/micropython.cmake)
if(IDF_TARGET)
    include(${CMAKE_CURRENT_LIST_DIR}/splitheap/micropython.cmake)
endif()
