// SentencePiece's charsmap, as the `tokenizers` library applies it: to each grapheme of less than six bytes as a whole,
// of which it finds the shortest key that the grapheme begins with; to every character of the others.
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/normalize.h"
#include "runtime/tokenizer/rewriting.h"
#include "runtime/tokenizer/unicode.h"
#include "runtime/tokenizer/vocabulary.h"

namespace mcu_tokenizing {

namespace {

constexpr int32_t kMostWhole = 5;  // bytes of a grapheme that is looked up as a whole

uint32_t grapheme_class(const mcu_charsmap_data& charsmap, uint32_t code) {
    if (code == '\r' || code == '\n') return MCU_GRAPHEME_CONTROL;
    const int32_t found = entry_before(charsmap.graphemes.entries, charsmap.graphemes.count, code);
    if (found < 0) return MCU_GRAPHEME_OTHER;
    const uint32_t entry = charsmap.graphemes.entries[found];
    return code - (entry >> 11) <= (entry >> 3 & 0xFFu) ? entry & 7u : uint32_t{MCU_GRAPHEME_OTHER};
}

// Where a grapheme ends, by Unicode Standard Annex 29. Rules for Hangul syllables, flags and conjuncts are missing:
// their graphemes have six bytes and more, and no key begins with what could begin a shorter one
// (mcu_sdk/model/charsmap.py).
class Boundary {
  public:
    explicit Boundary(const mcu_charsmap_data& charsmap) : charsmap_(charsmap) {}

    // Whether the code point begins a grapheme, behind those that it has been asked about.
    bool begins(uint32_t code) {
        const uint32_t before = last_;
        const bool line_end = last_code_ == '\r' && code == '\n';
        const bool emoji = emoji_ == 2;
        last_code_ = code;
        last_ = grapheme_class(charsmap_, code);
        if (last_ == MCU_GRAPHEME_PICTURE) {
            emoji_ = 1;
        } else if (last_ != MCU_GRAPHEME_EXTEND || emoji_ != 1) {
            emoji_ = last_ == MCU_GRAPHEME_ZWJ && emoji_ == 1 ? 2 : 0;
        }
        if (line_end) return false;
        if (before == MCU_GRAPHEME_CONTROL || last_ == MCU_GRAPHEME_CONTROL) return true;
        const bool joins = last_ == MCU_GRAPHEME_EXTEND || last_ == MCU_GRAPHEME_ZWJ || last_ == MCU_GRAPHEME_SPACING ||
                           (last_ == MCU_GRAPHEME_PICTURE && emoji);
        return !joins && before != MCU_GRAPHEME_PREPEND;
    }

  private:
    const mcu_charsmap_data& charsmap_;
    uint32_t last_ = MCU_GRAPHEME_CONTROL;
    uint32_t last_code_ = 0;
    int32_t emoji_ = 0;  // 1: a picture with nothing but extending characters behind it; 2: then a joiner
};

// How many bytes the grapheme has that `text` begins with.
int32_t grapheme_bytes(const mcu_charsmap_data& charsmap, const uint8_t* text, int32_t bytes) {
    Boundary boundary(charsmap);
    for (int32_t i = 0; i < bytes;) {
        const Decoded c = decode_utf8(text + i, bytes - i);
        if (boundary.begins(c.code) && i > 0) return i;
        i += c.bytes;
    }
    return bytes;
}

// The grapheme of `bytes` bytes as a whole, if there is a key for it; *done says so.
bool write_whole(Rewriting& out, const mcu_charsmap_data& charsmap, int32_t bytes, bool* done) {
    const Decoded first = decode_utf8(out.next(), bytes);
    const mcu_code_map& codes = charsmap.single;
    const int32_t entry = changing_entry(codes, first.code);
    *done = entry >= 0;
    if (*done) {
        out.skip(bytes);
        return out.write_change(codes, entry, first.code);
    }
    const Found found = find_longest(charsmap.keys, {nullptr, 0, out.next(), bytes});
    *done = found.place != kNotFound;
    if (!*done) return true;
    const uint32_t text = at(charsmap.keys.ids, found.place);
    out.skip(bytes);
    return out.write(charsmap.texts + (text >> 6), static_cast<int32_t>(text & 63u));
}

bool write_each(Rewriting& out, const mcu_charsmap_data& charsmap, int32_t bytes) {
    while (bytes > 0) {
        const Decoded c = decode_utf8(out.next(), bytes);
        const int32_t entry = changing_entry(charsmap.single, c.code);
        out.skip(c.bytes);
        bytes -= c.bytes;
        if (!(entry >= 0 ? out.write_change(charsmap.single, entry, c.code) : out.write(c.code))) return false;
    }
    return true;
}

}  // namespace

bool apply_charsmap(Text& text, const mcu_charsmap_data& charsmap) {
    Rewriting out(text);
    while (!out.is_done()) {
        const int32_t bytes = grapheme_bytes(charsmap, out.next(), out.left());
        bool done = false;
        if (bytes <= kMostWhole && !write_whole(out, charsmap, bytes, &done)) return false;
        if (!done && !write_each(out, charsmap, bytes)) return false;
    }
    return out.finish();
}

}  // namespace mcu_tokenizing
