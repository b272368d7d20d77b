// Answers encode and decode requests on stdin, so that tests can run the device's tokenizer under sanitizers.
// Request: int32 bytes, int32 capacity, text. With bytes -1: decode the id that is in the place of the capacity.
// Answer: int32 result, then that many int32 ids (or raw bytes). Buffers have exactly the size that is promised.
#include <stdio.h>
#include <stdlib.h>

#include "runtime/tokenizer.h"

static bool read_exactly(void* to, size_t bytes) { return bytes == 0 || fread(to, bytes, 1, stdin) == 1; }

int main() {
    int32_t request[2];
    while (read_exactly(request, sizeof request)) {
        const int32_t capacity = request[1];
        if (request[0] == -1) {
            const uint8_t* bytes = nullptr;
            const int32_t count = mcu_tokenizer_decode(capacity, &bytes);
            fwrite(&count, sizeof count, 1, stdout);
            if (count > 0) fwrite(bytes, 1, static_cast<size_t>(count), stdout);
        } else {
            const size_t length = static_cast<size_t>(request[0]);
            char* text = static_cast<char*>(malloc(length));
            int32_t* ids = static_cast<int32_t*>(malloc(static_cast<size_t>(capacity) * sizeof(int32_t)));
            if (!read_exactly(text, length)) return 1;
            const int32_t count = mcu_tokenizer_encode(text, request[0], ids, capacity);
            fwrite(&count, sizeof count, 1, stdout);
            if (count > 0) fwrite(ids, sizeof(int32_t), static_cast<size_t>(count), stdout);
            free(text);
            free(ids);
        }
        fflush(stdout);
    }
    return 0;
}
