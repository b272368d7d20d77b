// See runtime/tokenizer.h and encode.h. Text is validated once, then cut: added tokens, split stages, words.
#include "runtime/tokenizer/encode.h"

#include "runtime/tokenizer.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

constexpr int32_t kAddedPasses = 2;
constexpr int32_t kMostLevels = kAddedPasses + MCU_SPLIT_STAGES;

bool is_utf8(const uint8_t* text, int32_t bytes) {
    for (int32_t i = 0; i < bytes;) {
        const Decoded decoded = decode_utf8(text + i, bytes - i);
        if (decoded.bytes == 0) return false;
        i += decoded.bytes;
    }
    return true;
}

// The longest added token of this pass at `position`, or kNotFound.
int32_t find_added(const Level& level, int32_t position, uint8_t normalized, int32_t* length) {
    const mcu_tokenizer_data& t = mcu_tokenizer;
    int32_t found = kNotFound;
    *length = 0;
    const uint8_t first = level.text[position];
    if (t.added == 0 || (t.added_first[first / 32] >> first % 32 & 1u) == 0) return kNotFound;
    for (int32_t token = 0; token < t.added; ++token) {
        if ((t.added_flags[token] & MCU_ADDED_NORMALIZED) != normalized) continue;
        const uint8_t* content = t.added_bytes + t.added_offsets[token];
        const int32_t bytes = static_cast<int32_t>(t.added_offsets[token + 1] - t.added_offsets[token]);
        if (bytes <= *length || bytes > level.end - position) continue;
        int32_t i = 0;
        while (i < bytes && content[i] == level.text[position + i]) ++i;
        if (i < bytes) continue;
        found = token;
        *length = bytes;
    }
    return found;
}

// Where the whitespace that ends at `end` begins, not before `begin`.
int32_t spaces_before(const uint8_t* text, int32_t begin, int32_t end) {
    int32_t start = begin;
    for (int32_t i = begin; i < end;) {
        const Decoded c = decode_utf8(text + i, end - i);
        i += c.bytes;
        if (!is_space(c.code)) start = i;
    }
    return start;
}

// Where the whitespace that begins at `position` ends.
int32_t spaces_after(const uint8_t* text, int32_t position, int32_t end) {
    while (position < end) {
        const Decoded c = decode_utf8(text + position, end - position);
        if (!is_space(c.code)) break;
        position += c.bytes;
    }
    return position;
}

// Whether neither side of [begin, end) goes on as a word.
bool stands_alone(const Level& level, int32_t begin, int32_t end) {
    const mcu_code_points& words = mcu_tokenizer.words;
    int32_t before = begin - 1;
    while (before > level.begin && (level.text[before] & 0xC0u) == 0x80u) --before;
    const bool joins = begin > level.begin && contains(words, decode_utf8(level.text + before, begin - before).code);
    return !joins && (end == level.end || !contains(words, decode_utf8(level.text + end, level.end - end).code));
}

// What lies before the next added token of this pass; all that is left if there is none. As in the library, tokens are
// looked for without regard to the whitespace that others swallow, and so they may be in it.
// `plain`: special ones are text.
Piece next_span(Level& level, uint8_t pass, bool plain) {
    const int32_t begin = level.position;
    for (int32_t position = level.search; position < level.end;) {
        int32_t length = 0;
        const int32_t token = find_added(level, position, pass, &length);
        const uint8_t flags = token != kNotFound ? mcu_tokenizer.added_flags[token] : uint8_t{0};
        const bool rejected =
            (plain && (flags & MCU_ADDED_SPECIAL) != 0) ||
            ((flags & MCU_ADDED_SINGLE_WORD) != 0 && !stands_alone(level, position, position + length));
        if (token == kNotFound || rejected) {
            position += token == kNotFound ? 1 : length;
            continue;
        }
        level.token = mcu_tokenizer.added_ids[token];
        level.search = position + length;
        level.position = level.search;
        if ((flags & MCU_ADDED_RSTRIP) != 0) level.position = spaces_after(level.text, level.search, level.end);
        if (position < begin) return {level.text, begin, begin};
        const bool left = (flags & MCU_ADDED_LSTRIP) != 0;
        return {level.text, begin, left ? spaces_before(level.text, begin, position) : position};
    }
    level.search = level.end;
    level.position = level.end;
    return {level.text, begin, level.end};
}

