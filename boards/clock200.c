// A Pico's RP2040 at 200 MHz with 1.15 V, for which Raspberry Pi rates it since Pico SDK 2.1.1. The SDK's own start raises
// the voltage with PICO_USE_FASTEST_SUPPORTED_CLOCK, but MicroPython's port has a copy of it that does not: so this runs
// first thing in its main(), at 125 MHz still, and MicroPython sets the flash's divider behind it (2: 100 MHz, of 133).

#ifndef NO_QSTR // MicroPython's search for names knows no folder of the regulator's
#include "hardware/clocks.h"
#include "hardware/timer.h"
#include "hardware/vreg.h"
#endif

#include "clock200.h"

#define SETTLING_US 1000 // SYS_CLK_VREG_VOLTAGE_AUTO_ADJUST_DELAY_US

void clock200_start(void) {
    vreg_set_voltage(VREG_VOLTAGE_1_15);
    busy_wait_us(SETTLING_US);
    set_sys_clock_khz(200000, true);
}
