// See language_model.h.
#include "runtime/language_model.h"

#include "platform/counter.h"
#include "runtime/console.h"
#include "runtime/print.h"
#include "runtime/stop.h"
#include "runtime/tokenizer.h"

namespace {

constexpr int32_t kMax = model::kMaxSequenceLength;
constexpr int32_t kLineCapacity = 256 + 8 * kMax;  // a token id and its comma, or four bytes as hexadecimal text

// The prompt's ids, and the generated ones behind them. Prompt and answer together are one more than the model
// reads; the rest is room for the tokenizer, which begins with one id for each byte of a word.
constexpr int32_t kIdCapacity = kMax + 128;

constexpr int32_t kBiasCapacity = 16;

char line[kLineCapacity];
int32_t ids[kIdCapacity];
mcu_logit_bias biases[kBiasCapacity];
int32_t prompt_count = 0;
int32_t generated_count = 0;
bool text_is_open = false;
StopTexts stops;

// The text's ids into `ids` and their number into `count`; returns what is wrong, or nullptr. A firmware without
// tokenizer tables has no code for them either.
const char* encode(const Request& request, int32_t* count) {
    if constexpr (model::kHasTokenizer) {
        *count = mcu_tokenizer_encode(request.text, request.text_bytes, ids, kIdCapacity);
        return *count >= 0 ? nullptr : *count == -1 ? "prompt_too_long" : "text_not_encodable";
    } else {
        static_cast<void>(request);
        static_cast<void>(count);
        return "no_tokenizer";
    }
}

// The number of prompt tokens in `ids`, or 0 and a verdict.
int32_t prompt_from(const Request& request) {
    int32_t count = request.id_count;
    const char* error = nullptr;
    if (request.steps != 0) {
        error = "steps_for_a_language_model";
    } else if (request.pair != nullptr) {
        error = "pair_for_a_language_model";
    } else if (request.text != nullptr) {
        error = encode(request, &count);
    }
    if (error == nullptr && count == 0) error = "empty_prompt";
    if (error == nullptr && count > kMax) error = "prompt_too_long";
    for (int32_t i = 0; error == nullptr && i < count; ++i) {
        if (ids[i] < 0 || ids[i] >= model::kVocabSize) error = "id_out_of_range";
    }
    if (error == nullptr) return count;
    console_fail(error);
    return 0;
}

// Takes the request's biases into its settings; returns what is wrong, or nullptr.
const char* take_biases(const Request& request, Sampling* sampling) {
    if (request.biases == nullptr) return nullptr;
    sampling->biases = biases;
    sampling->bias_count = request_biases(request, biases, kBiasCapacity);
    return sampling->bias_count < 0 ? "bad_bias" : nullptr;
}

void print_ids(const int32_t* values, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        if (i > 0) print_text(",");
        print_signed(values[i]);
    }
}

// Some of the answer. A model may say EOT; to the host that would be the end of the run. SUB stands in for it.
void print_answer(const uint8_t* bytes, int32_t count) {
    int32_t begin = 0;
    for (int32_t i = 0; i < count; ++i) {
        if (bytes[i] != kEndOfTransmission) continue;
        print_bytes(bytes + begin, i - begin);
        print_text("\x1a");
        begin = i + 1;
    }
    print_bytes(bytes + begin, count - begin);
}

// A token's text, but for what may still become a stop text.
[[maybe_unused]] void print_token(int32_t token) {
    const uint8_t* bytes = nullptr;
    const int32_t count = mcu_tokenizer_decode(token, &bytes);
    if (!stops.any()) {
        print_answer(bytes, count);
        return;
    }
    for (int32_t i = 0; i < count && !stops.found(); ++i) {
        const int32_t free = stops.take(bytes[i]);
        print_answer(stops.held(), free);
        stops.drop(free);
    }
}

}  // namespace

float* LanguageModel::step(int32_t token) {
    const uint64_t before = counter_read();
    *static_cast<int64_t*>(model::kInputs[0].data) = token;
    *static_cast<int64_t*>(model::kInputs[1].data) = position_;
    model::step();
    float* logits = static_cast<float*>(model::kOutputs[0].data);
    add(counter_instructions(before, counter_read()), logits, 1);
    return logits;
}

