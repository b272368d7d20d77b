// The build id as the linker script places it.
#include "platform/build_id.h"

extern "C" const uint8_t __build_id_note[];  // an ELF note: three words, "GNU" with its zero, and the id

const uint8_t* build_id() { return __build_id_note + 16; }
