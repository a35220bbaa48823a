// `linear` on torch tensors in the CPU's memory: the plain call, without Python in between.
//
// On a 64x64 layer the product takes half a microsecond, and so do ten lines of Python. What is no
// plain call gets None, and takes the way through torch_glue/shortcut.py, which has the same rules.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "bindings/bindings.h"
#include "bindings/dlpack.h"
#include "bindings/gemm_arguments.h"
#include "bindings/unlocked.h"
#include "cpu/cpu_props.h"
#include "gemm.h"

namespace py = pybind11;

namespace sparse_gemm::bindings {
namespace {

// What `use_torch` was given: for the life of the process, as extension modules are.
struct Torch {
  const dlpack::ExchangeApi* api = nullptr;  // null: no call is plain
  PyObject* tensor_type = nullptr;
  PyObject* parameter_type = nullptr;
  PyObject* matrix_type = nullptr;
  PyObject* is_grad_enabled = nullptr;
  PyObject* get_num_threads = nullptr;
  PyObject* activations = nullptr;             // name -> number
  std::array<PyObject*, kNumDTypes> dtypes{};  // by DType; null where torch's are not for x or y
  uint32_t types_of_x[kNumPatterns][kNumDTypes]{};  // for a matrix: DTypes as bits
};
Torch torch;

PyObject* name_of_attribute(const char* name) {
  return PyUnicode_InternFromString(name);
}

// Attributes are asked for by interned names.
struct Names {
  PyObject* shape = name_of_attribute("shape");
  PyObject* cuda = name_of_attribute("_cuda");
  PyObject* values = name_of_attribute("_values");
  PyObject* metadata = name_of_attribute("_metadata");
  PyObject* dtype_number = name_of_attribute("_dtype_number");
  PyObject* pattern_number = name_of_attribute("_pattern_number");
  PyObject* row_scale = name_of_attribute("_row_scale");
  PyObject* group_scales = name_of_attribute("_group_scales");
  PyObject* group_size = name_of_attribute("group_size");
  PyObject* is_neg = name_of_attribute("is_neg");
  PyObject* requires_grad = name_of_attribute("requires_grad");
  PyObject* new_empty = name_of_attribute("new_empty");
  py::object with_dtype = py::make_tuple("dtype");
};
const Names& names() {
  static const Names* const interned = new Names;
  return *interned;
}

py::object attribute(PyObject* object, PyObject* name) {
  PyObject* value = PyObject_GetAttr(object, name);
  if (value == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(value);
}
int64_t number(PyObject* object) {
  const int64_t value = PyLong_AsLongLong(object);
  if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
  return value;
}
int64_t number(PyObject* object, PyObject* name) {
  return number(attribute(object, name).ptr());
}
py::object called(PyObject* function) {
  PyObject* value = PyObject_CallNoArgs(function);
  if (value == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(value);
}

std::optional<DType> dtype_of(const dlpack::Tensor& tensor) {
  if (tensor.type_lanes != 1) return std::nullopt;
  if (tensor.type_code == dlpack::kFloat && tensor.type_bits == 32) return DType::kFloat32;
  if (tensor.type_code == dlpack::kFloat && tensor.type_bits == 16) return DType::kFloat16;
  if (tensor.type_code == dlpack::kBfloat && tensor.type_bits == 16) return DType::kBFloat16;
  if (tensor.type_code == dlpack::kInt && tensor.type_bits == 8) return DType::kInt8;
  return std::nullopt;
}

bool is_float(DType type) {
  return type == DType::kFloat32 || type == DType::kFloat16 || type == DType::kBFloat16;
}

// A tensor of torch's own in the CPU's memory, one element after another.
struct View {
  dlpack::Tensor tensor;

  std::span<const int64_t> shape() const {
    return {tensor.shape, static_cast<size_t>(tensor.ndim)};
  }
  int64_t size() const {
    int64_t size = 1;
    for (const int64_t extent : shape()) size *= extent;
    return size;
  }
  char* data() const { return static_cast<char*>(tensor.data) + tensor.byte_offset; }

  static std::optional<View> of(PyObject* object) {
    View view;
    if (torch.api->view(object, &view.tensor) != 0) {  // sparse, nested, without memory at all
      PyErr_Clear();
      return std::nullopt;
    }
    const bool is_here = view.tensor.device_type == dlpack::kCpu && view.is_contiguous() &&
                         (view.tensor.data != nullptr || view.size() == 0);
    return is_here ? std::optional(view) : std::nullopt;
  }

 private:
  bool is_contiguous() const {
    if (tensor.strides == nullptr || size() == 0) return true;
    int64_t expected = 1;
    for (int32_t i = tensor.ndim - 1; i >= 0; --i) {
      if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
      expected *= tensor.shape[i];
    }
    return true;
  }
};

// Of x, a bias or a scale: neither another's negative by flag alone, nor with gradients to record.
std::optional<View> plain(PyObject* object, bool records_gradients) {
  PyObject* type = reinterpret_cast<PyObject*>(Py_TYPE(object));
  if (type != torch.tensor_type && type != torch.parameter_type) return std::nullopt;
  PyObject* self[] = {object};
  const auto is_neg = py::reinterpret_steal<py::object>(
      PyObject_VectorcallMethod(names().is_neg, self, 1, nullptr));
  if (is_neg.ptr() == nullptr) throw py::error_already_set();
  if (is_neg.ptr() != Py_False) return std::nullopt;
  if (records_gradients && attribute(object, names().requires_grad).ptr() != Py_False) {
    return std::nullopt;
  }
  return View::of(object);
}

// A call as it is made up, and what must outlive it.
struct Call {
  PyObject* x;
  PyObject* a;
  bool records_gradients = false;
  Problem problem = {};
  std::span<const int64_t> tokens = {};  // x's leading dimensions
  DType x_dtype = DType::kFloat32;
  DType y_dtype = DType::kFloat32;
};

// Fills in A, which must be a matrix in canonical order in the CPU's memory.
bool take_matrix(Call* call) {
  if (reinterpret_cast<PyObject*>(Py_TYPE(call->a)) != torch.matrix_type) return false;
  const py::object shape = attribute(call->a, names().shape);
  if (!PyTuple_CheckExact(shape.ptr()) || PyTuple_GET_SIZE(shape.ptr()) != 2) return false;
  constexpr int64_t kOnCpu = -1;
  if (number(call->a, names().cuda) != kOnCpu) return false;
  call->problem.m = number(PyTuple_GET_ITEM(shape.ptr(), 0));
  call->problem.k = number(PyTuple_GET_ITEM(shape.ptr(), 1));
  const py::object values = attribute(call->a, names().values);
  const py::object metadata = attribute(call->a, names().metadata);
  if (reinterpret_cast<PyObject*>(Py_TYPE(values.ptr())) != torch.tensor_type) return false;
  const std::optional<View> stored_values = View::of(values.ptr());
  const std::optional<View> stored_metadata = View::of(metadata.ptr());
  if (!stored_values || !stored_metadata) return false;
  SparseOperand& a = call->problem.a;
  a.values = stored_values->data();
  a.metadata = reinterpret_cast<const uint8_t*>(stored_metadata->data());
  a.dtype = bindings::dtype_of(number(call->a, names().dtype_number));
  a.pattern = enum_of<Pattern>(number(call->a, names().pattern_number), kNumPatterns);
  const py::object scales = attribute(call->a, names().group_scales);
  if (scales.is_none()) return true;
  const std::optional<View> view = View::of(scales.ptr());
  const std::optional<DType> type = view ? dtype_of(view->tensor) : std::nullopt;
  if (!type || !is_float(*type)) return false;
  a.group_scales = view->data();
  a.group_scale_dtype = *type;
  a.group_size = static_cast<int>(number(call->a, names().group_size));
  return true;
}

bool take_activations(Call* call) {
  const std::optional<View> x = plain(call->x, call->records_gradients);
  const std::optional<DType> type = x ? dtype_of(x->tensor) : std::nullopt;
  Problem& problem = call->problem;
  if (!type || x->shape().empty() || x->shape().back() != problem.k) return false;
  const uint32_t types =
      torch.types_of_x[static_cast<int>(problem.a.pattern)][static_cast<int>(problem.a.dtype)];
  if ((types >> static_cast<int>(*type) & 1) == 0) return false;
  if (*type == DType::kInt8 && problem.a.group_scales != nullptr) return false;
  call->tokens = x->shape().first(x->shape().size() - 1);
  call->x_dtype = *type;
  problem.n = 1;
  for (const int64_t extent : call->tokens) problem.n *= extent;
  problem.b = {x->data(), *type, 1, problem.k, 0};
  return true;
}

bool take_bias(PyObject* bias, Call* call) {
  if (bias == Py_None) return true;
  const std::optional<View> view = plain(bias, call->records_gradients);
  const std::optional<DType> type = view ? dtype_of(view->tensor) : std::nullopt;
  if (!type || !is_float(*type)) return false;
  if (view->shape().size() != 1 || view->shape()[0] != call->problem.m) return false;
  call->problem.epilogue.bias = {view->data(), *type, 1};
  return true;
}

// Factors along `shape`, or one for all.
bool take_scale(PyObject* scale, std::span<const int64_t> shape, const Call& call,
                VectorOperand* out) {
  if (scale == Py_None) return true;
  const std::optional<View> view = plain(scale, call.records_gradients);
  if (!view || dtype_of(view->tensor) != DType::kFloat32) return false;
  *out = {view->data(), DType::kFloat32, view->size() == 1 ? 0 : 1};
  if (view->size() == 1) return true;
  std::span<const int64_t> found = view->shape();
  if (found.size() == shape.size() + 1 && found.back() == 1) found = found.first(shape.size());
  return std::ranges::equal(found, shape);
}

bool take_activation(PyObject* activation, Epilogue* epilogue) {
  if (activation == Py_None) return true;
  if (!PyUnicode_CheckExact(activation)) return false;
  PyObject* value = PyDict_GetItemWithError(torch.activations, activation);
  if (value == nullptr) return false;
  epilogue->activation = enum_of<Activation>(number(value), kNumActivations);
  return true;
}

// `is_exact`: a sum of integers, to which nothing is done.
bool take_result_type(PyObject* out_dtype, bool is_exact, Call* call) {
  const bool is_integer = call->x_dtype == DType::kInt8;
  if (out_dtype == Py_None) {
    call->y_dtype = !is_integer ? call->x_dtype : is_exact ? DType::kInt32 : DType::kFloat32;
    return true;
  }
  const auto found = std::ranges::find(torch.dtypes, out_dtype);
  if (found == torch.dtypes.end()) return false;
  call->y_dtype = static_cast<DType>(found - torch.dtypes.begin());
  return call->y_dtype != DType::kInt32 || (is_integer && is_exact);
}

// x.new_empty(*tokens, M, dtype=...)
py::object new_result(const Call& call) {
  constexpr size_t kMost = 16;
  if (call.tokens.size() + 3 > kMost) return py::none();
  std::array<py::object, kMost> owners;
  std::array<PyObject*, kMost> arguments{};
  size_t count = 0;
  arguments[count++] = call.x;
  const auto add = [&](int64_t extent) {
    owners[count] = py::int_(extent);
    arguments[count] = owners[count].ptr();
    ++count;
  };
  for (const int64_t extent : call.tokens) add(extent);
  add(call.problem.m);
  const bool is_other = call.y_dtype != call.x_dtype;
  if (is_other) arguments[count] = torch.dtypes[static_cast<size_t>(call.y_dtype)];
  PyObject* y = PyObject_VectorcallMethod(names().new_empty, arguments.data(), count,
                                          is_other ? names().with_dtype.ptr() : nullptr);
  if (y == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(y);
}

// (x, a, bias, activation, w_scale, x_scale, out_dtype) -> y, or None.
py::object linear(PyObject* const* arguments, Py_ssize_t count) {
  if (count != 7) throw py::type_error("torch_linear takes 7 arguments");
  if (torch.api == nullptr) return py::none();
  const auto [bias, activation, out_dtype] = std::array{arguments[2], arguments[3], arguments[6]};
  Call call{.x = arguments[0], .a = arguments[1]};
  Problem& problem = call.problem;
  Epilogue& epilogue = problem.epilogue;
  call.records_gradients = called(torch.is_grad_enabled).ptr() != Py_False;
  if (!take_matrix(&call) || !take_activations(&call)) return py::none();
  py::object w_scale = py::reinterpret_borrow<py::object>(arguments[4]);
  if (w_scale.is_none()) w_scale = attribute(call.a, names().row_scale);
  const bool is_exact =
      bias == Py_None && activation == Py_None && w_scale.is_none() && arguments[5] == Py_None;
  if (!take_result_type(out_dtype, is_exact, &call) || !take_bias(bias, &call) ||
      !take_activation(activation, &epilogue) ||
      !take_scale(w_scale.ptr(), {&problem.m, 1}, call, &epilogue.scale_m) ||
      !take_scale(arguments[5], call.tokens, call, &epilogue.scale_n)) {
    return py::none();
  }
  py::object y = new_result(call);
  const std::optional<View> result = y.is_none() ? std::nullopt : View::of(y.ptr());
  if (!result) return py::none();
  problem.d = {result->data(), call.y_dtype, 1, problem.m, 0};
  const int64_t threads =
      std::clamp<int64_t>(number(called(torch.get_num_threads).ptr()), 1, kMaxThreads);
  run_unlocked([&] { return run_gemm(problem, cpu::current_props(static_cast<int>(threads))); });
  return y;
}

PyMethodDef linear_method = fastcall_method<linear>(
    "torch_linear", "y of a plain call of `linear` on torch tensors, or None.");

// From then on `torch_linear` takes calls, if the exchange API is of a version known here.
void use_torch(const py::capsule& exchange_api, py::type tensor, py::type parameter,
               py::type matrix, py::function is_grad_enabled, py::function get_num_threads,
               py::dict activations, const py::dict& dtypes, const py::dict& types_of_x) {
  const auto* api = static_cast<const dlpack::ExchangeApi*>(
      PyCapsule_GetPointer(exchange_api.ptr(), dlpack::kCapsuleName));
  if (api == nullptr) throw py::error_already_set();
  if (api->header.major != dlpack::kMajorVersion || api->view == nullptr) return;
  for (const auto& [dtype, code] : dtypes) {
    torch.dtypes[static_cast<size_t>(bindings::dtype_of(code.cast<int64_t>()))] =
        dtype.inc_ref().ptr();
  }
  for (const auto& [stored, types] : types_of_x) {
    const auto [pattern, a_dtype] = stored.cast<std::pair<int64_t, int64_t>>();
    uint32_t& bits = torch.types_of_x[static_cast<int>(enum_of<Pattern>(pattern, kNumPatterns))]
                                     [static_cast<int>(bindings::dtype_of(a_dtype))];
    for (const py::handle code : types) bits |= 1u << code.cast<int>();
  }
  torch.tensor_type = tensor.release().ptr();
  torch.parameter_type = parameter.release().ptr();
  torch.matrix_type = matrix.release().ptr();
  torch.is_grad_enabled = is_grad_enabled.release().ptr();
  torch.get_num_threads = get_num_threads.release().ptr();
  torch.activations = activations.release().ptr();
  torch.api = api;
}

}  // namespace

void bind_torch(py::module_& m) {
  m.def("use_torch", &use_torch);
  m.attr("torch_linear") =
      py::reinterpret_steal<py::object>(PyCFunction_New(&linear_method, nullptr));
}

}  // namespace sparse_gemm::bindings
