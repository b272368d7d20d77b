// See tokenizer.h. Text is validated once, then cut: added tokens, split stages, words; words are merged in place.
#include "runtime/tokenizer.h"

namespace {

constexpr int32_t kTooLong = -1;
constexpr int32_t kNotEncodable = -2;
constexpr uint32_t kNone = 0xFFFFFFFFu;
constexpr int32_t kNotFound = -1;

uint32_t at(const mcu_column& column, int32_t index) {
    return column.narrow != nullptr ? column.narrow[index] : column.wide[index];
}

bool has(const mcu_column& column) { return column.narrow != nullptr || column.wide != nullptr; }

// ---------------------------------------------------------------------------------------------- Unicode

struct Decoded {
    uint32_t code;
    int32_t bytes;  // 0: no valid UTF-8 here
};

// One code point of `text` (`bytes` > 0 bytes long). The second byte's bounds are those of Unicode table 3-7.
Decoded decode_utf8(const uint8_t* text, int32_t bytes) {
    const uint32_t first = text[0];
    if (first < 0x80) return {first, 1};
    if (first < 0xC2 || first > 0xF4) return {0, 0};
    const int32_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (bytes < length) return {0, 0};
    const uint32_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const uint32_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (text[1] < low || text[1] > high) return {0, 0};
    uint32_t code = first & (0x7Fu >> length);
    for (int32_t i = 1; i < length; ++i) {
        if ((text[i] & 0xC0u) != 0x80u) return {0, 0};
        code = code << 6 | (text[i] & 0x3Fu);
    }
    return {code, length};
}

// The last entry whose first code point is not above `code`, or 0 (which is no entry: it would begin at NUL with
// one code point, and NUL is in none of the sets).
uint32_t entry_before(const mcu_code_points& set, uint32_t code) {
    int32_t low = 0;
    int32_t high = set.count;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (set.entries[middle] >> 11 <= code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? set.entries[low - 1] : 0;
}

bool contains(const mcu_code_points& set, uint32_t code) {
    const uint32_t entry = entry_before(set, code);
    return entry != 0 && code - (entry >> 11) <= (entry & 0x7FFu);
}

enum class Class : uint8_t { kLetter, kNumber, kSpace, kOther, kEnd };

Class classify(uint32_t code) {
    if (code < 0x80) {
        if ((code | 0x20u) - 'a' < 26) return Class::kLetter;
        if (code - '0' < 10) return Class::kNumber;
        return code == ' ' || code - '\t' < 5 ? Class::kSpace : Class::kOther;
    }
    if (contains(mcu_tokenizer.letters, code)) return Class::kLetter;
    if (contains(mcu_tokenizer.numbers, code)) return Class::kNumber;
    return contains(mcu_tokenizer.spaces, code) ? Class::kSpace : Class::kOther;
}

// The canonical combining class, densely numbered; 0 for a starter.
uint32_t combining_class(uint32_t code) {
    const uint32_t entry = entry_before(mcu_tokenizer.combining, code);
    return entry != 0 && code - (entry >> 11) <= (entry >> 8 & 7u) ? entry & 0xFFu : 0;
}

// Valid UTF-8 that the tokenizer's normalizer would leave as it is?
bool is_acceptable(const uint8_t* text, int32_t bytes) {
    uint32_t last_class = 0;
    for (int32_t i = 0; i < bytes;) {
        const Decoded decoded = decode_utf8(text + i, bytes - i);
        if (decoded.bytes == 0) return false;
        i += decoded.bytes;
        if (!mcu_tokenizer.requires_nfc) continue;
        if (contains(mcu_tokenizer.nfc_unsafe, decoded.code)) return false;
        const uint32_t combining = combining_class(decoded.code);
        if (combining != 0 && combining < last_class) return false;
        last_class = combining;
    }
    return true;
}

// ---------------------------------------------------------------------------------------------- pieces of text

// Bytes [begin, end) of the text. Where begin is -1, byte -1 is a space that the text itself does not have.
struct Piece {
    int32_t begin;
    int32_t end;
};

struct Encoder {
    const uint8_t* text;  // validated
    int32_t* ids;
    int32_t capacity;
    int32_t count;
    int32_t base;  // of the text that the piece's offsets count from: offset -1 of it may be the added space
    bool space;    // offset base - 1 is a space
};

struct Scanned {
    uint32_t code;
    Class type;
    int32_t next;
};

uint8_t byte_at(const Encoder& encoder, int32_t position) {
    return encoder.space && position < encoder.base ? uint8_t{' '} : encoder.text[position];
}

Scanned scan(const Encoder& encoder, int32_t position, int32_t end) {
    if (position >= end) return {0, Class::kEnd, end};
    if (encoder.space && position < encoder.base) return {' ', Class::kSpace, position + 1};
    const Decoded decoded = decode_utf8(encoder.text + position, end - position);
    return {decoded.code, classify(decoded.code), position + decoded.bytes};
}

int32_t skip(const Encoder& encoder, int32_t position, int32_t end, Class type) {
    for (Scanned c = scan(encoder, position, end); c.type == type; c = scan(encoder, position, end)) {
        position = c.next;
    }
    return position;
}

// 's 't 'm 'd 're 've 'll after the apostrophe that `position` is at; without a match, `position` itself.
int32_t match_contraction(const Encoder& encoder, int32_t position, int32_t end, bool any_case) {
    const Scanned first = scan(encoder, position + 1, end);
    const Scanned second = scan(encoder, first.next, end);
    const uint32_t fold = any_case ? 0x20u : 0u;
    // U+017F, the long s, is a case variant of "s".
    const uint32_t a = any_case && first.code == 0x17F ? 's' : first.code | (first.code < 0x80 ? fold : 0u);
    const uint32_t b = second.code | (second.code < 0x80 ? fold : 0u);
    if (first.type != Class::kLetter) return position;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return first.next;
    if (second.type != Class::kLetter) return position;
    const bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return two ? second.next : position;
}

// \s+(?!\S)|\s+ : a run of whitespace leaves its last character to the word that follows it.
int32_t match_spaces(const Encoder& encoder, int32_t position, int32_t end) {
    int32_t last = position;
    int32_t next = position;
    for (Scanned c = scan(encoder, next, end); c.type == Class::kSpace; c = scan(encoder, next, end)) {
        last = next;
        next = c.next;
    }
    return next == end || last == position ? next : last;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
int32_t match_gpt2(const Encoder& encoder, int32_t position, int32_t end) {
    const Scanned first = scan(encoder, position, end);
    if (first.code == '\'') {
        const int32_t stop = match_contraction(encoder, position, end, false);
        if (stop != position) return stop;
    }
    const Scanned word = first.code == ' ' ? scan(encoder, first.next, end) : first;
    if (word.type == Class::kSpace || word.type == Class::kEnd) return match_spaces(encoder, position, end);
    return skip(encoder, word.next, end, word.type);
}

// clang-format off
// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,most}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
// clang-format on
int32_t match_cl100k(const Encoder& encoder, int32_t position, int32_t end, int32_t most_digits) {
    const Scanned first = scan(encoder, position, end);
    if (first.code == '\'') {
        const int32_t stop = match_contraction(encoder, position, end, true);
        if (stop != position) return stop;
    }
    if (first.type == Class::kLetter) return skip(encoder, first.next, end, Class::kLetter);
    if (first.type == Class::kNumber) {
        int32_t next = first.next;
        for (int32_t digits = 1; digits < most_digits; ++digits) {
            const Scanned c = scan(encoder, next, end);
            if (c.type != Class::kNumber) break;
            next = c.next;
        }
        return next;
    }
    const Scanned second = scan(encoder, first.next, end);
    if (second.type == Class::kLetter && first.code != '\r' && first.code != '\n') {
        return skip(encoder, second.next, end, Class::kLetter);
    }
    if (first.type == Class::kOther || (first.code == ' ' && second.type == Class::kOther)) {
        int32_t next = skip(encoder, first.next, end, Class::kOther);
        while (next < end && (encoder.text[next] == '\r' || encoder.text[next] == '\n')) ++next;
        return next;
    }
    // Whitespace: up to and with the last line end of the run, if it has one.
    int32_t line_end = position;
    int32_t next = position;
    for (Scanned c = first; c.type == Class::kSpace; c = scan(encoder, next, end)) {
        next = c.next;
        if (c.code == '\r' || c.code == '\n') line_end = next;
    }
    return line_end != position ? line_end : match_spaces(encoder, position, end);
}

// Runs of digits and runs of everything else, or each digit alone.
int32_t match_digits(const Encoder& encoder, int32_t position, int32_t end, bool individual) {
    const Scanned first = scan(encoder, position, end);
    const bool digit = contains(mcu_tokenizer.digits, first.code);
    int32_t next = first.next;
    while (next < end && !(digit && individual)) {
        const Scanned c = scan(encoder, next, end);
        if (contains(mcu_tokenizer.digits, c.code) != digit) break;
        next = c.next;
    }
    return next;
}

// ---------------------------------------------------------------------------------------------- merging

struct Merge {
    uint32_t rank;  // kNone: the two do not merge
    int32_t result;
};

Merge find_merge(int32_t left, int32_t right) {
    const mcu_tokenizer_data& t = mcu_tokenizer;
    const uint32_t l = static_cast<uint32_t>(left);
    const uint32_t r = static_cast<uint32_t>(right);
    int32_t low = 0;
    int32_t high = t.merges;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const uint32_t middle_left = at(t.left, middle);
        if (middle_left < l || (middle_left == l && at(t.right, middle) < r)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == t.merges || at(t.left, low) != l || at(t.right, low) != r) return {kNone, 0};
    const uint32_t result = at(t.result, low);
    return {has(t.rank) ? at(t.rank, low) : result, static_cast<int32_t>(result)};
}

// Applies merges to ids[0..count) until none fits, in place; returns the new count.
//
// BPE applies the merge of the lowest rank, leftmost first, one at a time. All places of one pair can be done
// in one pass, unless a merge makes a pair of a still lower rank: then the pass ends early. So the number of
// passes is about the number of different merges in the word, which keeps even a whole text in one word usable.
int32_t merge_word(int32_t* ids, int32_t count) {
    for (;;) {
        Merge best = {kNone, 0};
        int32_t left = 0;
        int32_t right = 0;
        for (int32_t i = 0; i + 1 < count; ++i) {
            const Merge merge = find_merge(ids[i], ids[i + 1]);
            if (merge.rank < best.rank) {
                best = merge;
                left = ids[i];
                right = ids[i + 1];
            }
        }
        if (best.rank == kNone) return count;
        int32_t written = 0;
        bool stopped = false;
        for (int32_t i = 0; i < count; ++written) {
            if (stopped || i + 1 == count || ids[i] != left || ids[i + 1] != right) {
                ids[written] = ids[i++];
                continue;
            }
            ids[written] = best.result;
            i += 2;
            stopped = (written > 0 && find_merge(ids[written - 1], best.result).rank < best.rank) ||
                      (i < count && find_merge(best.result, ids[i]).rank < best.rank);
        }
        count = written;
    }
}

// The token that consists of exactly the word's bytes, among those that merging alone would not produce.
int32_t find_whole_word(const Encoder& encoder, Piece word) {
    const mcu_tokenizer_data& t = mcu_tokenizer;
    const int32_t length = word.end - word.begin;
    int32_t low = 0;
    int32_t high = t.whole_words;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const int32_t id = static_cast<int32_t>(at(t.whole_word_ids, middle));
        const uint8_t* token = nullptr;
        const int32_t token_length = mcu_tokenizer_decode(id, &token);
        int32_t i = 0;
        while (i < length && i < token_length && token[i] == byte_at(encoder, word.begin + i)) ++i;
        if (i == length && i == token_length) return id;
        if (i == token_length || (i < length && token[i] < byte_at(encoder, word.begin + i))) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return kNotFound;
}

int32_t append(Encoder& encoder, int32_t id) {
    if (encoder.count >= encoder.capacity) return kTooLong;
    encoder.ids[encoder.count++] = id;
    return 0;
}

int32_t encode_word(Encoder& encoder, Piece word) {
    const int32_t whole = find_whole_word(encoder, word);
    if (whole != kNotFound) return append(encoder, whole);
    const int32_t begin = encoder.count;
    bool unknown = false;
    for (int32_t i = word.begin; i < word.end; ++i) {
        const int32_t id = mcu_tokenizer.byte_ids[byte_at(encoder, i)];
        if (id < 0) return kNotEncodable;
        const bool fused = unknown && mcu_tokenizer.fuse_unknown && id == mcu_tokenizer.unknown_id;
        unknown = id == mcu_tokenizer.unknown_id;
        if (fused) continue;
        const int32_t error = append(encoder, id);
        if (error != 0) return error;
    }
    encoder.count = begin + merge_word(encoder.ids + begin, encoder.count - begin);
    return 0;
}

// ---------------------------------------------------------------------------------------------- the pipeline

// One way of cutting text: passes 0 and 1 take added tokens out (those matched in the raw text, then those matched in
// the normalized text, which is the same text here), then come the split stages; what is left are words.
struct Level {
    int32_t position;  // where the next piece begins
    int32_t end;
    int32_t token;  // the id of an added token that goes before that piece, or kNotFound
};

constexpr int32_t kAddedPasses = 2;
constexpr int32_t kMostLevels = kAddedPasses + MCU_SPLIT_STAGES;

// The longest added token of this pass at `position`, or kNotFound.
int32_t find_added(const Encoder& encoder, int32_t position, int32_t end, uint8_t normalized, int32_t* length) {
    const mcu_tokenizer_data& t = mcu_tokenizer;
    int32_t found = kNotFound;
    *length = 0;
    for (int32_t token = 0; token < t.added; ++token) {
        if ((t.added_flags[token] & MCU_ADDED_NORMALIZED) != normalized) continue;
        const uint8_t* content = t.added_bytes + t.added_offsets[token];
        const int32_t bytes = static_cast<int32_t>(t.added_offsets[token + 1] - t.added_offsets[token]);
        if (bytes <= *length || bytes > end - position) continue;
        int32_t i = 0;
        while (i < bytes && content[i] == encoder.text[position + i]) ++i;
        if (i < bytes) continue;
        found = token;
        *length = bytes;
    }
    return found;
}

// Where the whitespace that ends at `end` begins, not before `begin`.
int32_t spaces_before(const Encoder& encoder, int32_t begin, int32_t end) {
    int32_t start = begin;
    for (int32_t i = begin; i < end;) {
        const Scanned c = scan(encoder, i, end);
        i = c.next;
        if (c.type != Class::kSpace) start = i;
    }
    return start;
}

// What lies before the next added token of this pass; all that is left if there is none.
Piece next_span(const Encoder& encoder, Level& level, uint8_t pass) {
    const int32_t begin = level.position;
    for (int32_t position = begin; position < level.end; ++position) {
        int32_t length = 0;
        const int32_t token = find_added(encoder, position, level.end, pass, &length);
        if (token == kNotFound) continue;
        const uint8_t flags = mcu_tokenizer.added_flags[token];
        level.token = mcu_tokenizer.added_ids[token];
        level.position = position + length;
        if ((flags & MCU_ADDED_RSTRIP) != 0) {
            level.position = skip(encoder, level.position, level.end, Class::kSpace);
        }
        return {begin, (flags & MCU_ADDED_LSTRIP) != 0 ? spaces_before(encoder, begin, position) : position};
    }
    level.position = level.end;
    return {begin, level.end};
}

// The next piece of a split stage. A space put before the text stays until the level is left.
Piece next_piece(Encoder& encoder, Level& level, const mcu_split_stage& split) {
    const int32_t begin = level.position;
    level.position = level.end;
    if (split.kind == MCU_SPLIT_PREFIX_SPACE) {
        encoder.base = begin;
        encoder.space = encoder.text[begin] != ' ';
        return {begin - (encoder.space ? 1 : 0), level.end};
    }
    if (split.kind == MCU_SPLIT_GPT2) {
        level.position = match_gpt2(encoder, begin, level.end);
    } else if (split.kind == MCU_SPLIT_CL100K) {
        level.position = match_cl100k(encoder, begin, level.end, split.argument);
    } else if (split.kind == MCU_SPLIT_DIGITS) {
        level.position = match_digits(encoder, begin, level.end, split.argument != 0);
    }
    return {begin, level.position};
}

// Cuts the text level by level, depth first; no recursion, so that the stack has a bound.
int32_t encode_text(Encoder& encoder, int32_t bytes) {
    const mcu_tokenizer_data& t = mcu_tokenizer;
    Level levels[kMostLevels];
    levels[0] = {0, bytes, kNotFound};
    for (int32_t at = 0; at >= 0;) {
        Level& level = levels[at];
        const mcu_split_stage* stage = at < kAddedPasses ? nullptr : t.stages + (at - kAddedPasses);
        const int32_t full = level.token != kNotFound ? append(encoder, level.token) : 0;
        if (full != 0) return full;
        level.token = kNotFound;
        if (level.position == level.end) {
            if (stage != nullptr && stage->kind == MCU_SPLIT_PREFIX_SPACE) encoder.space = false;
            --at;
            continue;
        }
        const Piece piece =
            stage != nullptr ? next_piece(encoder, level, *stage) : next_span(encoder, level, static_cast<uint8_t>(at));
        if (piece.begin == piece.end) continue;
        if (at + 1 < kAddedPasses + t.stage_count) {
            levels[++at] = {piece.begin, piece.end, kNotFound};
        } else {
            const int32_t error = encode_word(encoder, piece);
            if (error != 0) return error;
        }
    }
    return 0;
}

}  // namespace

extern "C" int32_t mcu_tokenizer_encode(const char* text, int32_t bytes, int32_t* ids, int32_t capacity) {
    if (!mcu_tokenizer_present || bytes < 0 || mcu_tokenizer.stage_count > MCU_SPLIT_STAGES) return kNotEncodable;
    const uint8_t* utf8 = reinterpret_cast<const uint8_t*>(text);
    if (!is_acceptable(utf8, bytes)) return kNotEncodable;
    Encoder encoder = {utf8, ids, capacity, 0, 0, false};
    int32_t error = 0;
    for (int32_t i = 0; i < mcu_tokenizer.prefix_count && error == 0; ++i) {
        error = append(encoder, mcu_tokenizer.prefix_ids[i]);
    }
    if (error == 0) error = encode_text(encoder, bytes);
    for (int32_t i = 0; i < mcu_tokenizer.suffix_count && error == 0; ++i) {
        error = append(encoder, mcu_tokenizer.suffix_ids[i]);
    }
    return error != 0 ? error : encoder.count;
}

extern "C" int32_t mcu_tokenizer_decode(int32_t id, const uint8_t** bytes) {
    *bytes = nullptr;
    if (!mcu_tokenizer_present || id < 0 || id >= mcu_tokenizer.vocabulary) return 0;
    const uint32_t begin = at(mcu_tokenizer.offsets, id);
    *bytes = mcu_tokenizer.bytes + begin;
    return static_cast<int32_t>(at(mcu_tokenizer.offsets, id + 1) - begin);
}
