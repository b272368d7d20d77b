// The console and the end of a run: what every platform gives the runtime.
#pragma once

#include <stdint.h>

// Writes `count` bytes to the console and waits until they are on their way.
void platform_write(const char* bytes, int32_t count);

// Waits for one byte from the console; -1 when no more can come (the end of a host's standard input).
int32_t platform_read();

// Ends the run: a process exits, a simulator stops where semihosting is enabled, silicon waits for a reset.
[[noreturn]] void platform_exit(int32_t code);
