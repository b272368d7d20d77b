// See language_model.h.
#include "runtime/language_model.h"

#include "platform/counter.h"
#include "runtime/chat.h"
#include "runtime/console.h"
#include "runtime/encoder.h"
#include "runtime/print.h"
#include "runtime/stop.h"
#include "runtime/tensor_transfer.h"
#include "runtime/tokenizer.h"

namespace {

constexpr int32_t kMax = model::kMaxSequenceLength;
constexpr int32_t kMostOfPrompt = model::kEncoderLength > 0 ? model::kEncoderLength : kMax;
constexpr int32_t kLineCapacity =
    256 + 8 * kMostOfPrompt;  // a token id and its comma, or four bytes as hexadecimal text

// The prompt's ids, and the generated ones behind them. Prompt and answer together are one more than the model
// reads, but where the prompt is an encoder's; the rest is room for the tokenizer, which begins with one id for each
// byte of a word.
constexpr int32_t kIdCapacity = model::kEncoderLength + model::kMaxTextTokens + 128;

constexpr int32_t kBiasCapacity = 16;

char line[kLineCapacity];
int32_t ids[kIdCapacity];
mcu_logit_bias biases[kBiasCapacity];
int32_t prompt_count = 0;
int32_t generated_count = 0;
bool text_is_open = false;
StopTexts stops;

// Of the ids, how many are of turns before and read: the prompt's begin behind them.
int32_t read_before = 0;

// The position of the first of `ids`: of a conversation whose cache slides, they are the last ones.
int32_t dropped = 0;
int32_t text_begin() { return model::kSlides && model::kHasChat ? dropped : 0; }

// The conversation of a chat, as its last turn left it: its ids, from the first of `ids` on.
struct Chat {
    int32_t count;    // what was said, the last token too, which may not have been read
    int32_t read;     // by the model
    uint64_t digest;  // of all steps
};
Chat chat = {0, 0, 0};
bool turn = false;  // whether what is being answered is a part of it
bool past_end = false;
bool restores = false;  // whether a conversation begins with what is stored

// The same for a firmware without chats, which has no code for them.
bool is_turn() { return model::kHasChat && turn; }
int32_t prompt_begin() { return model::kHasChat ? read_before : 0; }

// Where the generated ids begin: behind the prompt's and, of a model with an encoder, what its decoder begins with.
int32_t answer_begin() { return prompt_begin() + prompt_count + model::kStartCount; }

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

const char* take_turn(const Request& request, int32_t* count);

void forget() {
    chat = {0, 0, 0};
    dropped = 0;
}

// Of a conversation whose cache slides, keep the ids of the last kMax tokens, and so room for a turn and its answer.
void drop_old_ids() {
    const int32_t old = chat.count - kMax;
    if (old <= 0) return;
    for (int32_t i = 0; i < kMax; ++i) ids[i] = ids[old + i];
    chat.count -= old;
    chat.read -= old;
    dropped += old;
}

// What is wrong with a request whose answer is about what the encoder takes, or nullptr.
[[maybe_unused]] const char* refusal(const Request& request) {
    if (request.steps != 0) return "steps_for_a_language_model";
    if (request.text != nullptr || request.has_ids) return "no_prompt_is_taken";
    return tensor_transfer_is_complete() ? nullptr : "inputs_expected";
}

// The number of tokens in `ids` up to the answer, or what is wrong; nullptr if nothing is.
const char* prompt_from(const Request& request, int32_t* out) {
    *out = 0;
    if constexpr (model::kEncoderTensors > 0) return refusal(request);
    int32_t count = request.id_count;
    if constexpr (model::kHasChat) {
        restores = false;
        turn = request.is_typed || request.chat >= 0;
    }
    const char* error = nullptr;
    if (request.steps != 0) {
        error = "steps_for_a_language_model";
    } else if (request.pair != nullptr) {
        error = "pair_for_a_language_model";
    } else if (is_turn()) {
        if constexpr (model::kHasChat) error = take_turn(request, &count);
    } else if (request.text != nullptr) {
        error = encode(request, &count);
    }
    if (model::kHasChat && !turn) forget();
    if (error == nullptr && count == 0) error = "empty_prompt";
    if (error == nullptr && count - (is_turn() ? chat.read : 0) > kMostOfPrompt) error = "prompt_too_long";
    for (int32_t i = 0; error == nullptr && i < count; ++i) {
        if (ids[i] < 0 || ids[i] >= model::kVocabSize) error = "id_out_of_range";
    }
    *out = count;
    return error;
}

// Waits for a request; what a host puts into an encoder's inputs is taken on the way. False at the end of the input.
bool next_request(const Sampling& defaults, Request* request) {
    if constexpr (model::kEncoderTensors > 0) {
        for (;;) {
            const int32_t length = console_next_line(line, kLineCapacity);
            if (length < 0) return false;
            if (tensor_transfer_take(line, length)) continue;
            if (console_take_request(line, length, defaults, ids, kIdCapacity, request)) return true;
        }
    }
    return console_read_request(line, kLineCapacity, defaults, ids, kIdCapacity, request);
}

// Takes the request's biases into its settings; returns what is wrong, or nullptr.
const char* take_biases(const Request& request, Sampling* sampling) {
    if (request.biases == nullptr) return nullptr;
    sampling->biases = biases;
    sampling->bias_count = request_biases(request, biases, kBiasCapacity);
    return sampling->bias_count < 0 ? "bad_bias" : nullptr;
}

bool ends_turn(int32_t token) {
    if constexpr (model::kHasChat) {
        if (token == mcu_chat.end) return true;
    }
    return LanguageModel::is_end(token);
}

const char* chat_error(const char* reason, const char* fact, int32_t value) {
    print_fact(fact, static_cast<uint64_t>(value));
    return reason;
}

// The next turn's ids behind those of the conversation; *count: all of them. Returns what is wrong, or nullptr. A
// request that does not begin a conversation leaves it as it was where it is refused.
[[maybe_unused]] const char* take_turn(const Request& request, int32_t* count) {
    const bool begins = request.chat == 0 || (request.is_typed && chat.count == 0);
    if (begins) {
        forget();
        chat.count = request.id_count;
    } else if (chat.count == 0 || (request.at >= 0 && request.at != text_begin() + chat.read)) {
        return chat_error("out_of_order", "position", text_begin() + chat.read);
    } else if (model::kSlides) {
        if (dropped > INT32_MAX - 2 * model::kMaxTextTokens) return chat_error("chat_full", "left", 0);
        drop_old_ids();
    }
    if (request.text == nullptr) return "empty_prompt";
    const bool first = chat.count == 0;
    if (request.system != nullptr && !first) return "system_in_a_chat";
    if (request.system != nullptr && !mcu_chat.takes_system) return "no_system";
    restores = first && request.system == nullptr && mcu_chat.stored.tokens > 0;
    // What ends a turn is written by the template.
    if (chat.count > chat.read && ends_turn(ids[chat.count - 1])) --chat.count;
    const int32_t more = chat_turn(first, {request.system, request.system_bytes}, {request.text, request.text_bytes},
                                   ids + chat.count, kIdCapacity - chat.count);
    if (more == -2) return "text_not_encodable";
    *count = chat.count + more;
    const int32_t kept = model::kSlides ? chat.read : 0;  // what the cache may have forgotten
    if (more >= 0 && *count - kept <= kMax) return nullptr;
    return chat_error(first ? "prompt_too_long" : "chat_full", "left", kMax - chat.read + kept);
}

void print_ids(const int32_t* values, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        if (i > 0) print_text(",");
        print_signed(values[i]);
    }
}

