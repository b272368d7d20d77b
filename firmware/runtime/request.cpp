// See request.h.
#include "runtime/request.h"

#include "model/model.h"
#include "runtime/cursor.h"
#include "runtime/stop.h"

namespace {

constexpr uint64_t kInt32Max = 0x7FFFFFFF;

bool parse_int32(Cursor* in, int32_t* value) {
    uint64_t number;
    if (!parse_number(in, kInt32Max, &number)) return false;
    *value = static_cast<int32_t>(number);
    return true;
}

// "0.75" is 75 / 100, with one rounding: both are exact as floats up to 2^24, and larger ones round alike everywhere.
bool parse_decimal(Cursor* in, uint32_t limit, float* value) {
    uint64_t whole;
    if (!parse_number(in, limit, &whole)) return false;
    uint32_t number = static_cast<uint32_t>(whole);
    uint32_t scale = 1;
    if (in->take('.')) {
        const char* begin = in->next;
        for (; !in->done() && is_digit(*in->next); ++in->next) {
            if (scale == 1000000) return false;
            scale *= 10;
            number = number * 10 + static_cast<uint32_t>(*in->next - '0');
        }
        if (in->next == begin) return false;
    }
    *value = static_cast<float>(number) / static_cast<float>(scale);
    return number <= limit * scale;
}

bool parse_positive(Cursor* in, uint32_t limit, float* value) {
    return parse_decimal(in, limit, value) && *value > 0.0f;
}

bool parse_bias(Cursor* in, mcu_logit_bias* bias) {
    if (!parse_int32(in, &bias->id) || !in->take(':')) return false;
    const bool negative = in->take('-');
    if (!parse_decimal(in, 1000, &bias->value)) return false;
    if (negative) bias->value = -bias->value;
    return true;
}

// request_biases() reads them.
void skip_biases(Cursor* in, Request* request) {
    request->biases = in->next;
    while (!in->done() && !in->at(' ')) ++in->next;
    request->biases_bytes = static_cast<int32_t>(in->next - request->biases);
}

// `ids` null: they are looked at only.
const char* parse_ids(Cursor* in, int32_t* ids, int32_t capacity, Request* request) {
    request->has_ids = true;
    if constexpr (model::kHasChat) request->id_count = 0;
    if (in->done() || in->at(' ')) return nullptr;
    do {
        if (request->id_count == capacity) return "prompt_too_long";
        int32_t id;
        if (!parse_int32(in, &id)) return "bad_ids";
        if (!model::kHasChat || ids != nullptr) ids[request->id_count] = id;
        ++request->id_count;
    } while (in->take(','));
    return nullptr;
}

// Without a tokenizer nobody asks.
// A text's two digits become one byte, behind a byte for its length; written over the line itself, as text is.
[[maybe_unused]] const char* parse_stops(Cursor* in, uint8_t* out, Request* request) {
    request->stops = out;
    if (in->done() || in->at(' ')) return nullptr;
    do {
        int32_t count = 0;
        for (; in->end - in->next >= 2 && hex_digit(in->next[0]) >= 0; in->next += 2) {
            const int32_t low = hex_digit(in->next[1]);
            if (low < 0 || count == kMostStopBytes) return "bad_stop";
            out[++count] = static_cast<uint8_t>(hex_digit(in->next[0]) * 16 + low);
        }
        if (count == 0) return "bad_stop";
        out[0] = static_cast<uint8_t>(count);
        out += 1 + count;
    } while (in->take(','));
    request->stops_bytes = static_cast<int32_t>(out - request->stops);
    return in->done() || in->at(' ') ? nullptr : "bad_stop";
}

// Two digits become one byte, written over the line itself: reading is always ahead of writing.
const char* parse_text(Cursor* in, char* out, const char** text, int32_t* bytes) {
    *text = out;
    while (!in->done() && !in->at(' ')) {
        const int32_t high = hex_digit(*in->next);
        const int32_t low = in->end - in->next < 2 ? -1 : hex_digit(in->next[1]);
        if (high < 0 || low < 0) return "bad_text";
        *out++ = static_cast<char>(high * 16 + low);
        in->next += 2;
    }
    *bytes = static_cast<int32_t>(out - *text);
    return nullptr;
}

enum Key : uint32_t {
    kIds = 1,
    kTokens = 2,
    kText = 4,
    kTemperature = 8,
    kTopK = 16,
    kSeed = 32,
    kSteps = 64,
    kPastEnd = 128,
    kRequest = 256,
    kPair = 512,
    kTopP = 1024,
    kMinP = 2048,
    kPenalty = 4096,
    kBias = 8192,
    kStop = 16384,
    kChat = 32768,
    kAt = 65536,
    kSystem = 131072
};

// In the order of their bits, one behind the other; from kTopP on, what only a Chooser (chooser.h) knows of, which a
// model without tokens need not carry.
#define WORDS "ids=\0tokens=\0text=\0temperature=\0top_k=\0seed=\0steps=\0past_end=\0request=\0pair=\0"
#define CHOOSER_WORDS WORDS "top_p=\0min_p=\0repetition_penalty=\0logit_bias=\0"
constexpr const char* kWords = !model::kIsLanguageModel ? WORDS
                               : model::kHasChat        ? CHOOSER_WORDS "stop=\0chat=\0at=\0system=\0"
                               : model::kHasTokenizer   ? CHOOSER_WORDS "stop=\0"
                                                        : CHOOSER_WORDS;

Key take_key(Cursor* in) {
    uint32_t bit = 1;
    for (const char* word = kWords; *word != 0; bit <<= 1) {
        if (*in->next == *word && in->take(word)) return static_cast<Key>(bit);
        while (*word++ != 0) {
        }
    }
    return Key{};
}

// What a turn of a conversation says beside its text.
[[maybe_unused]] const char* parse_turn(Key key, Cursor* in, char* out, Request* request) {
    if (key == kSystem) return parse_text(in, out, &request->system, &request->system_bytes);
    uint64_t number;
    if (!parse_number(in, key == kChat ? 1 : kInt32Max, &number)) return "bad_number";
    (key == kChat ? request->chat : request->at) = static_cast<int32_t>(number);
    return nullptr;
}

// The keys of `@run`; nullptr, or what is wrong with them.
[[gnu::noinline]] const char* parse_keys(Cursor in, char* line, int32_t* ids, int32_t id_capacity, Request* request) {
    uint32_t seen = 0;
    Cursor listed =
        in;  // token ids, which are not written over those of a conversation before the line is known to be good
    while (!in.done()) {
        if (!in.take(' ')) return "bad_request";
        if (in.done() || *in.next == ' ') continue;
        const Key key = take_key(&in);
        if (key == Key{}) return "unknown_key";
        if (seen & key) return "repeated_key";
        seen |= key;
        const char* error = nullptr;
        bool good = true;
        uint64_t number = 0;
        switch (key) {
            case kRequest:
                good = parse_number(&in, UINT32_MAX, &number);
                request->number = static_cast<uint32_t>(number);
                break;
            case kTokens: good = parse_int32(&in, &request->sampling.tokens); break;
            case kTopK: good = parse_int32(&in, &request->sampling.top_k); break;
            case kSteps: good = parse_int32(&in, &request->steps); break;
            case kSeed: good = parse_number(&in, UINT64_MAX, &request->sampling.seed); break;
            case kTemperature: good = parse_decimal(&in, 1000, &request->sampling.temperature); break;
            case kTopP: good = parse_positive(&in, 1, &request->sampling.top_p); break;
            case kMinP: good = parse_decimal(&in, 1, &request->sampling.min_p); break;
            case kPenalty: good = parse_positive(&in, 1000, &request->sampling.repetition_penalty); break;
            case kBias: skip_biases(&in, request); break;
            case kStop:
                if constexpr (model::kIsLanguageModel && model::kHasTokenizer) {
                    error = parse_stops(&in, reinterpret_cast<uint8_t*>(line + (in.next - line)), request);
                }
                break;
            default:
                if constexpr (model::kHasChat) error = parse_turn(key, &in, line + (in.next - line), request);
                break;
            case kPastEnd:
                good = parse_number(&in, 1, &number);
                request->sampling.past_end = number != 0;
                break;
            case kIds:
                listed = in;
                error = parse_ids(&in, model::kHasChat ? nullptr : ids, id_capacity, request);
                break;
            case kText: error = parse_text(&in, line + (in.next - line), &request->text, &request->text_bytes); break;
            case kPair: error = parse_text(&in, line + (in.next - line), &request->pair, &request->pair_bytes); break;
        }
        if (!good) return "bad_number";
        if (error != nullptr) return error;
    }
    request->wants_chooser = (seen & (kTopP | kMinP | kPenalty | kBias | kStop)) != 0;
    if (request->pair != nullptr && request->text == nullptr) return "pair_without_text";
    if (request->text != nullptr && request->has_ids && (!model::kHasChat || request->chat != 0)) return "text_and_ids";
    if constexpr (model::kHasChat) {
        if ((seen & (kAt | kSystem)) != 0 && request->chat < 0) return "not_in_a_chat";
        if (request->has_ids) return parse_ids(&listed, ids, id_capacity, request);
    }
    return nullptr;
}

}  // namespace

