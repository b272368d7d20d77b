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

}  // namespace

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
        writer.add(system.utf8, system.bytes);
        writer.add(mcu_chat.behind_system);
    } else {
        writer.add(first ? mcu_chat.opening : mcu_chat.behind_answer);
    }
    writer.add(said.utf8, said.bytes);
    writer.add(mcu_chat.before_answer);
    return writer.finish();
}
