// The instructions of each call of a plan, in builds that were made to count them (`mcu-sdk run --profile`).
#pragma once

#include <stdint.h>

// Starts a step: each profile_mark() from now on stores a count at `counts`, `counts` + 1 and so on. The first mark
// belongs before the first call, so that all calls stand between two marks; its count means nothing.
void profile_begin(uint32_t* counts);

// Stores the instructions since the mark before, without those of marking.
void profile_mark();

// Prints "@mcu profile=12,34" with `count` counts.
void profile_print(const uint32_t* counts, int32_t count);
