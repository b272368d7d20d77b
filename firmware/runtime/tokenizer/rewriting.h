// What normalizers share that write a text anew.
#pragma once

#include <stdint.h>

#include "runtime/tokenizer/tables.h"
#include "runtime/tokenizer/text.h"

namespace mcu_tokenizing {

// The run of the map that the code point is in, or kNotFound: it stays as it is.
int32_t changing_entry(const mcu_code_map& codes, uint32_t code);

// Reads a text from the end of the room, to which it moves it, and writes what becomes of it from its begin on.
// What writes returns false where it would reach what has not been read.
class Rewriting {
  public:
    explicit Rewriting(Text& text);

    bool is_done() const { return read_ == end_; }
    int32_t left() const { return end_ - read_; }
    const uint8_t* next() const;
    void skip(int32_t bytes) { read_ += bytes; }

    bool write(const uint8_t* bytes, int32_t count);
    bool write(uint32_t code);
    bool write_change(const mcu_code_map& codes, int32_t entry, uint32_t code);
    void keep(int32_t bytes);  // reads and writes them

    // Where the next byte is written.
    int32_t written() const { return written_; }

    // Something has been read while nothing was written since `before`.
    void note_removed(int32_t before) {
        if (before == text_.begin && written_ == before) text_.kept_first = false;
    }
    bool finish() {
        text_.end = written_;
        return true;
    }

  private:
    Text& text_;
    int32_t read_;
    int32_t written_;
    int32_t end_;
};

}  // namespace mcu_tokenizing
