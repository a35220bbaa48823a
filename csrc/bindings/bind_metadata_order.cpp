// Python's view of the metadata orders: plain functions on integers.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "format/metadata_order.h"

namespace py = pybind11;

namespace sparse_gemm::bindings {
namespace {

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

void require_below(const char* name, int64_t value, int64_t end) {
  require(0 <= value && value < end, std::string(name) + " is " + std::to_string(value) +
                                         "; expected 0 to " + std::to_string(end - 1));
}

const format::MetadataInstruction& find(const std::string& name) {
  const format::MetadataInstruction* instruction = format::find_metadata_instruction(name);
  if (instruction != nullptr) return *instruction;
  std::string known;
  for (const format::MetadataInstruction& each : format::kMetadataInstructions) {
    known.append(known.empty() ? "" : ", ").append(each.name);
  }
  throw std::invalid_argument("instruction is '" + name + "'; expected one of " + known);
}

py::list metadata_instructions() {
  py::list instructions;
  for (const format::MetadataInstruction& each : format::kMetadataInstructions) {
    py::dict fields;
    fields["name"] = std::string(each.name);
    fields["types"] = std::string(each.types);
    fields["rows"] = each.order.rows;
    fields["k"] = each.k;
    fields["group_size"] = each.group_size;
    fields["num_groups"] = each.order.num_groups;
    fields["num_lanes"] = each.order.num_lanes();
    fields["num_selectors"] = each.order.num_selectors();
    instructions.append(fields);
  }
  return instructions;
}

std::pair<int64_t, int> metadata_canonical_position(int64_t num_groups, int64_t row,
                                                    int64_t group) {
  require(row >= 0, "row is " + std::to_string(row) + "; expected at least 0");
  require_below("group", group, num_groups);
  const format::ByteNibble at = format::canonical_position(num_groups, {row, group});
  return {at.byte, at.nibble};
}

std::pair<int64_t, int64_t> metadata_canonical_group(int64_t num_groups, int64_t byte, int nibble) {
  require(num_groups >= 1, "num_groups is " + std::to_string(num_groups) + "; expected at least 1");
  require(byte >= 0, "byte is " + std::to_string(byte) + "; expected at least 0");
  require_below("nibble", nibble, 2);
  const format::RowGroup at = format::canonical_group(num_groups, {byte, nibble});
  return {at.row, at.group};
}

std::pair<int, int> metadata_lane_bit(const std::string& name, int selector, int row, int group) {
  const format::LaneOrder order = find(name).order;
  require_below("selector", selector, order.num_selectors());
  require_below("row", row, order.rows);
  require_below("group", group, order.num_groups);
  const format::LaneBit at = format::lane_bit(order, selector, {row, group});
  return {at.lane, at.bit};
}

std::pair<int64_t, int64_t> metadata_row_group(const std::string& name, int selector, int lane,
                                               int bit) {
  const format::LaneOrder order = find(name).order;
  require_below("selector", selector, order.num_selectors());
  require_below("lane", lane, order.rows / format::kRowsPerWarp * format::kLanesPerWarp);
  require_below("bit", bit, format::kNibblesPerRegister * format::kBitsPerNibble);
  require(lane % format::kLanesPerQuad / order.lanes_per_quad() == selector,
          "lane " + std::to_string(lane) + " supplies no metadata with selector " +
              std::to_string(selector) + " of " + name);
  const format::RowGroup at = format::row_group(order, selector, {lane, bit});
  return {at.row, at.group};
}

int64_t cutlass_sm80_offset(int word_bits, int64_t num_rows, int64_t row, int64_t column) {
  require(word_bits == 16 || word_bits == 32,
          "word_bits is " + std::to_string(word_bits) + "; expected 16 or 32");
  const int64_t block_rows = format::cutlass_sm80_block_rows(word_bits);
  require(num_rows % block_rows == 0, "num_rows is " + std::to_string(num_rows) +
                                          "; expected a multiple of " + std::to_string(block_rows));
  require_below("row", row, num_rows);
  require(column >= 0, "column is " + std::to_string(column) + "; expected at least 0");
  return format::cutlass_sm80_offset(word_bits, num_rows, {row, column});
}

std::pair<int64_t, int64_t> cutlass_sm80_word(int word_bits, int64_t num_rows, int64_t offset) {
  require(word_bits == 16 || word_bits == 32,
          "word_bits is " + std::to_string(word_bits) + "; expected 16 or 32");
  const int64_t block_rows = format::cutlass_sm80_block_rows(word_bits);
  require(num_rows > 0 && num_rows % block_rows == 0, "num_rows is " + std::to_string(num_rows) +
                                                          "; expected a positive multiple of " +
                                                          std::to_string(block_rows));
  require(offset >= 0, "offset is " + std::to_string(offset) + "; expected at least 0");
  const format::WordPosition at = format::cutlass_sm80_word(word_bits, num_rows, offset);
  return {at.row, at.column};
}

}  // namespace

void bind_metadata_order(py::module_& m) {
  m.def("metadata_instructions", &metadata_instructions,
        "The instructions whose metadata order is known: a list of dicts.");
  m.def("metadata_canonical_position", &metadata_canonical_position, py::arg("num_groups"),
        py::arg("row"), py::arg("group"), "(row, group) -> (byte, nibble) of canonical metadata.");
  m.def("metadata_canonical_group", &metadata_canonical_group, py::arg("num_groups"),
        py::arg("byte"), py::arg("nibble"),
        "(byte, nibble) of canonical metadata -> (row, group).");
  m.def("metadata_lane_bit", &metadata_lane_bit, py::arg("instruction"), py::arg("selector"),
        py::arg("row"), py::arg("group"), "(row, group) -> (lane, first bit) of an instruction.");
  m.def("metadata_row_group", &metadata_row_group, py::arg("instruction"), py::arg("selector"),
        py::arg("lane"), py::arg("bit"), "(lane, bit) of an instruction -> (row, group).");
  m.def("cutlass_sm80_offset", py::vectorize(&cutlass_sm80_offset), py::arg("word_bits"),
        py::arg("num_rows"), py::arg("row"), py::arg("column"),
        "(row, column) of a metadata word -> its offset in CUTLASS's sm80 order; takes arrays.");
  m.def("cutlass_sm80_word", &cutlass_sm80_word, py::arg("word_bits"), py::arg("num_rows"),
        py::arg("offset"), "Offset of a metadata word in CUTLASS's sm80 order -> (row, column).");
}

}  // namespace sparse_gemm::bindings
