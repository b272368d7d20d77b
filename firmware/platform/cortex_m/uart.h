// A serial port: one file platform/cortex_m/uart_<driver>.cpp for each kind. Address, clock and baud rate come
// from the board, through compile definitions MCU_UART_*.
#pragma once

#include <stdint.h>

void uart_start();
void uart_write(uint8_t byte);  // waits for room
uint8_t uart_read();            // waits for a byte
