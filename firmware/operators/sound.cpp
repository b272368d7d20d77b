#include "operators/sound.h"

namespace mcu {

bool is_transform(int64_t points) {
    if (points < 2 || points % 2 != 0) return false;
    int64_t left = points / 2;
    while (left % 2 == 0) left /= 2;
    while (left % 5 == 0) left /= 5;
    return left == 1;
}

bool are_spans(const int32_t* spans, int64_t bins, int64_t powers, int64_t weights) {
    int64_t sum = 0;
    for (int64_t bin = 0; bin < bins; ++bin) {
        const int64_t first = spans[2 * bin], number = spans[2 * bin + 1];
        if (first < 0 || number < 0 || first + number > powers) return false;
        sum += number;
    }
    return sum == weights;
}

}  // namespace mcu
