// Counts the instructions of encoding a prompt, and of printing its tokens: one line for each number.
#include "platform/counter.h"
#include "platform/platform.h"
#include "runtime/print.h"
#include "runtime/tokenizer.h"

extern const unsigned char kText[];  // of benchmarks/texts.py
extern const int32_t kTextBytes;

namespace {

int32_t ids[1024];

void print_line(const char* name, uint64_t number) {
    print_text(name);
    print_text(" ");
    print_unsigned(number);
    print_text("\n");
}

}  // namespace

int main() {
    counter_start();
    const uint64_t start = counter_read();
    const int32_t count = mcu_tokenizer_encode(reinterpret_cast<const char*>(kText), kTextBytes, ids, 1024);
    const uint64_t encoded = counter_read();
    const uint8_t* bytes = nullptr;
    for (int32_t i = 0; i < count; ++i) mcu_tokenizer_decode(ids[i], &bytes);
    const uint64_t decoded = counter_read();
    print_line("tokens", static_cast<uint64_t>(count < 0 ? 0 : count));
    print_line("encode", counter_instructions(start, encoded));
    print_line("decode", counter_instructions(encoded, decoded));
    print_text("done\n");
    return 0;
}
