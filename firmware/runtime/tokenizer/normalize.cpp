// See normalize.h.
#include "runtime/tokenizer/normalize.h"

#include <string.h>

#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/rewriting.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

uint8_t* work() { return mcu_tokenizer.work; }

int32_t length_at(const uint8_t* text, int32_t bytes) {
    return text[0] == kBoundary ? 1 : decode_utf8(text, bytes).bytes;
}

uint32_t class_at(const mcu_code_points& classes, const uint8_t* text, int32_t bytes) {
    return text[0] == kBoundary ? 0 : combining_class(classes, decode_utf8(text, bytes).code);
}

}  // namespace

bool map(Text& text, const mcu_code_map& codes) {
    Rewriting out(text);
    while (!out.is_done()) {
        const Decoded c = decode_utf8(out.next(), out.left());
        out.skip(c.bytes);
        const int32_t before = out.written();
        const int32_t entry = changing_entry(codes, c.code);
        if (!(entry >= 0 ? out.write_change(codes, entry, c.code) : out.write(c.code))) return false;
        out.note_removed(before);
    }
    return out.finish();
}

// An insertion sort of each run of marks: by class, in their order where the classes are the same.
bool reorder(Text& text, const mcu_code_points& classes) {
    uint8_t* bytes = work();
    int32_t run = text.begin;  // where the run of marks begins
    int32_t length = 0;
    for (int32_t i = text.begin; i < text.end; i += length) {
        length = length_at(bytes + i, text.end - i);
        const uint32_t own = class_at(classes, bytes + i, text.end - i);
        if (own == 0) {
            run = i + length;
            continue;
        }
        int32_t to = run;
        while (to < i && class_at(classes, bytes + to, i - to) <= own) to += length_at(bytes + to, i - to);
        uint8_t mark[4];
        memcpy(mark, bytes + i, static_cast<size_t>(length));
        memmove(bytes + to + length, bytes + to, static_cast<size_t>(i - to));
        memcpy(bytes + to, mark, static_cast<size_t>(length));
    }
    int32_t written = text.begin;
    for (int32_t i = text.begin; i < text.end; ++i) {
        if (bytes[i] != kBoundary) bytes[written++] = bytes[i];
    }
    text.end = written;
    return true;
}

bool strip(Text& text, const mcu_code_points& spaces, bool left, bool right) {
    const uint8_t* bytes = work();
    int32_t begin = text.begin;
    while (left && begin < text.end) {
        const Decoded c = decode_utf8(bytes + begin, text.end - begin);
        if (!contains(spaces, c.code)) break;
        begin += c.bytes;
    }
    int32_t end = right ? begin : text.end;
    for (int32_t i = begin; right && i < text.end;) {
        const Decoded c = decode_utf8(bytes + i, text.end - i);
        i += c.bytes;
        if (!contains(spaces, c.code)) end = i;
    }
    if (begin != text.begin) text.kept_first = false;
    memmove(work() + text.begin, work() + begin, static_cast<size_t>(end - begin));
    text.end = text.begin + (end - begin);
    return true;
}

bool prepend(Text& text, const uint8_t* bytes, int32_t count) {
    if (text.begin == text.end) return true;
    if (text.end + count > mcu_tokenizer.work_bytes) return false;
    memmove(work() + text.begin + count, work() + text.begin, static_cast<size_t>(text.end - text.begin));
    memcpy(work() + text.begin, bytes, static_cast<size_t>(count));
    text.end += count;
    return true;
}

bool replace(Text& text, const uint8_t* pattern, int32_t pattern_bytes, const uint8_t* by, int32_t bytes) {
    Rewriting out(text);
    while (!out.is_done()) {
        const int32_t before = out.written();
        if (out.left() < pattern_bytes || memcmp(out.next(), pattern, static_cast<size_t>(pattern_bytes)) != 0) {
            out.keep(1);
            continue;
        }
        out.skip(pattern_bytes);
        if (!out.write(by, bytes)) return false;
        out.note_removed(before);
    }
    return out.finish();
}

bool replace_runs(Text& text, uint8_t character, int32_t least, const uint8_t* by, int32_t bytes) {
    Rewriting out(text);
    while (!out.is_done()) {
        int32_t run = 0;
        while (run < out.left() && out.next()[run] == character) ++run;
        if (run < least) {
            out.keep(run > 0 ? run : 1);
            continue;
        }
        const int32_t before = out.written();
        out.skip(run);
        if (!out.write(by, bytes)) return false;
        out.note_removed(before);
    }
    return out.finish();
}

int32_t open_normalized(Encoder& encoder, Piece* piece) {
    const int32_t bytes = piece->end - piece->begin;
    if (encoder.used + bytes > mcu_tokenizer.work_bytes) return kTooLong;
    memcpy(work() + encoder.used, piece->text + piece->begin, static_cast<size_t>(bytes));
    Text text = {encoder.used, encoder.used + bytes, true};
    if (!normalize(text)) return kTooLong;
    if (encoder.first != nullptr) encoder.first = text.kept_first ? work() + text.begin : nullptr;
    *piece = {work(), text.begin, text.end};
    encoder.used = text.end;
    return 0;
}

}  // namespace mcu_tokenizing
