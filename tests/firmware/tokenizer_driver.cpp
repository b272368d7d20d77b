// Answers requests on stdin, so that tests can run the device's tokenizer under sanitizers. Buffers have exactly the size
// that is promised.
//
// Request: int32 bytes, int32 capacity, text. Answer: int32 result, then that many int32 ids.
// With bytes -1: decode the id that is in the place of the capacity; the answer's items are raw bytes.
// With bytes -2: int32 sizes of one text and of the second (-1: none), both texts. Answer: result, int32 dropped, ids, types.
#include <stdio.h>
#include <stdlib.h>

#include "runtime/tokenizer.h"

static bool read_exactly(void* to, size_t bytes) { return bytes == 0 || fread(to, bytes, 1, stdin) == 1; }

static int32_t* ids_of(int32_t count) {
    return static_cast<int32_t*>(malloc(static_cast<size_t>(count) * sizeof(int32_t)));
}

static void write_ids(const int32_t* ids, int32_t count) {
    if (count > 0) fwrite(ids, sizeof(int32_t), static_cast<size_t>(count), stdout);
}

static void decode(int32_t id) {
    const uint8_t* bytes = nullptr;
    const int32_t count = mcu_tokenizer_decode(id, &bytes);
    fwrite(&count, sizeof count, 1, stdout);
    if (count > 0) fwrite(bytes, 1, static_cast<size_t>(count), stdout);
}

static bool encode(int32_t bytes, int32_t capacity) {
    char* text = static_cast<char*>(malloc(static_cast<size_t>(bytes)));
    int32_t* ids = ids_of(capacity);
    if (!read_exactly(text, static_cast<size_t>(bytes))) return false;
    const int32_t count = mcu_tokenizer_encode(text, bytes, ids, capacity);
    fwrite(&count, sizeof count, 1, stdout);
    write_ids(ids, count);
    free(text);
    free(ids);
    return true;
}

static bool encode_texts(int32_t capacity) {
    int32_t sizes[2];
    if (!read_exactly(sizes, sizeof sizes)) return false;
    const size_t second = sizes[1] < 0 ? 0 : static_cast<size_t>(sizes[1]);
    char* text = static_cast<char*>(malloc(static_cast<size_t>(sizes[0])));
    char* pair = static_cast<char*>(malloc(second));
    if (!read_exactly(text, static_cast<size_t>(sizes[0])) || !read_exactly(pair, second)) return false;
    int32_t* ids = ids_of(capacity);
    int32_t* types = ids_of(capacity);
    const mcu_text none = {nullptr, 0};
    const mcu_encoded found = mcu_tokenizer_encode_texts({text, sizes[0]}, sizes[1] < 0 ? none : mcu_text{pair, sizes[1]},
                                                         ids, types, capacity);
    fwrite(&found, sizeof found, 1, stdout);
    write_ids(ids, found.count);
    write_ids(types, found.count);
    free(text);
    free(pair);
    free(ids);
    free(types);
    return true;
}

int main() {
    int32_t request[2];
    while (read_exactly(request, sizeof request)) {
        if (request[0] == -1) {
            decode(request[1]);
        } else if (!(request[0] == -2 ? encode_texts(request[1]) : encode(request[0], request[1]))) {
            return 1;
        }
        fflush(stdout);
    }
    return 0;
}
