// What the wrappers of sounds' operators check.
#pragma once

#include <stdint.h>

namespace mcu {

// An even number of points of twos and fives alone.
bool is_transform(int64_t points);
// Pairs of a first power and a number of them, `bins` of them, within `powers`; of as many weights together.
bool are_spans(const int32_t* spans, int64_t bins, int64_t powers, int64_t weights);

}  // namespace mcu
