// The patterns of byte-level pre-tokenizers, written by hand, and Digits; a space may be put before the text.
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

enum class Class : uint8_t { kLetter, kNumber, kSpace, kOther, kEnd };

Class classify(uint32_t code) {
    if (code < 0x80) {
        if ((code | 0x20u) - 'a' < 26) return Class::kLetter;
        if (code - '0' < 10) return Class::kNumber;
        return is_space(code) ? Class::kSpace : Class::kOther;
    }
    if (contains(patterns.letters, code)) return Class::kLetter;
    if (contains(patterns.numbers, code)) return Class::kNumber;
    return is_space(code) ? Class::kSpace : Class::kOther;
}

struct Scanned {
    uint32_t code;
    Class type;
    int32_t next;
};

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
    const bool digit = contains(patterns.digits, first.code);
    int32_t next = first.next;
    while (next < end && !(digit && individual)) {
        const Scanned c = scan(encoder, next, end);
        if (contains(patterns.digits, c.code) != digit) break;
        next = c.next;
    }
    return next;
}

}  // namespace

// A space put before the text stays until the level is left.
int32_t next_pattern(Encoder& encoder, Level& level, const mcu_split_stage& split, Piece* piece) {
    const int32_t begin = level.position;
    level.position = level.end;
    if (split.kind == MCU_SPLIT_PREFIX_SPACE) {
        encoder.base = begin;
        encoder.space = encoder.text[begin] != ' ';
        *piece = {level.text, begin - (encoder.space ? 1 : 0), level.end};
        return 0;
    }
    if (split.kind == MCU_SPLIT_GPT2) {
        level.position = match_gpt2(encoder, begin, level.end);
    } else if (split.kind == MCU_SPLIT_CL100K) {
        level.position = match_cl100k(encoder, begin, level.end, split.argument);
    } else if (split.kind == MCU_SPLIT_DIGITS) {
        level.position = match_digits(encoder, begin, level.end, split.argument != 0);
    }
    *piece = {level.text, begin, level.position};
    return 0;
}

}  // namespace mcu_tokenizing
