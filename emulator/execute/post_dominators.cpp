#include "execute/post_dominators.h"

#include <utility>

namespace emulator {
namespace {

// The reversed graph: its root, node `size`, is the function's end.
std::vector<std::vector<int>> reverse(std::span<const std::vector<int>> successors) {
  const int size = static_cast<int>(successors.size());
  std::vector<std::vector<int>> predecessors(size + 1);
  for (int node = 0; node < size; ++node) {
    for (const int next : successors[node]) {
      predecessors[next == kFunctionEnd ? size : next].push_back(node);
    }
  }
  return predecessors;
}

// Nodes in the order in which a depth-first walk from `root` leaves them.
std::vector<int> post_order(const std::vector<std::vector<int>>& edges, int root) {
  std::vector<int> order;
  std::vector<bool> is_visited(edges.size());
  std::vector<std::pair<int, size_t>> path{{root, 0}};
  is_visited[root] = true;
  while (!path.empty()) {
    auto& [node, edge] = path.back();
    if (edge == edges[node].size()) {
      order.push_back(node);
      path.pop_back();
      continue;
    }
    const int next = edges[node][edge++];
    if (is_visited[next]) continue;
    is_visited[next] = true;
    path.emplace_back(next, 0);
  }
  return order;
}

}  // namespace

// The iteration of Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm", on the
// reversed graph.
std::vector<int> immediate_post_dominators(std::span<const std::vector<int>> successors) {
  const int size = static_cast<int>(successors.size());
  const int root = size;
  constexpr int kUnknown = -2;
  const std::vector<int> order = post_order(reverse(successors), root);
  std::vector<int> rank(size + 1, kUnknown);  // in `order`; kUnknown: does not reach the end
  for (int i = 0; i <= size; ++i) {
    if (i < static_cast<int>(order.size())) rank[order[i]] = i;
  }
  std::vector<int> dominator(size + 1, kUnknown);
  dominator[root] = root;
  const auto meet = [&](int a, int b) {
    while (a != b) {
      while (rank[a] < rank[b]) a = dominator[a];
      while (rank[b] < rank[a]) b = dominator[b];
    }
    return a;
  };
  for (bool is_changed = true; is_changed;) {
    is_changed = false;
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      if (*it == root) continue;
      int common = kUnknown;
      for (const int next : successors[*it]) {
        const int node = next == kFunctionEnd ? root : next;
        if (dominator[node] == kUnknown) continue;
        common = common == kUnknown ? node : meet(common, node);
      }
      if (common == dominator[*it]) continue;
      dominator[*it] = common;
      is_changed = true;
    }
  }
  dominator.pop_back();
  for (int& node : dominator) {
    if (node == kUnknown || node == root) node = kFunctionEnd;
  }
  return dominator;
}

}  // namespace emulator
