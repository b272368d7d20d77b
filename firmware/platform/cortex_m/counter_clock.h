// What a counter's driver gives to counter_ticks.cpp: a clock that runs. One file
// platform/cortex_m/counter_<driver>.cpp for each kind. Addresses and frequency come from the board, through compile
// definitions MCU_COUNTER_*.
#pragma once

#include <stdint.h>

// Lets the clock run.
void counter_clock_start();

// Ticks since some moment before; counts up and does not wrap. Takes the same number of instructions every time but
// where a half of the count overflows.
uint64_t counter_clock_ticks();
