// For an RP2040 board's mpconfigboard.h, whose mpconfigboard.cmake compiles clock200.c.
void clock200_start(void);
#define MICROPY_BOARD_STARTUP                   clock200_start
