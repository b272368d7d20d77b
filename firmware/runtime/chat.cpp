// See chat.h.
#include "runtime/chat.h"

#include <string.h>

#include "model/model.h"
#include "runtime/tokenizer.h"

namespace {

// A text and what goes on it, before it becomes tokens: as much as a request of the SDK can hold.
constexpr int32_t kTextBytes = 256 + 4 * model::kMaxSequenceLength;

char text[kTextBytes];
int32_t text_bytes = 0;

class Writer {
  public:
    Writer(int32_t* ids, int32_t capacity) : ids_(ids), capacity_(capacity) { text_bytes = 0; }

    void add(const char* utf8, int32_t bytes) {
        if (bytes > kTextBytes - text_bytes) result_ = -1;
        if (result_ < 0 || bytes == 0) return;
        memcpy(text + text_bytes, utf8, static_cast<size_t>(bytes));
        text_bytes += bytes;
    }

    void add(const mcu_chat_gap& gap) {
        add(gap.head, gap.head_bytes);
        if (gap.count > 0) {
            encode();
            if (gap.count > capacity_ - result_) result_ = -1;
            if (result_ < 0) return;
            memcpy(ids_ + result_, gap.ids, static_cast<size_t>(gap.count) * sizeof *ids_);
            result_ += gap.count;
        }
        add(gap.tail, gap.tail_bytes);
    }

    int32_t finish() {
        encode();
        return result_;
    }

  private:
    void encode() {
        if (result_ < 0 || text_bytes == 0) return;
        const int32_t count = mcu_tokenizer_encode_plain(text, text_bytes, ids_ + result_, capacity_ - result_);
        result_ = count < 0 ? count : result_ + count;
        text_bytes = 0;
    }

    int32_t* ids_;
    int32_t capacity_;
    int32_t result_ = 0;
};

// How many bytes the character takes that `utf8` begins with.
int32_t character_bytes(const char* utf8) {
    const uint8_t lead = static_cast<uint8_t>(*utf8);
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

// Which of the characters the text begins with, or ends with: its bytes; 0 for none.
int32_t matching(const mcu_chat_text& characters, const char* utf8, int32_t bytes, bool at_end) {
    for (int32_t i = 0; i < characters.bytes;) {
        const char* const each = characters.utf8 + i;
        const int32_t length = character_bytes(each);
        if (length <= bytes && memcmp(at_end ? utf8 + bytes - length : utf8, each, static_cast<size_t>(length)) == 0) {
            return length;
        }
        i += length;
    }
    return 0;
}

ChatText stripped(const mcu_chat_strip& strip, const char* utf8, int32_t bytes) {
    while (const int32_t length = matching(strip.left, utf8, bytes, false)) {
        utf8 += length;
        bytes -= length;
    }
    while (const int32_t length = matching(strip.right, utf8, bytes, true)) bytes -= length;
    return {utf8, bytes};
}

// An answer's text in `text`, or what is left of it behind the last place of past.cut.
class Answer {
  public:
    Answer() { text_bytes = 0; }

    void add(const uint8_t* bytes, int32_t count) {
        for (int32_t i = 0; i < count; ++i) add(static_cast<char>(bytes[i]));
    }

    bool was_cut() const { return was_cut_; }
    bool fits() const { return fits_; }

  private:
    void add(char byte) {
        const mcu_chat_text& cut = mcu_chat.past.cut;
        if (text_bytes == kTextBytes) {
            // There is no room, unless what is behind another place is short: a place may have begun already.
            fits_ = false;
            const int32_t kept = cut.bytes > 0 ? cut.bytes - 1 : 0;
            memmove(text, text + text_bytes - kept, static_cast<size_t>(kept));
            text_bytes = kept;
        }
        text[text_bytes++] = byte;
        if (cut.bytes == 0 || text_bytes < cut.bytes) return;
        if (memcmp(text + text_bytes - cut.bytes, cut.utf8, static_cast<size_t>(cut.bytes)) != 0) return;
        text_bytes = 0;
        was_cut_ = fits_ = true;
    }

    bool was_cut_ = false;
    bool fits_ = true;
};

}  // namespace

int32_t chat_remember(int32_t* ids, int32_t begin, int32_t end, int32_t capacity, void* spare, int32_t* same) {
    const mcu_chat_past& past = mcu_chat.past;
    const mcu_chat_gap& before = mcu_chat.before_past;
    *same = end;
    Answer answer;
    for (int32_t i = begin; i < end; ++i) {
        const uint8_t* bytes = nullptr;
        const int32_t count = mcu_tokenizer_decode(ids[i], &bytes);
        answer.add(bytes, count);
    }
    const ChatText left = stripped(answer.was_cut() ? past.behind_cut : past.strip, text, text_bytes);
    const bool is_whole = !answer.was_cut() && left.bytes == text_bytes && answer.fits();
    if (is_whole && past.dropped == 0 && before.count == 0 && before.tail_bytes == 0) return end;
    if (!answer.fits() || left.bytes + before.tail_bytes > kTextBytes) return -1;
    memmove(text + before.tail_bytes, left.utf8, static_cast<size_t>(left.bytes));
    memcpy(text, before.tail, static_cast<size_t>(before.tail_bytes));
    const int32_t first = begin - past.dropped;
    const size_t spared = static_cast<size_t>(end - first) * sizeof *ids;
    memcpy(spare, ids + first, spared);
    int32_t count = first + before.count;
    int32_t more = 0;
    if (count > capacity) {
        more = -1;
    } else {
        if (before.count > 0) memcpy(ids + first, before.ids, static_cast<size_t>(before.count) * sizeof *ids);
        const int32_t bytes = left.bytes + before.tail_bytes;
        if (bytes > 0) more = mcu_tokenizer_encode_plain(text, bytes, ids + count, capacity - count);
    }
    if (more < 0) {
        memcpy(ids + first, spare, spared);
        return more == -1 ? -1 : end;
    }
    count += more;
    const char* const old = static_cast<const char*>(spare);
    int32_t i = first;
    while (i < count && i < end &&
           memcmp(ids + i, old + sizeof *ids * static_cast<size_t>(i - first), sizeof *ids) == 0) {
        ++i;
    }
    *same = i;
    return count;
}

void chat_restore() {
    const mcu_chat_stored& stored = mcu_chat.stored;
    const uint8_t* from = stored.data;
    for (int32_t i = 0; i < stored.count; ++i) {
        memcpy(model::kv_cache_data() + stored.segments[i].offset, from, stored.segments[i].bytes);
        from += stored.segments[i].bytes;
    }
}

int32_t chat_turn(bool first, ChatText system, ChatText said, int32_t* ids, int32_t capacity) {
    Writer writer(ids, capacity);
    if (system.utf8 != nullptr) {
        writer.add(mcu_chat.before_system);
        const ChatText left = stripped(mcu_chat.strip_system, system.utf8, system.bytes);
        writer.add(left.utf8, left.bytes);
        writer.add(mcu_chat.behind_system);
    } else {
        writer.add(first ? mcu_chat.opening : mcu_chat.behind_answer);
    }
    const ChatText left = stripped(mcu_chat.strip_text, said.utf8, said.bytes);
    writer.add(left.utf8, left.bytes);
    writer.add(mcu_chat.before_answer);
    return writer.finish();
}