// What follows a step or a chunk of `tokens` tokens.
void LanguageModel::add(uint64_t instructions, const float* logits, int32_t tokens) {
    if (position_ == 0) instructions_first_ = instructions;
    instructions_last_ = instructions;
    instructions_total_ += instructions;
    position_ += tokens;
    digest_.add_f32(logits, static_cast<size_t>(model::kVocabSize));
}

// kPrefillRows tokens at once.
float* LanguageModel::chunk(const int32_t* tokens) {
    if constexpr (model::kPrefillRows > 0) {
        const uint64_t before = counter_read();
        int64_t* const ids = static_cast<int64_t*>(model::kPrefillInputs[0].data);
        int64_t* const positions = static_cast<int64_t*>(model::kPrefillInputs[1].data);
        for (int32_t i = 0; i < model::kPrefillRows; ++i) {
            ids[i] = tokens[i];
            positions[i] = position_ + i;
        }
        model::prefill();
        float* logits = static_cast<float*>(model::kPrefillOutputs[0].data);
        add(counter_instructions(before, counter_read()), logits, model::kPrefillRows);
        ++chunks_;
        return logits;
    } else {
        return step(tokens[0]);
    }
}

float* LanguageModel::read(const int32_t* tokens, int32_t count) {
    constexpr int32_t kChunk = model::kPrefillRows > 0 ? model::kPrefillRows : 1;
    const uint64_t before = instructions_total_;
    float* logits = nullptr;
    for (; count >= kChunk; count -= kChunk, tokens += kChunk) logits = chunk(tokens);
    for (; count > 0; --count) logits = step(*tokens++);
    instructions_read_ += instructions_total_ - before;
    return logits;
}

bool LanguageModel::is_end(int32_t token) {
    for (int32_t i = 0; i < model::kEosCount; ++i) {
        if (model::kEosIds[i] == token) return true;
    }
    return false;
}

bool conversation_next(const Sampling& defaults, Prompt* prompt) {
    return conversation_next(defaults, prompt, nullptr);
}

bool conversation_next(const Sampling& defaults, Prompt* prompt, Chooser* chooser) {
    for (;;) {
        Request request;
        if (!console_read_request(line, kLineCapacity, defaults, ids, kIdCapacity, &request)) return false;
        prompt_count = prompt_from(request);
        if (prompt_count == 0) continue;
        const char* error = take_biases(request, &request.sampling);
        if (error == nullptr && chooser == nullptr && (model::kHasGrammar || request.wants_chooser)) {
            error = "app_chooses_tokens";
        }
        if (error == nullptr && chooser != nullptr) error = chooser->start(ids, prompt_count, request.sampling);
        if (error != nullptr) {
            console_fail(error);
            continue;
        }
        generated_count = 0;
        if constexpr (model::kHasTokenizer) {
            const bool none = request.sampling.past_end || request.stops == nullptr;
            stops.start(request.stops, none ? 0 : request.stops_bytes);
            if (chooser != nullptr) chooser->end_with(&stops);
        }
        *prompt = Prompt{ids, prompt_count, request.sampling};
        return true;
    }
}

bool conversation_token(int32_t token) {
    ids[prompt_count + generated_count] = token;
    ++generated_count;
    text_is_open = true;
    if constexpr (!model::kHasTokenizer) {
        print_signed(token);
        print_text(" ");
    } else {
        print_token(token);
    }
    return stops.found();
}

void conversation_end(const LanguageModel& language_model) {
    if (!stops.found()) print_answer(stops.held(), stops.held_count());
    if (text_is_open) print_text("\n");
    text_is_open = false;
    print_fact("prompt_tokens", static_cast<uint64_t>(prompt_count));
    print_fact("tokens", static_cast<uint64_t>(generated_count));
    print_text("@mcu prompt_ids=");
    print_ids(ids, prompt_count);
    print_text("\n@mcu ids=");
    print_ids(ids + prompt_count, generated_count);
    print_text("\n@mcu digest=");
    print_hex(language_model.digest(), 16);
    print_text("\n");
    console_print_counts(language_model.instructions_first(), language_model.instructions_last(),
                         language_model.instructions_total());
    if constexpr (model::kPrefillRows > 0) {
        print_fact("chunks", language_model.chunks());
        print_fact("chunk_tokens", uint64_t(language_model.chunks()) * uint64_t(model::kPrefillRows));
        console_print_count("_read=", language_model.instructions_read());
    }
    console_succeed();
}
