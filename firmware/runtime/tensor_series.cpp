// See tensor_series.h.
#include "runtime/tensor_series.h"

#include "model/model.h"
#include "platform/counter.h"
#include "runtime/console.h"
#include "runtime/digest.h"
#include "runtime/print.h"

namespace {

struct Series {
    uint64_t steps;
    Digest digest;
    uint64_t instructions_first;
    uint64_t instructions_last;
    uint64_t instructions_total;
    bool has_outputs;
};
Series series = {0, Digest(), 0, 0, 0, false};

void add_to_digest(const model::Tensor& output) {
    switch (output.type) {
        case model::Type::kF16: series.digest.add_f16(output.data, output.elements); break;
        case model::Type::kF32: series.digest.add_f32(output.data, output.elements); break;
        case model::Type::kF64: series.digest.add_f64(output.data, output.elements); break;
        default: series.digest.add(output.data, static_cast<uint32_t>(output.bytes));
    }
}

}  // namespace

void series_begin() {
    model::reset();
    series = {0, Digest(), 0, 0, 0, false};
}

void series_step() {
    const uint64_t before = counter_read();
    model::step();
    const uint64_t count = counter_instructions(before, counter_read());
    if (series.steps == 0) series.instructions_first = count;
    series.instructions_last = count;
    series.instructions_total += count;
    ++series.steps;
    series.has_outputs = true;
    for (int32_t i = 0; i < model::kOutputCount; ++i) {
        add_to_digest(model::kOutputs[i]);
    }
}

bool series_has_outputs() { return series.has_outputs; }

void series_forget_outputs() { series.has_outputs = false; }

void series_report() {
    print_fact("steps", series.steps);
    print_text("@mcu digest=");
    print_hex(series.digest.value(), 16);
    print_text("\n");
    console_print_counts(series.instructions_first, series.instructions_last, series.instructions_total);
    console_succeed();
}
