// See encoder.h.
#include "runtime/encoder.h"

namespace {

int64_t last = -1;

}  // namespace

void encoder_read([[maybe_unused]] const int32_t* ids, [[maybe_unused]] int32_t count) {
    if constexpr (model::kEncoderLength == 0) return;
    int64_t* const tokens = static_cast<int64_t*>(model::encoder_input(0).data);
    int64_t* const mask = static_cast<int64_t*>(model::encoder_input(1).data);
    for (int32_t i = 0; i < model::kEncoderLength; ++i) {
        tokens[i] = i < count ? ids[i] : model::kEncoderPadId;
        mask[i] = i < count ? 1 : 0;
    }
    model::encode();
    last = count - 1;
}

void encoder_take() {
    if constexpr (model::kEncoderMaskInput >= 0) {
        const model::Tensor mask = model::encoder_input(model::kEncoderMaskInput);
        const int64_t* const counts = static_cast<const int64_t*>(mask.data);
        const int64_t rows = static_cast<int64_t>(mask.elements);
        for (last = 0; last + 1 < rows && counts[last + 1] != 0;) ++last;
    }
    model::encode();
}

int64_t encoder_last() { return last; }
