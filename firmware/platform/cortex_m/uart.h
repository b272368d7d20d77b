// A serial port: one file platform/cortex_m/uart_<driver>.cpp for each kind. Address, clock and baud rate come
// from the board, through compile definitions MCU_UART_*.
#pragma once

#include <stdint.h>

void uart_start();
void uart_write(const char* bytes, int32_t count);  // waits until all of them are on their way
uint8_t uart_read();                                // waits for a byte
