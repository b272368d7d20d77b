// See tensor_transfer.h.
#include "runtime/tensor_transfer.h"

#include <string.h>

#include "model/model.h"
#include "runtime/answer.h"
#include "runtime/console.h"
#include "runtime/cursor.h"
#include "runtime/print.h"
#include "runtime/tensor_series.h"

namespace {

bool is_open = false;   // whether there is a series
uint64_t position = 0;  // in the bytes of its inputs: what is expected next
size_t filled = 0;      // of these bytes, for the step that is next

constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// 0 to 63, or -1.
int32_t base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (is_digit(c)) return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Decodes what is left of the line, over itself; the number of bytes, or -1. Four digits are three bytes; at the end,
// "=" or "==" stand for the last one or two, whose bits are 0.
int32_t base64_decode(Cursor in, char* out) {
    const char* begin = out;
    while (!in.done()) {
        if (in.end - in.next < 4) return -1;
        const int32_t padding = in.end - in.next != 4 || in.next[3] != '=' ? 0 : in.next[2] == '=' ? 2 : 1;
        uint32_t bits = 0;
        for (int32_t i = 0; i < 4; ++i) {
            const int32_t digit = i >= 4 - padding ? 0 : base64_digit(in.next[i]);
            if (digit < 0) return -1;
            bits = bits << 6 | static_cast<uint32_t>(digit);
        }
        if ((bits & ((1u << 8 * padding) - 1)) != 0) return -1;
        in.next += 4;
        for (int32_t i = 0; i < 3 - padding; ++i) *out++ = static_cast<char>(bits >> (16 - 8 * i));
    }
    return static_cast<int32_t>(out - begin);
}

void print_base64(const uint8_t* bytes, size_t count) {
    while (count > 0) {
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < count ? bytes[i] : 0u);
        char text[4];
        for (int32_t i = 0; i < 4; ++i) text[i] = kDigits[bits >> (18 - 6 * i) & 63];
        if (count < 3) text[3] = '=';
        if (count < 2) text[2] = '=';
        print_bytes(text, 4);
        const size_t taken = count < 3 ? count : 3;
        bytes += taken;
        count -= taken;
    }
}

constexpr bool kForEncoder = model::kIsLanguageModel;
constexpr int32_t kCount = kForEncoder ? model::kEncoderTensors : model::kInputCount;

const model::Tensor& input(int32_t index) {
    if constexpr (kForEncoder) return model::kEncoderInputs[index];
    return model::kInputs[index];
}

size_t step_bytes() {
    size_t sum = 0;
    for (int32_t i = 0; i < kCount; ++i) sum += input(i).bytes;
    return sum;
}

// Into the inputs, from `filled` on; they are tensors one behind the other.
void store(const char* bytes, size_t count) {
    size_t begin = 0;
    for (int32_t i = 0; i < kCount && count > 0; ++i) {
        const model::Tensor& tensor = input(i);
        const size_t end = begin + tensor.bytes;
        if (filled < end) {
            const size_t here = count < end - filled ? count : end - filled;
            memcpy(static_cast<uint8_t*>(tensor.data) + (filled - begin), bytes, here);
            bytes += here;
            count -= here;
            filled += here;
        }
        begin = end;
    }
}

void begin_series() {
    if constexpr (kForEncoder) {
        model::reset();
    } else {
        series_begin();
    }
    is_open = true;
    position = 0;
    filled = 0;
}

// Runs a step whose inputs are complete. Those of an encoder stay until the answer.
void run_if_complete() {
    if constexpr (!kForEncoder) {
        if (filled < step_bytes()) return;
        series_step();
        filled = 0;
    }
}

// "at=0 data=AACAPwAAAEA="; nullptr when it has been answered, or what is wrong with it.
const char* put(Cursor in, char* line) {
    uint64_t at;
    if (!in.take("at=") || !parse_number(&in, UINT64_MAX, &at)) return "bad_number";
    if (!in.take(" data=")) return "bad_request";
    char* bytes = line + (in.next - line);
    const int32_t decoded = base64_decode(in, bytes);
    if (decoded <= 0) return "bad_data";
    const size_t count = static_cast<size_t>(decoded);
    const bool again = is_open && position >= count && at == position - count;
    if (at == 0) begin_series();
    if (at == 0 || !again) {
        if (!is_open || at != position) {
            print_fact("position", position);
            return "out_of_order";
        }
        if (count > step_bytes() - filled) return "too_many_bytes";
        if constexpr (!kForEncoder) series_forget_outputs();
        store(bytes, count);
        position += count;
        run_if_complete();
    }
    if constexpr (!kForEncoder) {
        if (filled == 0) {
            series_report();
            return nullptr;
        }
    }
    console_done();
    return nullptr;
}

// "output=0 at=0 bytes=8"; the same.
const char* get([[maybe_unused]] Cursor in) {
    if constexpr (kForEncoder) return "no_outputs";  // its answers are tokens
    uint64_t output;
    uint64_t at;
    uint64_t bytes;
    if (!in.take("output=") || !parse_number(&in, INT32_MAX, &output) || !in.take(" at=") ||
        !parse_number(&in, SIZE_MAX, &at) || !in.take(" bytes=") || !parse_number(&in, SIZE_MAX, &bytes) ||
        !in.done()) {
        return "bad_number";
    }
    if constexpr (!kForEncoder) {
        if (!series_has_outputs()) return "no_outputs";
    }
    if (output >= static_cast<uint64_t>(model::kOutputCount)) return "no_such_bytes";
    const model::Tensor& tensor = model::kOutputs[output];
    if (at > tensor.bytes || bytes > tensor.bytes - at) return "no_such_bytes";
    print_text("@mcu data=");
    print_base64(static_cast<const uint8_t*>(tensor.data) + at, static_cast<size_t>(bytes));
    print_text("\n");
    console_done();
    return nullptr;
}

}  // namespace

bool tensor_transfer_take(char* line, int32_t bytes) {
    Cursor in = {line, line + bytes};
    const bool is_put = in.take("@put ");
    if (!is_put && !in.take("@get ")) return false;
    const Crc crc = check_crc(line, bytes);
    if (crc == Crc::kRight) in.end -= kCrcBytes;
    uint64_t number = 0;
    const bool good = !in.take("request=") || (parse_number(&in, UINT32_MAX, &number) && in.take(' '));
    const char* error = nullptr;
    if (crc == Crc::kWrong || (crc == Crc::kNone && number != 0)) {
        error = "bad_crc";
    } else {
        answer_start(static_cast<uint32_t>(number));
        error = !good ? "bad_number" : is_put ? put(in, line) : get(in);
    }
    if (error != nullptr) console_fail(error);
    return true;
}

void tensor_transfer_forget() {
    is_open = false;
    position = 0;
}

bool tensor_transfer_is_complete() { return is_open && filled == step_bytes(); }
