// What `tune` measured on earlier runs comes from a file that Python reads, when a device is first
// asked for a plan.
#pragma once

namespace sparse_gemm::bindings {

// Call it with the interpreter's lock held; all but the first call for a device cost one load.
void load_tuned_choices(int device);

}  // namespace sparse_gemm::bindings
