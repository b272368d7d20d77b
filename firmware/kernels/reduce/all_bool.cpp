#include "kernels/reduce/all_bool.h"

void mcu_all_bool(const bool* x, bool* out, int32_t outer, int32_t count, int32_t inner) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(x);  // of a corrupt model, no valid bools
    for (int32_t o = 0; o < outer; ++o, bytes += count * inner, out += inner) {
        for (int32_t i = 0; i < inner; ++i) {
            bool found = true;
            for (int32_t k = 0; k < count; ++k) {
                found = found && bytes[k * inner + i] != 0;
            }
            out[i] = found;
        }
    }
}
