// What a board's board.cpp defines.
#pragma once

// Clocks, wait states, caches, memories that are off after reset, the UART's pins: called once, when the FPU is on,
// before the stack's pattern, .data and .bss are written, since they may lie in memory that it turns on. So it uses no
// variable that is not constexpr, and little stack.
void board_start();
