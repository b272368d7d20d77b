// See rewriting.h.
#include "runtime/tokenizer/rewriting.h"

#include <string.h>

#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

constexpr uint32_t kSyllables = 0xAC00;
constexpr uint32_t kLeading = 0x1100;
constexpr uint32_t kVowels = 0x1161;
constexpr uint32_t kTrailing = 0x11A7;  // one before the first

uint8_t* work() { return mcu_tokenizer.work; }

bool write_jamo(Rewriting& out, uint32_t code) {
    const uint32_t index = code - kSyllables;
    const uint32_t trailing = index % 28;
    return out.write(kLeading + index / 588) && out.write(kVowels + index % 588 / 28) &&
           (trailing == 0 || out.write(kTrailing + trailing));
}

}  // namespace

int32_t changing_entry(const mcu_code_map& codes, uint32_t code) {
    const int32_t found = entry_before(codes.entries, codes.count, code);
    if (found < 0) return kNotFound;
    const uint32_t run = codes.entries[found];
    return code - (run >> 11) <= (run & 0x7FFu) ? found : kNotFound;
}

Rewriting::Rewriting(Text& text)
    : text_(text),
      read_(mcu_tokenizer.work_bytes - (text.end - text.begin)),
      written_(text.begin),
      end_(mcu_tokenizer.work_bytes) {
    memmove(work() + read_, work() + text.begin, static_cast<size_t>(text.end - text.begin));
}

const uint8_t* Rewriting::next() const { return work() + read_; }

bool Rewriting::write(const uint8_t* bytes, int32_t count) {
    if (written_ + count > read_) return false;
    for (int32_t i = 0; i < count; ++i) work()[written_ + i] = bytes[i];
    written_ += count;
    return true;
}

bool Rewriting::write(uint32_t code) {
    uint8_t bytes[4];
    return write(bytes, encode_utf8(code, bytes));
}

bool Rewriting::write_change(const mcu_code_map& codes, int32_t entry, uint32_t code) {
    const uint32_t change = codes.changes[entry];
    const uint32_t shifted = code + static_cast<uint32_t>(static_cast<int32_t>(change) >> 3);
    switch (change & 7u) {
        case MCU_CODE_STRING: return write(codes.strings + (change >> 9), static_cast<int32_t>(change >> 3 & 63u));
        case MCU_CODE_DELTA: return write(shifted);
        case MCU_CODE_DELTA_EVEN: return write((code - (codes.entries[entry] >> 11)) % 2 == 0 ? shifted : code);
        case MCU_CODE_SPACED: return write(' ') && write(shifted) && write(' ');
        default: return write_jamo(*this, code);
    }
}

void Rewriting::keep(int32_t bytes) {
    memmove(work() + written_, work() + read_, static_cast<size_t>(bytes));
    written_ += bytes;
    read_ += bytes;
}

}  // namespace mcu_tokenizing
