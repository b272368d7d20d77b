// Counting instructions, on boards that can.
#pragma once

#include <stdint.h>

// Prepares the counter and times a loop of known length. Returns whether the counts can be trusted: a simulator
// that does not tie its clock to instructions, and silicon, fail here.
bool counter_start();

// The counter now, in ticks of its own; 0 where there is none.
uint64_t counter_read();

// The instructions between two readings, without those of the reading itself.
uint64_t counter_instructions(uint64_t before, uint64_t after);
