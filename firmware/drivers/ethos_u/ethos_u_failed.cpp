// An NPU that fails ends the answer with a verdict, and the program.
#include "drivers/ethos_u/ethos_u_run.h"
#include "platform/platform.h"
#include "runtime/console.h"
#include "runtime/print.h"

void ethos_u_failed(const char* reason, uint32_t npu_status, uint32_t stream_position) {
    print_text("\n@mcu npu_status=0x");
    print_hex(npu_status, 8);
    print_text(" npu_position=");
    print_unsigned(stream_position);
    print_text("\n");
    console_fail(reason);
    platform_exit(1);
}
