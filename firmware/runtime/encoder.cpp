// See encoder.h.
#include "runtime/encoder.h"

namespace {

int64_t last = -1;

}  // namespace

void encoder_read(const int32_t* ids, int32_t count) {
    int64_t* const tokens = static_cast<int64_t*>(model::kEncoderInputs[0].data);
    int64_t* const mask = static_cast<int64_t*>(model::kEncoderInputs[1].data);
    for (int32_t i = 0; i < model::kEncoderLength; ++i) {
        tokens[i] = i < count ? ids[i] : model::kEncoderPadId;
        mask[i] = i < count ? 1 : 0;
    }
    model::encode();
    last = count - 1;
}

int64_t encoder_last() { return last; }
