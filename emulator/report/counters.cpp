#include "report/counters.h"

#include <cstdlib>
#include <fstream>
#include <mutex>
#include <utility>

#include "report/json.h"
#include "report/location.h"
#include "report/summary.h"

namespace emulator {
namespace {

struct Records {
  std::mutex mutex;
  std::vector<LaunchCounters> launches;
};

Records& records() {
  static Records* instance = new Records;  // outlives static destructors that launch
  return *instance;
}

void write_extent(JsonWriter& json, std::string_view name, const uint32_t (&extent)[3]) {
  json.key(name);
  json.open('[');
  for (const uint32_t e : extent) json.value(uint64_t{e});
  json.close(']');
}

void write_map(JsonWriter& json, std::string_view name,
               const std::map<std::string, uint64_t>& map) {
  json.key(name);
  json.open('{');
  for (const auto& [key, count] : map) json.member(key, count);
  json.close('}');
}

void write_lines(JsonWriter& json, const Summary& sum) {
  json.key("lines");
  json.open('{');
  for (const auto& [place, counted] : sum.lines) {
    json.key(place.first + ":" + std::to_string(place.second));
    json.open('{');
    json.member("instructions", counted.instructions);
    json.member("wavefronts", counted.wavefronts);
    json.member("bank_conflicts", counted.bank_conflicts);
    json.member("sectors", counted.sectors);
    json.member("bytes", counted.bytes);
    json.close('}');
  }
  json.close('}');
}

void write_launch(JsonWriter& json, const LaunchCounters& launch, bool by_line) {
  const Summary sum = summarise(launch);
  json.open('{');
  json.member("kernel", launch.kernel);
  write_extent(json, "grid", launch.grid);
  write_extent(json, "block", launch.block);
  json.member("shared_bytes", static_cast<uint64_t>(launch.shared_bytes));
  json.member("registers", static_cast<uint64_t>(launch.registers));
  json.member("ctas_per_sm", static_cast<uint64_t>(launch.ctas_per_sm));
  json.member("seconds", launch.seconds);
  json.member("warp_instructions", sum.warp_instructions);
  write_map(json, "instructions", sum.instructions);
  write_map(json, "mma", sum.mma);
  json.key("shared");
  json.open('{');
  json.member("wavefronts", sum.wavefronts);
  json.member("bank_conflicts", sum.bank_conflicts);
  json.close('}');
  json.key("global");
  json.open('{');
  json.member("sectors", sum.sectors);
  json.member("bytes", sum.global_bytes);
  json.close('}');
  write_map(json, "bytes", sum.bytes);
  if (by_line) write_lines(json, sum);
  json.close('}');
}

}  // namespace

void LaunchCounters::add(const WorkerCounters& worker) {
  if (ops.size() < worker.ops.size()) ops.resize(worker.ops.size());
  for (size_t i = 0; i < worker.ops.size(); ++i) {
    ops[i].executions += worker.ops[i].executions;
    ops[i].active_lanes += worker.ops[i].active_lanes;
    ops[i].requested_bytes += worker.ops[i].requested_bytes;
    ops[i].wavefronts += worker.ops[i].wavefronts;
    ops[i].bank_conflicts += worker.ops[i].bank_conflicts;
    ops[i].sectors += worker.ops[i].sectors;
  }
}

void record(LaunchCounters counters) {
  const std::lock_guard lock(records().mutex);
  records().launches.push_back(std::move(counters));
}

void reset_counters() {
  const std::lock_guard lock(records().mutex);
  records().launches.clear();
}

std::string counters_json(bool by_line) {
  const std::lock_guard lock(records().mutex);
  JsonWriter json;
  json.open('{');
  json.key("launches");
  json.open('[');
  for (const LaunchCounters& launch : records().launches) write_launch(json, launch, by_line);
  json.close(']');
  json.close('}');
  return json.text() + "\n";
}

std::string counters_table() {
  const std::lock_guard lock(records().mutex);
  std::string text;
  char line[256];
  std::snprintf(line, sizeof line, "%-60s %14s %12s %12s %10s %12s %9s\n", "kernel", "instructions",
                "mma", "wavefronts", "conflicts", "sectors", "seconds");
  text += line;
  for (const LaunchCounters& launch : records().launches) {
    const Summary sum = summarise(launch);
    uint64_t num_mma = 0;
    for (const auto& [name, count] : sum.mma) num_mma += count;
    std::snprintf(line, sizeof line, "%-60.60s %14lu %12lu %12lu %10lu %12lu %9.3f\n",
                  readable_name(launch.kernel).c_str(), sum.warp_instructions, num_mma,
                  sum.wavefronts, sum.bank_conflicts, sum.sectors, launch.seconds);
    text += line;
  }
  return text;
}

std::string annotated_listing() {
  const std::lock_guard lock(records().mutex);
  std::map<std::pair<std::string, int>, LineCounters> lines;
  for (const LaunchCounters& launch : records().launches) {
    for (const auto& [place, counted] : summarise(launch).lines) {
      LineCounters& total = lines[place];
      total.instructions += counted.instructions;
      total.wavefronts += counted.wavefronts;
      total.bank_conflicts += counted.bank_conflicts;
      total.sectors += counted.sectors;
      total.bytes += counted.bytes;
    }
  }
  std::string text, open_file;
  std::ifstream source;
  std::string source_line;
  int at = 0;
  char line[160];
  for (const auto& [place, counted] : lines) {
    if (place.first != open_file) {
      open_file = place.first;
      source = std::ifstream(open_file);
      at = 0;
      text += open_file + "\n  instructions   wavefronts    conflicts      sectors   line\n";
    }
    while (at < place.second && std::getline(source, source_line)) ++at;
    std::snprintf(line, sizeof line, "%14lu %12lu %12lu %12lu %6d  ", counted.instructions,
                  counted.wavefronts, counted.bank_conflicts, counted.sectors, place.second);
    text += line + (at == place.second ? source_line : std::string()) + "\n";
  }
  return text;
}

bool write_counters(const std::string& path) {
  std::ofstream file(path);
  file << counters_json(std::getenv("EMULATOR_COUNTERS_BY_LINE") != nullptr);
  return static_cast<bool>(file);
}

}  // namespace emulator
