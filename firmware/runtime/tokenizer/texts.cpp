// One text or two for an encoder: cut to the length, with what the post-processor puts around them.
#include "runtime/tokenizer.h"
#include "runtime/tokenizer/encode.h"

namespace mcu_tokenizing {

namespace {

struct Counts {
    int32_t first;
    int32_t second;
};

// The tokens of a text: the first `capacity` to `ids`. Returns how many there are, or what is wrong.
int32_t tokens_of(const mcu_text& text, int32_t* ids, int32_t capacity) {
    Encoder encoder = {nullptr, ids, capacity, 0, true, 0, nullptr, 0, false};
    const int32_t error = encode_text(encoder, reinterpret_cast<const uint8_t*>(text.utf8), text.bytes);
    return error != 0 ? error : encoder.count;
}

// How many of two texts' tokens stay of at most `most`: as the `tokenizers` library cuts by "longest_first".
Counts cut(Counts counts, int32_t most) {
    if (counts.first + counts.second <= most) return counts;
    const bool swapped = counts.first > counts.second;
    int32_t shorter = swapped ? counts.second : counts.first;
    const int32_t longer = swapped ? counts.first : counts.second;
    int32_t room = shorter > most ? shorter : (shorter > most - shorter ? shorter : most - shorter);
    if (shorter + room > most) {
        shorter = most / 2;
        room = shorter + most % 2;
    }
    room = room < longer ? room : longer;
    return swapped ? Counts{room, shorter} : Counts{shorter, room};
}

int32_t specials_in(const mcu_template_item* items, int32_t count) {
    int32_t specials = 0;
    for (int32_t i = 0; i < count; ++i) specials += items[i].id >= 0 ? 1 : 0;
    return specials;
}

}  // namespace

}  // namespace mcu_tokenizing

using namespace mcu_tokenizing;

extern "C" mcu_encoded mcu_tokenizer_encode_texts(mcu_text text, mcu_text pair, int32_t* ids, int32_t* type_ids,
                                                  int32_t capacity) {
    const bool is_pair = pair.utf8 != nullptr;
    const mcu_template_item* items = is_pair ? mcu_tokenizer.pair : mcu_tokenizer.single;
    const int32_t item_count = is_pair ? mcu_tokenizer.pair_count : mcu_tokenizer.single_count;
    if (!mcu_tokenizer_present || item_count == 0) return {kNotEncodable, 0};
    const int32_t most = capacity - specials_in(items, item_count);
    if (most < 0) return {kTooLong, 0};

    // One text is cut while it is written. How two are cut depends on the number of tokens of both.
    Counts kept = {most, 0};
    int32_t total = 0;
    if (is_pair) {
        const Counts counts = {tokens_of(text, nullptr, 0), tokens_of(pair, nullptr, 0)};
        if (counts.first < 0 || counts.second < 0) return {counts.first < 0 ? counts.first : counts.second, 0};
        kept = cut(counts, most);
        total = counts.first + counts.second - kept.first - kept.second;
    }
    int32_t written = 0;
    int32_t dropped = total;
    for (int32_t i = 0; i < item_count; ++i) {
        const int32_t begin = written;
        if (items[i].id >= 0) {
            ids[written++] = items[i].id;
        } else {
            const bool first = items[i].id == MCU_TEMPLATE_A;
            const int32_t room = first ? kept.first : kept.second;
            const int32_t count = tokens_of(first ? text : pair, ids + written, room);
            if (count < 0) return {count, 0};
            written += count < room ? count : room;
            if (!is_pair && count > room) dropped = count - room;
        }
        for (int32_t k = begin; type_ids != nullptr && k < written; ++k) type_ids[k] = items[i].type;
    }
    return {written, dropped};
}
