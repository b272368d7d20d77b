// How the lines that are sent to a firmware are read: numbers, words, and the CRC at their end.
//
// Inline: what only one reader uses costs the firmware that has that reader alone.
#pragma once

#include <stdint.h>

#include "runtime/crc.h"

// What is left of a line.
struct Cursor {
    const char* next;
    const char* end;

    bool done() const { return next == end; }
    bool at(char c) const { return next != end && *next == c; }
    bool take(char c) {
        if (!at(c)) return false;
        ++next;
        return true;
    }
    bool take(const char* word) {
        const char* p = next;
        for (; *word != '\0'; ++word, ++p) {
            if (p == end || *p != *word) return false;
        }
        next = p;
        return true;
    }
};

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A decimal number up to `limit`; false when there is none or it is larger.
inline bool parse_number(Cursor* in, uint64_t limit, uint64_t* value) {
    const char* begin = in->next;
    uint64_t number = 0;
    for (; !in->done() && is_digit(*in->next); ++in->next) {
        const uint64_t digit = static_cast<uint64_t>(*in->next - '0');
        if (__builtin_mul_overflow(number, uint64_t{10}, &number) || number > limit || digit > limit - number) {
            return false;
        }
        number += digit;
    }
    *value = number;
    return in->next != begin;
}

// 0 to 15, or -1.
inline int32_t hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// ` crc=1a2b3c4d` at the end of a line.
inline constexpr int32_t kCrcBytes = 13;

enum class Crc { kNone, kRight, kWrong };

inline Crc check_crc(const char* line, int32_t bytes) {
    if (bytes < kCrcBytes) return Crc::kNone;
    Cursor in = {line + bytes - kCrcBytes, line + bytes};
    if (!in.take(" crc=")) return Crc::kNone;
    uint32_t said = 0;
    for (; !in.done(); ++in.next) {
        const int32_t digit = hex_digit(*in.next);
        if (digit < 0) return Crc::kWrong;
        said = said << 4 | static_cast<uint32_t>(digit);
    }
    return crc_add(kCrcOfNothing, line, bytes - kCrcBytes) == said ? Crc::kRight : Crc::kWrong;
}
