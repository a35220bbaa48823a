// From `.loc` directives to inlining chains.
//
// A `.loc` of inlined code says which function it belongs to (an offset into .debug_str) and where
// that function was inlined: a place for which an earlier `.loc` of the same kernel was written,
// which in turn may be inlined. Following these links gives the chain.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "ptx/module.h"

namespace emulator::ptx {

struct Place {
  int file = 0;
  int line = 0;
  int column = 0;
  auto operator<=>(const Place&) const = default;
};

class LineTable {
 public:
  LineTable();

  // Places said before belong to other functions from here on.
  void begin_function(std::string_view name);

  // Both return the index of the chain. `name_label + name_offset` is where .debug_str names the
  // function that was inlined at `caller`.
  int locate(const Place& place);
  int locate_inlined(const Place& place, std::string_view name_label, int64_t name_offset,
                     const Place& caller);

  // The bytes of .debug_str, and where its labels stand: the section follows the code.
  void append_string_bytes(std::string_view bytes) { strings_ += bytes; }
  void define_label(std::string_view label) { labels_[label] = strings_.size(); }

  // The chains with their functions' names filled in.
  std::vector<Chain> finish() const;

 private:
  struct Step {  // one frame, and the chain of its caller
    Place place;
    std::string_view name_label = {};  // empty: the function is `function`
    int64_t name_offset = 0;
    std::string_view function = {};
    int caller = 0;
    auto operator<=>(const Step&) const = default;
  };

  int add(const Step& step);
  std::string name_of(const Step& step) const;

  std::string_view function_;
  std::vector<Step> steps_;      // a chain is its index; [0] is the empty chain
  std::map<Step, int> known_;    // the same chain is stored once
  std::map<Place, int> latest_;  // of this function: the chain last located at a place
  std::string strings_;
  std::map<std::string_view, size_t> labels_;
};

}  // namespace emulator::ptx
