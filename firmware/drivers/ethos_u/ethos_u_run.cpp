// See ethos_u_run.h.
#include "drivers/ethos_u/ethos_u_run.h"

#include "drivers/ethos_u/ethos_u.h"

void ethos_u_run(const uint8_t* commands, int32_t command_bytes, const uint8_t* weights, int32_t weight_bytes,
                 uint8_t* scratch, int32_t scratch_bytes) {
    // The stream (2) and the weights (region 0: 3) lie in the large memory, the scratch (region 1: 0) in the fast one.
    // There are no others: a stream that uses one is refused when the project is made (mcu_sdk/npu/regions.py).
    constexpr uint32_t kRegionPorts = 3u << 0 | 0u << 2;
    constexpr uint32_t kQueuePort = 2;
    // A poll takes at least eight of the NPU's cycles: time for 2^31 of them, seconds to a minute and a half.
    constexpr uint32_t kPolls = 1u << 28;
    ethos_u::clean_cache(commands, uint32_t(command_bytes));
    ethos_u::clean_cache(weights, uint32_t(weight_bytes));
    ethos_u::clean_cache(scratch, uint32_t(scratch_bytes));
    const ethos_u::Job job = {
        commands, uint32_t(command_bytes), {weights, scratch}, 2, kRegionPorts, kQueuePort, kPolls,
    };
    const ethos_u::Outcome outcome = ethos_u::invoke(job);
    ethos_u::invalidate_cache(scratch, uint32_t(scratch_bytes));
    if (outcome.status != ethos_u::Status::kOk) {
        ethos_u_failed(ethos_u::message(outcome.status), outcome.npu_status, outcome.stream_position);
    }
}
