// See text_model.h.
#include "runtime/text_model.h"

#include "kernels/math/math.h"
#include "model/model.h"
#include "runtime/console.h"
#include "runtime/print.h"
#include "runtime/tensor_series.h"
#include "runtime/text_inputs.h"

namespace {

const char* reason(int32_t error) {
    return error == kIdOutOfRange ? "id_out_of_range" : error == -1 ? "text_too_long" : "text_not_encodable";
}

void print_ids(int32_t count) {
    const int64_t* ids = static_cast<const int64_t*>(model::kInputs[model::kIdsInput].data);
    print_text("@mcu prompt_ids=");
    for (int32_t i = 0; i < count; ++i) {
        if (i > 0) print_text(",");
        print_signed(static_cast<int32_t>(ids[i]));
    }
    print_text("\n");
}

// The likeliest label and its share of 1, as the model's text: "yes 0.602".
void print_label() {
    const float* scores = static_cast<const float*>(model::kOutputs[model::kLabelsOutput].data);
    int32_t best = 0;
    for (int32_t i = 1; i < model::kLabelCount; ++i) {
        if (scores[i] > scores[best]) best = i;
    }
    float sum = 0.0f;
    bool finite = true;
    for (int32_t i = 0; i < model::kLabelCount; ++i) {
        sum += mcu_expf(scores[i] - scores[best]);
        finite = finite && scores[i] - scores[i] == 0.0f;
    }
    if (!finite) {
        print_text("?\n");
        return;
    }
    const uint32_t thousandths = static_cast<uint32_t>(mcu_round(1000.0f / sum));
    print_text(model::kLabels[best]);
    print_text(thousandths == 1000 ? " 1." : " 0.");
    for (uint32_t unit = 100; unit > 0; unit /= 10) print_unsigned(thousandths / unit % 10);
    print_text("\n");
}

}  // namespace

void text_model_run(const Request& request) {
    const mcu_encoded read = text_inputs_fill({request.text, request.text_bytes}, {request.pair, request.pair_bytes});
    if (read.count < 0) {
        console_fail(reason(read.count));
        return;
    }
    print_fact("prompt_tokens", static_cast<uint64_t>(read.count));
    print_fact("dropped", static_cast<uint64_t>(read.dropped));
    print_ids(read.count);  // a step's outputs may lie over its inputs
    series_step();
    if constexpr (model::kLabelCount > 0) print_label();
    series_report();
}
