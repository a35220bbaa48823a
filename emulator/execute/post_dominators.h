// Where the paths of a branch meet again.
#pragma once

#include <span>
#include <vector>

namespace emulator {

// Nodes are the instructions of one function; `successors[i]` lists where control may go after
// instruction i, kFunctionEnd where it may leave the function. Returns for each node its immediate
// post-dominator: the first instruction that every path from there to the end passes; kFunctionEnd
// where that is the end itself or the end cannot be reached.
inline constexpr int kFunctionEnd = -1;
std::vector<int> immediate_post_dominators(std::span<const std::vector<int>> successors);

}  // namespace emulator
