/* What this firmware has of its own, on an MPS2 board with image AN386 (a Cortex-M4): a serial port and a timer. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

void board_write(const char* text);
void board_start_timer(uint32_t clocks); /* calls SysTick_Handler every so many clocks */
void board_exit(int code) __attribute__((noreturn));

#endif
