// A text while normalizers change it.
#pragma once

#include <stdint.h>

namespace mcu_tokenizing {

// Bytes [begin, end) of mcu_tokenizer.work. Where a character has been removed that orders marks (it is a starter), a
// byte kBoundary stands for it until reorder() has run.
struct Text {
    int32_t begin;
    int32_t end;
    bool kept_first;  // nothing has been removed where it begins
};

constexpr uint8_t kBoundary = 0xFF;

}  // namespace mcu_tokenizing
