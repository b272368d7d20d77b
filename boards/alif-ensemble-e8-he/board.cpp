// Alif Ensemble E8, the high-efficiency core. Not run on silicon.
#include "platform/cortex_m/board.h"

#include "platform/chips/alif_ensemble.h"

void board_start() { alif::connect_uart(); }
