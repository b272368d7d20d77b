// Text that NFC leaves as it is; other text is refused.
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

int32_t open_nfc(Encoder& /*encoder*/, Piece* piece) {
    uint32_t last_class = 0;
    for (int32_t i = piece->begin; i < piece->end;) {
        const Decoded decoded = decode_utf8(piece->text + i, piece->end - i);
        i += decoded.bytes;
        if (contains(nfc.nfc_unsafe, decoded.code)) return kNotEncodable;
        const uint32_t combining = combining_class(nfc.combining, decoded.code);
        if (combining != 0 && combining < last_class) return kNotEncodable;
        last_class = combining;
    }
    return 0;
}

}  // namespace mcu_tokenizing
