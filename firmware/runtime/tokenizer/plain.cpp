// Text that is encoded as it is.
#include "runtime/tokenizer/encode.h"

namespace mcu_tokenizing {

int32_t open_plain(Encoder& /*encoder*/, Piece* /*piece*/) { return 0; }

}  // namespace mcu_tokenizing
