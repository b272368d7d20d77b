// UTF-8 and sets of code points.
#pragma once

#include <stdint.h>

#include "runtime/tokenizer/tables.h"

namespace mcu_tokenizing {

inline uint32_t at(const mcu_column& column, int32_t index) {
    return column.narrow != nullptr ? column.narrow[index] : column.wide[index];
}

inline bool has(const mcu_column& column) { return column.narrow != nullptr || column.wide != nullptr; }

struct Decoded {
    uint32_t code;
    int32_t bytes;  // 0: no valid UTF-8 here
};

// One code point of `text` (`bytes` > 0 bytes long).
Decoded decode_utf8(const uint8_t* text, int32_t bytes);

// Writes `code` to `text` (4 bytes) and returns how many bytes it takes.
int32_t encode_utf8(uint32_t code, uint8_t* text);

// The last of `count` entries whose first code point (entry >> 11) is not above `code`; -1 if there is none.
int32_t entry_before(const uint32_t* entries, int32_t count, uint32_t code);

bool contains(const mcu_code_points& set, uint32_t code);

// \s
bool is_space(uint32_t code);

// The canonical combining class by entries (first << 11 | count - 1 << 8 | class); 0 for a starter.
uint32_t combining_class(const mcu_code_points& classes, uint32_t code);

}  // namespace mcu_tokenizing
