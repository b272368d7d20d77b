// What ExecuTorch's runtime refused ends the answer with a verdict, and the program.
#include "executor/method.h"
#include "platform/platform.h"
#include "runtime/console.h"
#include "runtime/print.h"

void executor_failed(const char* reason, const char* what, uint32_t error) {
    print_text("\n@mcu executorch_error=0x");
    print_hex(error, 2);
    print_text(" executorch_in=");
    print_text(what);
    print_text("\n");
    console_fail(reason);
    platform_exit(1);
}