// The next piece of the level at `depth`. Returns 0 or what is wrong.
int32_t cut(Encoder& encoder, Level& level, int32_t depth, Piece* piece) {
    if (depth >= kAddedPasses) return next_piece(encoder, level, mcu_tokenizer.stages[depth - kAddedPasses], piece);
    *piece = next_span(level, static_cast<uint8_t>(depth), encoder.plain);
    if (depth != 0 || piece->begin == piece->end) return 0;
    encoder.first = piece->begin == 0 ? piece->text : nullptr;
    return open_text(encoder, piece);
}

}  // namespace

int32_t append(Encoder& encoder, int32_t id) {
    if (encoder.count < encoder.capacity) {
        encoder.ids[encoder.count] = id;
    } else if (!encoder.cuts) {
        return kTooLong;
    }
    ++encoder.count;
    return 0;
}

// Cuts the text level by level, depth first; no recursion, so that the stack has a bound.
int32_t encode_text(Encoder& encoder, const uint8_t* text, int32_t bytes) {
    const mcu_tokenizer_data& t = mcu_tokenizer;
    if (bytes < 0 || t.stage_count > MCU_SPLIT_STAGES || !is_utf8(text, bytes)) return kNotEncodable;
    Level levels[kMostLevels];
    levels[0] = {text, 0, 0, bytes, kNotFound, encoder.used, 0};
    for (int32_t at = 0; at >= 0;) {
        Level& level = levels[at];
        encoder.text = level.text;
        encoder.used = level.used;
        const int32_t full = level.token != kNotFound ? append(encoder, level.token) : 0;
        if (full != 0) return full;
        level.token = kNotFound;
        if (level.position == level.end && level.search == level.end) {
            const bool stage = at >= kAddedPasses && t.stages[at - kAddedPasses].kind == MCU_SPLIT_PREFIX_SPACE;
            if (stage) encoder.space = false;
            --at;
            continue;
        }
        Piece piece = {};
        int32_t error = cut(encoder, level, at, &piece);
        if (error != 0) return error;
        if (piece.begin == piece.end) continue;
        if (at + 1 < kAddedPasses + t.stage_count) {
            ++at;
            const int32_t search = at < kAddedPasses ? piece.begin : piece.end;
            levels[at] = {piece.text, piece.begin, piece.begin, piece.end, kNotFound, encoder.used, search};
            continue;
        }
        error = encode_word(encoder, piece);
        if (error != 0) return error;
    }
    return 0;
}

}  // namespace mcu_tokenizing

using namespace mcu_tokenizing;

extern "C" int32_t mcu_tokenizer_encode(const char* text, int32_t bytes, int32_t* ids, int32_t capacity) {
    if (!mcu_tokenizer_present) return kNotEncodable;
    Encoder encoder = {nullptr, ids, capacity, 0, false, 0, nullptr, 0, false};
    int32_t error = 0;
    for (int32_t i = 0; i < mcu_tokenizer.prefix_count && error == 0; ++i) {
        error = append(encoder, mcu_tokenizer.prefix_ids[i]);
    }
    if (error == 0) error = encode_text(encoder, reinterpret_cast<const uint8_t*>(text), bytes);
    for (int32_t i = 0; i < mcu_tokenizer.suffix_count && error == 0; ++i) {
        error = append(encoder, mcu_tokenizer.suffix_ids[i]);
    }
    return error != 0 ? error : encoder.count;
}

extern "C" int32_t mcu_tokenizer_encode_plain(const char* text, int32_t bytes, int32_t* ids, int32_t capacity) {
    if (!mcu_tokenizer_present) return kNotEncodable;
    Encoder encoder = {nullptr, ids, capacity, 0, false, 0, nullptr, 0, false, true};
    const int32_t error = encode_text(encoder, reinterpret_cast<const uint8_t*>(text), bytes);
    return error != 0 ? error : encoder.count;
}

extern "C" int32_t mcu_tokenizer_decode(int32_t id, const uint8_t** bytes) {
    *bytes = nullptr;
    return mcu_tokenizer_present ? decode_token(id, bytes) : 0;
}