// What the template makes of the answer that has just ended, once another turn follows: what it would be read as then
// takes its place, and what the model has read from where they differ on is forgotten, to be read with the next turn. A
// cache that has written over what is before that is forgotten whole.
[[maybe_unused]] void remember_answer() {
    const int32_t begin = read_before + prompt_count;
    int32_t end = chat.count;
    if (end > chat.read && ends_turn(ids[end - 1])) --end;
    int32_t same = end;
    const int32_t count = chat_remember(ids, begin, end, kIdCapacity, line, &same);
    if (count < 0) {
        chat.count = kIdCapacity;  // no turn has room behind it
        return;
    }
    if (count == end && same == end) return;
    const int32_t before = chat.read;
    chat.count = count;
    if (same < before) {
        chat.read = before <= model::kRewindLength ? same : 0;
        print_fact("rewound", static_cast<uint64_t>(before - chat.read));
    }
    print_text("@mcu pending_ids=");
    print_ids(ids + chat.read, chat.count - chat.read);
    print_text("\n");
}

// Some of the answer. A model may say EOT; to the host that would be the end of the run. SUB stands in for it.
[[maybe_unused]] void print_answer(const uint8_t* bytes, int32_t count) {
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

LanguageModel::LanguageModel() : position_(text_begin() + prompt_begin()) {
    if constexpr (model::kEncoderTensors > 0) {
        if (tensor_transfer_is_complete()) return;  // the first piece of it made the model forget
    }
    if constexpr (model::kSlides) end_ = text_begin() + model::kMaxTextTokens;
    if (model::kHasChat && position_ > 0 && !restores) {
        digest_ = Digest(chat.digest);
        return;
    }
    model::reset();
    if constexpr (model::kHasChat) {
        if (restores) chat_restore();
    }
}

// What follows a step or a chunk of `tokens` tokens. Inlined: most firmwares have steps alone.
[[gnu::always_inline]] inline void LanguageModel::add(uint64_t instructions, const float* logits, int32_t tokens) {
    if (position_ == text_begin() + prompt_begin()) instructions_first_ = instructions;
    instructions_last_ = instructions;
    instructions_total_ += instructions;
    position_ += tokens;
    digest_.add_f32(logits, static_cast<size_t>(model::kVocabSize));
}

float* LanguageModel::step(int32_t token) {
    const uint64_t before = counter_read();
    *static_cast<int64_t*>(model::kInputs[0].data) = token;
    *static_cast<int64_t*>(model::kInputs[1].data) = position_;
    if constexpr (model::kInputCount > 2) *static_cast<int64_t*>(model::kInputs[2].data) = encoder_last();
    model::step();
    float* logits = static_cast<float*>(model::kOutputs[0].data);
    add(counter_instructions(before, counter_read()), logits, 1);
    return logits;
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

void LanguageModel::encode(const int32_t* tokens, int32_t count) {
    if constexpr (model::kEncoderLength > 0) {
        const uint64_t before = counter_read();
        encoder_read(tokens, count);
        instructions_encoder_ = counter_instructions(before, counter_read());
    } else {
        static_cast<void>(tokens);
        static_cast<void>(count);
    }
}

void LanguageModel::encode() {
    if constexpr (model::kEncoderTensors > 0) {
        const uint64_t before = counter_read();
        encoder_take();
        instructions_encoder_ = counter_instructions(before, counter_read());
        tensor_transfer_forget();
    }
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
        if (!next_request(defaults, &request)) return false;
        if constexpr (model::kHasChat) {
            if (request.forgets) {
                forget();
                console_done();
                continue;
            }
        }
        int32_t count;
        const char* error = prompt_from(request, &count);
        if (error != nullptr) {
            console_fail(error);
            continue;
        }
        if constexpr (model::kHasChat) read_before = restores ? mcu_chat.stored.tokens : turn ? chat.read : 0;
        prompt_count = count - prompt_begin();
        error = take_biases(request, &request.sampling);
        if (error == nullptr && chooser == nullptr &&
            (model::kHasGrammar || model::kStopsBytes > 0 || request.wants_chooser)) {
            error = "app_chooses_tokens";
        }
        if constexpr (model::kStartCount > 0) {
            for (int32_t i = 0; i < model::kStartCount; ++i) ids[count + i] = model::kStartIds[i];
        }
        if (error == nullptr && chooser != nullptr) {
            error = model::kStartCount > 0 ? chooser->start(ids + count, model::kStartCount, request.sampling)
                                           : chooser->start(ids, count, request.sampling);
        }
        if (error != nullptr) {
            console_fail(error);
            continue;
        }
        generated_count = 0;
        if constexpr (model::kHasTokenizer) {
            const bool own = request.stops != nullptr;
            const int32_t bytes = own ? request.stops_bytes : model::kStopsBytes;
            stops.start(own ? request.stops : model::kStops, request.sampling.past_end ? 0 : bytes);
            if (chooser != nullptr) chooser->end_with(&stops);
        }
        if constexpr (model::kHasChat) past_end = request.sampling.past_end;
        *prompt = Prompt{ids + prompt_begin(), prompt_count, request.sampling};
        return true;
    }
}

bool conversation_token(int32_t token) {
    ids[answer_begin() + generated_count] = token;
    ++generated_count;
    text_is_open = true;
    if constexpr (!model::kHasTokenizer) {
        print_signed(token);
        print_text(" ");
    } else {
        print_token(token);
    }
    if constexpr (!model::kHasTokenizer) return false;
    return stops.found() || (is_turn() && ends_turn(token) && !past_end);
}

void conversation_end(const LanguageModel& language_model) {
    if constexpr (model::kHasTokenizer) {
        if (!stops.found()) print_answer(stops.held(), stops.held_count());
    }
    if (text_is_open) print_text("\n");
    text_is_open = false;
    const int32_t shown = restores ? 0 : prompt_begin();  // the prompt has what is stored, too
    const int32_t count = prompt_begin() - shown + prompt_count;
    print_fact("prompt_tokens", static_cast<uint64_t>(count));
    print_fact("tokens", static_cast<uint64_t>(generated_count));
    print_text("@mcu prompt_ids=");
    print_ids(ids + shown, count);
    print_text("\n@mcu ids=");
    print_ids(ids + answer_begin(), generated_count);
    print_text("\n@mcu digest=");
    print_hex(language_model.digest(), 16);
    print_text("\n");
    console_print_counts(language_model.instructions_first(), language_model.instructions_last(),
                         language_model.instructions_total());
    if (is_turn()) {
        chat = {read_before + prompt_count + generated_count, language_model.position() - text_begin(),
                language_model.digest()};
        if constexpr (model::kChatRewrites) remember_answer();
        const int32_t position = text_begin() + chat.read;
        print_fact("position", static_cast<uint64_t>(position));
        print_fact("left", static_cast<uint64_t>(model::kSlides ? kMax : kMax - chat.read));
        if (restores) print_fact("stored", static_cast<uint64_t>(read_before));
    }
    if constexpr (model::kStartCount > 0) {
        print_text("@mcu start_ids=");
        print_ids(model::kStartIds, model::kStartCount);
        print_text("\n");
        console_print_count("_encoder=", language_model.instructions_encoder());
    }
    if constexpr (model::kPrefillRows > 0) {
        print_fact("chunks", language_model.chunks());
        print_fact("chunk_tokens", uint64_t(language_model.chunks()) * uint64_t(model::kPrefillRows));
        console_print_count("_read=", language_model.instructions_read());
    }
    console_succeed();
}
