// The model as a shared library with a C interface, for programs on the host: mcu_sdk/project/host_library.py.
//
// Every call that computes sets the float mode of the device and restores the caller's. One model per process and
// library file: the buffers are static, as on the device.
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"
#include "platform/host/float_mode.h"
#include "runtime/digest.h"
#include "runtime/encoder.h"
#if MCU_HAS_TOKENIZER
#include "runtime/text_inputs.h"
#include "runtime/tokenizer.h"
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

const model::Tensor* find(const model::Tensor* tensors, int32_t count, int32_t index) {
    return index >= 0 && index < count ? &tensors[index] : nullptr;
}

void* describe(const model::Tensor* tensor, uint64_t* bytes, int32_t* type) {
    if (tensor == nullptr) return nullptr;
    *bytes = tensor->bytes;
    *type = static_cast<int32_t>(tensor->type);
    return tensor->data;
}

}  // namespace

EXPORT const char* model_hash() { return model::kHash; }
EXPORT int32_t model_is_language_model() { return model::kIsLanguageModel ? 1 : 0; }
EXPORT int32_t model_vocabulary() { return model::kVocabSize; }
EXPORT int32_t model_max_sequence_length() { return model::kMaxSequenceLength; }
EXPORT int32_t model_slides() { return model::kSlides ? 1 : 0; }
EXPORT int32_t model_prefill_rows() { return model::kPrefillRows; }
EXPORT int32_t model_encoder_length() { return model::kEncoderLength; }
EXPORT int32_t model_input_count() { return model::kInputCount; }
EXPORT int32_t model_output_count() { return model::kOutputCount; }

EXPORT void model_reset() { model::reset(); }

// The KV cache, whose size goes to `bytes`.
EXPORT void* model_kv_cache(uint64_t* bytes) {
    *bytes = model::kKvCacheBytes;
    return model::kv_cache_data();
}

EXPORT void model_step() {
    const FloatMode mode;
    model::step();
}

// Lets the encoder read `count` token ids. Nothing is checked here.
EXPORT void model_read_source(const int32_t* tokens, int32_t count) {
    if constexpr (model::kEncoderLength > 0) {
        const FloatMode mode;
        encoder_read(tokens, count);
    }
}

// Lets the encoder take the tensors that lie in its inputs.
EXPORT void model_take_source() {
    if constexpr (model::kEncoderTensors > 0) {
        const FloatMode mode;
        encoder_take();
    }
}

EXPORT int32_t model_encoder_tensors() { return model::kEncoderTensors; }

// The address of an input or output, its size in bytes and its model::Type; NULL when there is none with this index.
EXPORT void* model_input(int32_t index, uint64_t* bytes, int32_t* type) {
    return describe(find(model::kInputs, model::kInputCount, index), bytes, type);
}
EXPORT void* model_output(int32_t index, uint64_t* bytes, int32_t* type) {
    return describe(find(model::kOutputs, model::kOutputCount, index), bytes, type);
}

EXPORT void* model_encoder_input(int32_t index, uint64_t* bytes, int32_t* type) {
    if constexpr (model::kEncoderTensors > 0) {
        return describe(find(model::kEncoderInputs, model::kEncoderTensors, index), bytes, type);
    }
    return describe(nullptr, bytes, type);
}

#if MCU_EXECUTORCH
EXPORT int32_t model_runtime_uses() { return model::kRuntimeUses; }

// What memory of ExecuTorch's runtime number `index` is for, the bytes that it has, and that were used so far.
EXPORT const char* model_runtime_use(int32_t index, uint64_t* bytes, uint64_t* used) {
    const model::RuntimeUse use = model::runtime_use(index);
    *bytes = use.bytes;
    *used = use.used;
    return use.what;
}
#endif

// FNV-1a, 64 bits, of `bytes` bytes, going on from `value` (0: from the start).
EXPORT uint64_t model_digest(uint64_t value, const void* data, uint64_t bytes) {
    Digest digest = value != 0 ? Digest(value) : Digest();
    const uint8_t* next = static_cast<const uint8_t*>(data);
    for (constexpr uint64_t kMost = 1u << 30; bytes > 0;) {
        const uint64_t count = bytes < kMost ? bytes : kMost;
        digest.add(next, static_cast<uint32_t>(count));
        next += count;
        bytes -= count;
    }
    return digest.value();
}

// Reads `count` tokens at positions `first`, `first` + 1, ... and copies the logits of each to `logits`, float
// [count][vocabulary]. Nothing is checked here.
EXPORT void model_tokens(const int64_t* tokens, int32_t count, int64_t first, float* logits) {
    const FloatMode mode;
    for (int32_t i = 0; i < count; ++i) {
        *static_cast<int64_t*>(model::kInputs[0].data) = tokens[i];
        *static_cast<int64_t*>(model::kInputs[1].data) = first + i;
        if constexpr (model::kIsLanguageModel && model::kInputCount > 2) {
            *static_cast<int64_t*>(model::kInputs[2].data) = encoder_last();
        }
        model::step();
        const float* row = static_cast<const float*>(model::kOutputs[0].data);
        for (int32_t v = 0; v < model::kVocabSize; ++v) logits[v] = row[v];
        logits += model::kVocabSize;
    }
}

// Reads model_prefill_rows() tokens from position `first` on at once and copies the logits of the last one to `logits`.
// Nothing is checked here.
EXPORT void model_chunk(const int64_t* tokens, int64_t first, float* logits) {
    if constexpr (model::kPrefillRows > 0) {
        const FloatMode mode;
        for (int32_t i = 0; i < model::kPrefillRows; ++i) {
            static_cast<int64_t*>(model::kPrefillInputs[0].data)[i] = tokens[i];
            static_cast<int64_t*>(model::kPrefillInputs[1].data)[i] = first + i;
        }
        model::prefill();
        const float* row = static_cast<const float*>(model::kPrefillOutputs[0].data);
        for (int32_t v = 0; v < model::kVocabSize; ++v) logits[v] = row[v];
    }
}

#if MCU_HAS_TOKENIZER
EXPORT int32_t model_has_tokenizer() { return mcu_tokenizer_present ? 1 : 0; }

EXPORT int32_t model_encode(const char* text, int32_t bytes, int32_t* ids, int32_t capacity) {
    return mcu_tokenizer_encode(text, bytes, ids, capacity);
}

EXPORT int32_t model_decode(int32_t id, const uint8_t** bytes) { return mcu_tokenizer_decode(id, bytes); }

// Fills the inputs of a model that reads texts; `pair` may be null. Returns what text_inputs_fill() does, and tokens
// that were cut off.
EXPORT int32_t model_read_texts(const char* text, int32_t bytes, const char* pair, int32_t pair_bytes,
                                int32_t* dropped) {
    mcu_encoded read = {-2, 0};
    if constexpr (model::kMaxTextBytes > 0) read = text_inputs_fill({text, bytes}, {pair, pair_bytes});
    *dropped = read.dropped;
    return read.count;
}
#else
EXPORT int32_t model_has_tokenizer() { return 0; }
#endif
