// For boards without a counter.
#include "platform/counter.h"

void counter_start() {}

bool counter_check() { return false; }

const char* counter_unit() { return "instructions"; }

uint64_t counter_read() { return 0; }

uint64_t counter_instructions(uint64_t, uint64_t) { return 0; }
