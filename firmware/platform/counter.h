// Counting instructions, or the processor's cycles, on boards that can.
#pragma once

#include <stdint.h>

// Prepares the counter: it counts from here on.
void counter_start();

// Times a loop of known length. Whether the counts can be trusted: a simulator that does not tie its clock to
// instructions, and silicon, fail here. It takes 40,000 instructions, so ask when the work is done.
bool counter_check();

// The counter now, in ticks of its own; 0 where there is none.
uint64_t counter_read();

// What is counted: "instructions" or "cycles".
const char* counter_unit();

// The instructions (or cycles) between two readings, without those of the reading itself.
uint64_t counter_instructions(uint64_t before, uint64_t after);
