// An NPU that fails ends the answer with a verdict, and the program.
#include "drivers/ethos_u/ethos_u_run.h"
#include "platform/platform.h"
#include "runtime/console.h"

void ethos_u_failed(const char* reason) {
    console_fail(reason);
    platform_exit(1);
}
