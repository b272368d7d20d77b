// Normalizers: each changes the text at the end of mcu_tokenizer.work in place. The generated code says which run, in
// their order, as the function normalize().
#pragma once

#include <stdint.h>

#include "runtime/tokenizer/tables.h"
#include "runtime/tokenizer/text.h"

namespace mcu_tokenizing {

// Each returns false where the room does not suffice.
bool map(Text& text, const mcu_code_map& codes);           // each code point by itself
bool reorder(Text& text, const mcu_code_points& classes);  // combining marks into canonical order
bool compose(Text& text, const mcu_code_points& classes, const mcu_composition_data& pairs,
             const mcu_composition_data& beyond);  // compose.cpp
bool strip(Text& text, const mcu_code_points& spaces, bool left, bool right);
bool prepend(Text& text, const uint8_t* bytes, int32_t count);  // unless the text is empty
bool replace(Text& text, const uint8_t* pattern, int32_t pattern_bytes, const uint8_t* by, int32_t bytes);
bool replace_runs(Text& text, uint8_t character, int32_t least, const uint8_t* by, int32_t bytes);

bool apply_charsmap(Text& text, const mcu_charsmap_data& charsmap);  // charsmap.cpp

// All of them in order; generated.
bool normalize(Text& text);

}  // namespace mcu_tokenizing