bool request_is_ping(const char* line, int32_t bytes) {
    Cursor in = {line, line + bytes};
    return in.take("@ping") && in.done();
}

const char* request_parse(char* line, int32_t bytes, const Sampling& defaults, int32_t* ids, int32_t id_capacity,
                          Request* request) {
    *request = Request{};
    request->sampling = defaults;
    if constexpr (model::kHasChat) {
        request->chat = -1;
        request->at = -1;
    }
    if (bytes == 0 || line[0] != '@') {
        if constexpr (model::kHasChat) request->is_typed = true;
        request->text = line;
        request->text_bytes = bytes;
        return nullptr;
    }
    const Crc crc = check_crc(line, bytes);
    if (crc == Crc::kWrong) return "bad_crc";
    Cursor in = {line, line + bytes - (crc == Crc::kRight ? kCrcBytes : 0)};
    if constexpr (model::kHasChat) {
        request->forgets = in.take("@new") && in.done();
        if (request->forgets) return nullptr;
    }
    if (!in.take("@run")) return "unknown_request";
    // What a host leaves out because it would change nothing does change nothing, whatever a person's line gets.
    request->sampling.top_p = 1.0f;
    request->sampling.min_p = 0.0f;
    request->sampling.repetition_penalty = 1.0f;
    request->sampling.bias_count = 0;
    const char* error = parse_keys(in, line, ids, id_capacity, request);
    if (request->number != 0 && crc == Crc::kNone) {
        request->number = 0;
        return "bad_crc";
    }
    return error;
}

int32_t request_biases(const Request& request, mcu_logit_bias* out, int32_t capacity) {
    Cursor in = {request.biases, request.biases + request.biases_bytes};
    int32_t count = 0;
    do {
        mcu_logit_bias bias;
        if (count == capacity || !parse_bias(&in, &bias) || bias.id >= model::kVocabSize) return -1;
        for (int32_t i = 0; i < count; ++i) {
            if (out[i].id == bias.id) return -1;
        }
        out[count++] = bias;
    } while (in.take(','));
    return in.done() ? count : -1;
}
