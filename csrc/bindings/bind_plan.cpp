// Plans, as Python sees them: what would run for a problem, on this machine or on a device that is
// made up; what could run; what is forced, and what was tuned.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/gemm_arguments.h"
#include "bindings/status.h"
#include "bindings/tuned_choices.h"
#include "core/choose_plan.h"
#include "core/cost_model.h"
#include "core/dispatch.h"
#include "core/planner.h"
#include "core/validate.h"
#include "cuda/runtime/runtime.h"
#include "gemm.h"

namespace py = pybind11;

namespace sparse_gemm::bindings {
namespace {

// ------------------------------------------------------------------------------------------- cpu

Plan cpu_plan(int64_t m, int64_t n, int64_t k, DType a_dtype, DType b_dtype, Pattern pattern,
              DType d_dtype, Isa isa, int num_threads, bool intel_core) {
  Problem problem;
  problem.m = m;
  problem.n = n;
  problem.k = k;
  problem.a.dtype = a_dtype;
  problem.a.pattern = pattern;
  problem.b.dtype = b_dtype;
  problem.b.row_stride = 1;
  problem.d.dtype = d_dtype;
  Plan result;
  raise_if_error(plan_gemm(problem, {isa, num_threads, intel_core}, &result));
  return result;
}

void bind_cpu_plan(py::module_& m) {
  py::class_<Plan>(m, "Plan")
      .def_property_readonly("kernel", [](const Plan& p) { return p.config->name; })
      .def_property_readonly("why", [](const Plan& p) { return p.config->why; })
      .def_readonly("tile_m", &Plan::tile_m)
      .def_readonly("tile_n", &Plan::tile_n)
      .def_readonly("k_tile", &Plan::k_tile)
      .def_readonly("panel_vectors", &Plan::panel_vectors)
      .def_readonly("num_spans", &Plan::num_spans)
      .def_readonly("num_tasks", &Plan::num_tasks)
      .def_readonly("num_threads", &Plan::num_threads)
      .def_readonly("workspace_bytes", &Plan::workspace_bytes)
      .def_readonly("a_bytes", &Plan::a_bytes)
      .def_readonly("multiply_adds", &Plan::multiply_adds);
  using py::literals::operator""_a;
  m.def("plan", &cpu_plan, "m"_a, "n"_a, "k"_a, "a_dtype"_a, "b_dtype"_a, "pattern"_a, "d_dtype"_a,
        "isa"_a, "num_threads"_a, "intel_core"_a = false, py::pos_only());
}

// ---------------------------------------------------------------------------------------- devices

CudaProps device(int index) {
  const CudaProps* props = nullptr;
  raise_if_error(cuda::device_props(index, &props));
  return *props;
}

CudaProps make_props(std::string name, std::pair<int, int> capability, int sm_count,
                     int64_t shared_memory_per_block, int64_t shared_memory_per_sm,
                     int64_t l2_bytes, int64_t memory_bytes, int max_threads_per_sm,
                     int64_t clock_khz, int64_t memory_bytes_per_second, int driver_version,
                     int runtime_version, bool emulated) {
  return {std::move(name),
          capability.first,
          capability.second,
          sm_count,
          shared_memory_per_block,
          shared_memory_per_sm,
          l2_bytes,
          memory_bytes,
          max_threads_per_sm,
          clock_khz,
          memory_bytes_per_second,
          driver_version,
          runtime_version,
          emulated};
}

void bind_props(py::module_& m) {
  using py::arg;
  // The defaults are an A100's; rates of 0 are those of the capability.
  py::class_<CudaProps>(m, "CudaProps")
      .def(py::init(&make_props), py::kw_only(), arg("name") = "made up",
           arg("capability") = std::pair(8, 0), arg("sm_count") = 108,
           arg("shared_memory_per_block") = 163 << 10, arg("shared_memory_per_sm") = 164 << 10,
           arg("l2_bytes") = 40 << 20, arg("memory_bytes") = int64_t{80} << 30,
           arg("max_threads_per_sm") = 2048, arg("clock_khz") = 0,
           arg("memory_bytes_per_second") = 0, arg("driver_version") = 0,
           arg("runtime_version") = 0, arg("emulated") = false)
      .def_readonly("name", &CudaProps::name)
      .def_property_readonly(
          "capability",
          [](const CudaProps& p) { return std::pair(p.capability_major, p.capability_minor); })
      .def_readonly("sm_count", &CudaProps::sm_count)
      .def_readonly("shared_memory_per_block", &CudaProps::shared_memory_per_block)
      .def_readonly("shared_memory_per_sm", &CudaProps::shared_memory_per_sm)
      .def_readonly("l2_bytes", &CudaProps::l2_bytes)
      .def_readonly("memory_bytes", &CudaProps::memory_bytes)
      .def_readonly("max_threads_per_sm", &CudaProps::max_threads_per_sm)
      .def_readonly("clock_khz", &CudaProps::clock_khz)
      .def_readonly("memory_bytes_per_second", &CudaProps::memory_bytes_per_second)
      .def_readonly("driver_version", &CudaProps::driver_version)
      .def_readonly("runtime_version", &CudaProps::runtime_version)
      .def_readonly("emulated", &CudaProps::emulated);
  m.def("cuda_device", &device);
}

// ------------------------------------------------------------------------------------------- cuda

// A device of this machine, or one that is made up.
using Device = std::variant<int, CudaProps>;

// With operands that begin where an allocator puts them, K of the dense one contiguous.
Problem cuda_problem(int64_t m, int64_t n, int64_t k, DType a_dtype, DType b_dtype, Pattern pattern,
                     DType d_dtype, int64_t batch, int group_size, bool accumulate_in_f16) {
  Problem problem;
  problem.m = m;
  problem.n = n;
  problem.k = k;
  problem.batch = batch;
  problem.accumulate_in_f16 = accumulate_in_f16;
  problem.a.dtype = a_dtype;
  problem.a.pattern = pattern;
  problem.a.group_size = group_size;
  problem.a.is_batched = batch > 1;
  problem.b.dtype = b_dtype;
  problem.b.row_stride = 1;
  problem.b.col_stride = b_dtype == DType::kInt4x2 ? ceil_div(k, 2) : k;
  problem.b.batch_stride = n * problem.b.col_stride;
  problem.d.dtype = d_dtype;
  return problem;
}

template <typename... Args>
CudaPlan cuda_plan(const Device& where, Args... args) {
  const Problem problem = cuda_problem(args...);
  CudaPlan result;
  if (const int* index = std::get_if<int>(&where)) {
    load_tuned_choices(*index);
    raise_if_error(plan_gemm(problem, *index, &result));
  } else {
    raise_if_error(plan_gemm(problem, std::get<CudaProps>(where), &result));
  }
  return result;
}

template <typename... Args>
std::vector<CudaPlan> cuda_candidates(const Device& where, Args... args) {
  const Problem problem = cuda_problem(args...);
  const int* index = std::get_if<int>(&where);
  const CudaProps props = index != nullptr ? device(*index) : std::get<CudaProps>(where);
  Multiply multiply;
  raise_if_error(validate(problem));
  raise_if_error(find_multiply(problem, props, &multiply));
  return candidate_plans(problem, multiply, props, sparse_gemm::cuda_kernels());
}

py::dict bounds_of(const CudaPlan& plan) {
  py::dict bounds;
  for (int i = 0; i < kNumCudaBounds; ++i) {
    bounds[py::str(std::string(kCudaBoundNames[i]))] = plan.cost.main_loop_us[i];
  }
  return bounds;
}

int64_t row_of(const CudaPlan& plan) {
  return plan.kernel - sparse_gemm::cuda_kernels().data();
}

py::list kernel_rows() {
  py::list rows;
  int64_t index = 0;
  for (const CudaKernel& kernel : sparse_gemm::cuda_kernels()) {
    const CudaTile& tile = kernel.config->tile;
    py::dict row;
    row["index"] = index++;
    row["config"] = kernel.config->name;
    row["multiply"] = name_of(kernel.multiply);
    row["b_load"] = name_of(kernel.b_load);
    row["tile_m"] = tile.m;
    row["tile_n"] = tile.n;
    row["warps_m"] = tile.warps_m;
    row["warps_n"] = tile.warps_n;
    row["num_stages"] = tile.num_stages;
    row["warps_k"] = tile.warps_k;
    row["stage_k"] = stage_k_of(kernel);
    row["num_threads"] = tile.num_threads();
    row["ctas_per_sm"] = tile.ctas_per_sm;
    row["shared_bytes"] = kernel.shared_bytes;
    row["slots_per_stage"] = kernel.slots_per_stage;
    row["end_capability"] = std::pair(kernel.end_capability / 10, kernel.end_capability % 10);
    rows.append(row);
  }
  return rows;
}

void bind_kernel(py::class_<CudaPlan>* plan) {
  plan->def_property_readonly("row", &row_of)
      .def_property_readonly("kernel", [](const CudaPlan& p) { return p.kernel->config->name; })
      .def_property_readonly("why", [](const CudaPlan& p) { return p.kernel->config->why; })
      .def_property_readonly("multiply",
                             [](const CudaPlan& p) { return name_of(p.kernel->multiply); })
      .def_property_readonly("b_load", [](const CudaPlan& p) { return name_of(p.kernel->b_load); })
      .def_property_readonly("tile_m", [](const CudaPlan& p) { return p.kernel->config->tile.m; })
      .def_property_readonly("tile_n", [](const CudaPlan& p) { return p.kernel->config->tile.n; })
      .def_property_readonly("k_tile", [](const CudaPlan& p) { return stage_k_of(*p.kernel); })
      .def_property_readonly("num_stages",
                             [](const CudaPlan& p) { return p.kernel->config->tile.num_stages; })
      .def_property_readonly("num_threads",
                             [](const CudaPlan& p) { return p.kernel->config->tile.num_threads(); })
      .def_property_readonly("shared_memory_bytes",
                             [](const CudaPlan& p) { return p.kernel->shared_bytes; });
}

void bind_schedule(py::class_<CudaPlan>* plan) {
  plan->def_property_readonly("num_ctas", [](const CudaPlan& p) { return p.schedule.num_ctas; })
      .def_property_readonly("num_tiles", [](const CudaPlan& p) { return p.schedule.num_tiles; })
      .def_property_readonly("num_k_tiles",
                             [](const CudaPlan& p) { return p.schedule.num_k_tiles; })
      .def_property_readonly("num_whole_tiles",
                             [](const CudaPlan& p) { return p.schedule.num_whole_tiles; })
      .def_property_readonly("schedule",
                             [](const CudaPlan& p) { return name_of(kind_of(p.schedule)); })
      .def_readonly("workspace_bytes", &CudaPlan::workspace_bytes)
      .def_readonly("num_counters", &CudaPlan::num_counters)
      .def_readonly("a_bytes", &CudaPlan::a_bytes)
      .def_readonly("multiply_adds", &CudaPlan::multiply_adds)
      .def_readonly("is_tuned", &CudaPlan::is_tuned);
}

void bind_cost(py::class_<CudaPlan>* plan) {
  plan->def_property_readonly("main_loop_us", &bounds_of)
      .def_property_readonly("bound", [](const CudaPlan& p) { return name_of(p.cost.bound); })
      .def_property_readonly("wave_quantisation",
                             [](const CudaPlan& p) { return p.cost.wave_quantisation; })
      .def_property_readonly("fixed_us", [](const CudaPlan& p) { return p.cost.fixed_us; })
      .def_property_readonly("predicted_us", [](const CudaPlan& p) { return p.cost.total_us; })
      .def_property_readonly("dense_us", [](const CudaPlan& p) { return p.cost.dense_us; });
}

void bind_cuda_plan(py::module_& m) {
  using py::arg;
  py::class_<CudaPlan> plan(m, "CudaPlan");
  bind_kernel(&plan);
  bind_schedule(&plan);
  bind_cost(&plan);
  const auto def = [&m](const char* name, auto function) {
    m.def(name, function, arg("device"), arg("m"), arg("n"), arg("k"), arg("a_dtype"),
          arg("b_dtype"), arg("pattern"), arg("d_dtype"), arg("batch") = 1, arg("group_size") = 0,
          arg("accumulate_in_f16") = false);
  };
  def("cuda_plan",
      &cuda_plan<int64_t, int64_t, int64_t, DType, DType, Pattern, DType, int64_t, int, bool>);
  def("cuda_candidates", &cuda_candidates<int64_t, int64_t, int64_t, DType, DType, Pattern, DType,
                                          int64_t, int, bool>);
  m.def("cuda_kernels", &kernel_rows);
}

// ------------------------------------------------------------------------------- forced and tuned

void bind_choices(py::module_& m) {
  using py::arg;
  m.def(
      "cuda_force",
      [](int64_t kernel, int64_t num_ctas, int64_t num_whole_tiles) {
        force_choice({kernel, num_ctas, num_whole_tiles});
      },
      arg("kernel"), arg("num_ctas") = 0, arg("num_whole_tiles") = -1);
  m.def("cuda_unforce", [] { force_choice({}); });
  m.def("cuda_set_tuned", [](int device, std::string_view multiply, std::string_view b_load,
                             DType d_dtype, bool a_is_batched, int group_size, int64_t m, int64_t n,
                             int64_t k, int64_t batch, std::string config,
                             std::string_view schedule, int64_t num_ctas) {
    const auto named = [](const auto& names, std::string_view name) {
      return std::find(std::begin(names), std::end(names), name) - std::begin(names);
    };
    int row = 0;
    while (row < kNumMultiplies && kMultiplies[row].name != multiply) ++row;
    const PlanKey key{device,
                      enum_of<Multiply>(row, kNumMultiplies),
                      enum_of<BLoad>(named(kBLoadNames, b_load), kNumBLoads),
                      d_dtype,
                      a_is_batched,
                      group_size,
                      m,
                      n,
                      k,
                      batch};
    const auto kind = enum_of<ScheduleKind>(named(kScheduleKindNames, schedule), kNumScheduleKinds);
    set_tuned_choice(key, {std::move(config), kind, num_ctas});
  });
  m.def("cuda_clear_tuned", &clear_tuned_choices);
  m.def("cuda_plan_cache", [] {
    const PlanCache::Counts counts = plan_cache_counts();
    py::dict result;
    result["hits"] = counts.hits;
    result["misses"] = counts.misses;
    result["size"] = counts.size;
    return result;
  });
}

}  // namespace

void load_tuned_choices(int device) {
  constexpr int kBits = 64;  // as many devices as cuda/runtime knows
  static std::atomic<uint64_t> loaded = 0;
  if (device < 0 || device >= kBits) return;
  const uint64_t bit = uint64_t{1} << device;
  if ((loaded.load(std::memory_order_acquire) & bit) != 0) return;
  // First the mark, then the file: whoever reads it may ask for plans.
  if ((loaded.fetch_or(bit) & bit) != 0) return;
  py::module_::import("sparse_gemm.planning.tuned_choices").attr("load")(device);
}

void bind_plan(py::module_& m) {
  bind_cpu_plan(m);
  bind_props(m);
  bind_cuda_plan(m);
  bind_choices(m);
}

}  // namespace sparse_gemm::bindings
