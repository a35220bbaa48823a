#include "report/findings.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <utility>

#include "execute/launch.h"
#include "report/location.h"

namespace emulator {
namespace {

struct Suppression {
  std::string kind, where, reason;
};

// One line of output; `repeats` counts the times that the same thing was found again.
struct Entry {
  std::string text;
  uint64_t repeats = 0;
};

// A kind of finding at an instruction; an index into Book::entries, or kDropped.
using Key = std::pair<FindingKind, const ptx::Instruction*>;
constexpr size_t kDropped = SIZE_MAX;

// "kind:where:reason", one a line, as `emulator/run --suppress` collects them.
std::vector<Suppression> suppressions_of_environment() {
  std::vector<Suppression> suppressions;
  const char* setting = std::getenv("EMULATOR_SUPPRESS");
  std::istringstream lines(setting == nullptr ? "" : setting);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t last = line.rfind(':');
    if (first == std::string::npos || first == last) continue;
    suppressions.push_back(
        {line.substr(0, first), line.substr(first + 1, last - first - 1), line.substr(last + 1)});
  }
  return suppressions;
}

struct Book {
  std::mutex mutex;
  std::vector<Entry> entries;
  std::map<Key, size_t> seen;
  std::set<std::string> notes;
  std::vector<Suppression> suppressions = suppressions_of_environment();
};

Book& book() {
  // Never destroyed: launches of static destructors may still report.
  static Book* instance = new Book;
  return *instance;
}

std::string describe_site(const FindingSite& site) {
  if (site.warp == nullptr) return {};
  const Dim3& cta = site.warp->cta().index;
  return " [CTA (" + std::to_string(cta.x) + "," + std::to_string(cta.y) + "," +
         std::to_string(cta.z) + ") warp " + std::to_string(site.warp->index()) + " " +
         format_mask(site.lanes) + "]";
}

std::string describe_kernel(const FindingSite& site) {
  if (site.warp == nullptr) return {};
  return " in kernel " + short_name(site.warp->cta().launch.program->kernel->name);
}

const ptx::Module* module_of(const FindingSite& site) {
  return site.warp == nullptr ? site.module : site.warp->cta().launch.program->module;
}

std::string headline(const FindingSite& site, std::string_view kind, const std::string& message) {
  const ptx::Module* module = module_of(site);
  const bool located = module != nullptr && site.op != nullptr && site.op->source != nullptr;
  std::string text = located ? location_line(*module, *site.op->source) : std::string("kernel");
  text += ": " + std::string(kind) + ": " + message;
  return text;
}

std::string chain_text(const FindingSite& site, const Op* op) {
  const ptx::Module* module = module_of(site);
  return module == nullptr || op->source == nullptr ? "" : location_of(*module, *op->source);
}

bool is_suppressed(const Book& b, FindingKind kind, const std::string& text) {
  for (const Suppression& s : b.suppressions) {
    if ((s.kind == "*" || s.kind == name_of(kind)) && text.find(s.where) != std::string::npos) {
      return true;
    }
  }
  return false;
}

// The runner looks whether this file has anything in it.
void append_to_file(const std::string& text) {
  const char* path = std::getenv("EMULATOR_FINDINGS");
  if (path == nullptr || *path == '\0') return;
  if (std::FILE* file = std::fopen(path, "a")) {
    std::fprintf(file, "%s\n", text.c_str());
    std::fclose(file);
  }
}

}  // namespace

std::string format_mask(LaneMask lanes) {
  if (lanes == kAllLanes) return "lanes 0-31";
  if (lanes == 0) return "no lane";
  std::string text = __builtin_popcount(lanes) == 1 ? "lane" : "lanes";
  int printed = 0;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if (!(lanes >> lane & 1)) continue;
    int last = lane;
    while (last + 1 < kWarpLanes && (lanes >> (last + 1) & 1)) ++last;
    text += (printed++ ? "," : " ") + std::to_string(lane);
    if (last > lane) text += "-" + std::to_string(last);
    lane = last;
  }
  return text;
}

std::string_view name_of(FindingKind kind) {
  switch (kind) {
    case FindingKind::kOutOfBounds:
      return "out-of-bounds";
    case FindingKind::kMisaligned:
      return "misaligned";
    case FindingKind::kUninitialised:
      return "uninitialised-read";
    case FindingKind::kRace:
      return "race";
    case FindingKind::kUnfinishedCopy:
      return "unfinished-copy";
    case FindingKind::kDivergentAligned:
      return "divergent-aligned";
    case FindingKind::kDeadlock:
      return "deadlock";
    case FindingKind::kInvalidMetadata:
      return "invalid-metadata";
    case FindingKind::kUseAfterFree:
      return "use-after-free";
    case FindingKind::kUnknownInstruction:
      return "unknown-instruction";
    case FindingKind::kTrap:
      return "trap";
    case FindingKind::kInvalidArgument:
      return "invalid-argument";
  }
  return "finding";
}

void report(FindingKind kind, const FindingSite& site, std::optional<uint64_t> address,
            const std::string& message, const Op* clashes_with) {
  Book& b = book();
  const std::lock_guard lock(b.mutex);
  const ptx::Instruction* where = site.op == nullptr ? nullptr : site.op->source;
  const Key key(kind, where);
  if (const auto found = b.seen.find(key); where != nullptr && found != b.seen.end()) {
    if (found->second != kDropped) ++b.entries[found->second].repeats;
    return;
  }
  const size_t end_of_first = std::min(message.find('\n'), message.size());
  std::string text = headline(site, name_of(kind), message.substr(0, end_of_first));
  if (address.has_value()) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, ", address 0x%" PRIx64, *address);
    text += buffer;
  }
  text += describe_site(site) + describe_kernel(site) + message.substr(end_of_first);
  if (where != nullptr) text += "\n    at " + chain_text(site, site.op) + ": " + where->text;
  if (clashes_with != nullptr && clashes_with->source != nullptr) {
    text += "\n    against " + chain_text(site, clashes_with) + ": " + clashes_with->source->text;
  }
  const bool dropped = is_suppressed(b, kind, text);
  if (where != nullptr) b.seen.emplace(key, dropped ? kDropped : b.entries.size());
  if (dropped) return;
  b.entries.push_back({text});
  std::fprintf(stderr, "%s\n", text.c_str());
  append_to_file(text);
}

void note(const FindingSite& site, const std::string& message) {
  Book& b = book();
  const std::lock_guard lock(b.mutex);
  const std::string text = headline(site, "note", message);
  if (!b.notes.insert(text).second) return;
  std::fprintf(stderr, "%s\n", text.c_str());
}

int num_findings() {
  const std::lock_guard lock(book().mutex);
  return static_cast<int>(book().entries.size());
}

std::vector<std::string> finding_texts() {
  const std::lock_guard lock(book().mutex);
  std::vector<std::string> texts;
  for (const Entry& entry : book().entries) {
    texts.push_back(entry.text);
    if (entry.repeats > 0) {
      texts.back() += "\n    (found " + std::to_string(entry.repeats + 1) + " times)";
    }
  }
  return texts;
}

void clear_findings() {
  const std::lock_guard lock(book().mutex);
  book().entries.clear();
  book().seen.clear();
}

void suppress(std::string kind, std::string where, std::string reason) {
  const std::lock_guard lock(book().mutex);
  book().suppressions.push_back({std::move(kind), std::move(where), std::move(reason)});
}

}  // namespace emulator
