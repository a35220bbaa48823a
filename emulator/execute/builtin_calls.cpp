#include "execute/builtin_calls.h"

#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

#include "execute/launch.h"
#include "execute/warp.h"
#include "report/findings.h"

namespace emulator {
namespace {

// Host's view of a thread's generic addresses; null where nothing lies there.
const std::byte* host_view(Warp& warp, int lane, uint64_t address, uint64_t bytes) {
  const uint64_t offset = address & ~kWindowMask;
  const auto within = [&](int64_t size) { return offset + bytes <= static_cast<uint64_t>(size); };
  Cta& cta = warp.cta();
  switch (address & kWindowMask) {
    case kLocalWindow:
      return within(cta.launch.program->local_bytes) ? warp.local(lane) + offset : nullptr;
    case kSharedWindow:
      return within(cta.shared.bytes()) ? cta.shared.data() + offset : nullptr;
    case kParamWindow:
      return within(cta.launch.program->parameter_bytes) ? cta.launch.parameters.data() + offset
                                                         : nullptr;
    default:
      return cta.launch.memory->data(address, bytes);
  }
}

// A thread's arguments and what they point to. Bad pointers are reported, and read as zeros.
class Reader {
 public:
  Reader(Warp& warp, const Op& op, int lane) : warp_(warp), op_(op), lane_(lane) {}

  template <typename T>
  T argument(const CallSite& site, size_t index) const {
    T value{};
    const Range& range = site.arguments.at(index);
    std::memcpy(&value, warp_.local(lane_) + range.offset,
                std::min(sizeof value, static_cast<size_t>(range.bytes)));
    return value;
  }

  template <typename T>
  T value(uint64_t address) const {
    T result{};
    if (const std::byte* bytes = host_view(warp_, lane_, address, sizeof result)) {
      std::memcpy(&result, bytes, sizeof result);
    } else {
      report_bad(address);
    }
    return result;
  }

  std::string text(uint64_t address) const {
    if (address == 0) return "(null)";
    std::string result;
    for (;; ++address) {
      const char c = value<char>(address);
      if (c == '\0') return result;
      result += c;
    }
  }

 private:
  void report_bad(uint64_t address) const {
    report(FindingKind::kOutOfBounds, {&warp_, &op_, LaneMask{1} << lane_}, address,
           "an argument of this call points to nothing");
  }

  Warp& warp_;
  const Op& op_;
  int lane_;
};

// What a conversion of printf takes from the buffer of arguments, which holds each aligned to its
// size.
class Arguments {
 public:
  Arguments(const Reader& reader, uint64_t address) : reader_(reader), address_(address) {}

  template <typename T>
  T next() {
    address_ = (address_ + sizeof(T) - 1) / sizeof(T) * sizeof(T);
    const T value = reader_.value<T>(address_);
    address_ += sizeof(T);
    ++count_;
    return value;
  }
  int count() const { return count_; }

 private:
  const Reader& reader_;
  uint64_t address_;
  int count_ = 0;
};

template <typename T>
std::string print(const std::string& format, T value) {
  const int length = std::snprintf(nullptr, 0, format.c_str(), value);
  if (length < 0) return {};
  std::string text(static_cast<size_t>(length) + 1, '\0');
  std::snprintf(text.data(), text.size(), format.c_str(), value);
  text.pop_back();
  return text;
}

// One conversion, from its % on; `end` is left behind it.
std::string convert(const std::string& format, size_t& end, const Reader& reader,
                    Arguments& arguments) {
  std::string spec = "%";
  for (++end; end < format.size() && std::strchr("-+ #0123456789.*", format[end]); ++end) {
    spec += format[end] == '*' ? std::to_string(arguments.next<int32_t>())
                               : std::string(1, format[end]);
  }
  bool is_wide = false;
  for (; end < format.size() && std::strchr("hlqjztL", format[end]); ++end) {
    is_wide |= format[end] != 'h';
  }
  if (end == format.size()) return spec;
  const char conversion = format[end++];
  const std::string wide_spec = spec + "ll" + conversion;
  spec += conversion;
  if (std::strchr("dibouxX", conversion)) {
    return is_wide ? print(wide_spec, static_cast<long long>(arguments.next<int64_t>()))
                   : print(spec, arguments.next<int32_t>());
  }
  if (std::strchr("aAeEfFgG", conversion)) return print(spec, arguments.next<double>());
  switch (conversion) {
    case 'c':
      return print(spec, arguments.next<int32_t>());
    case 'p':
      return print(spec, reinterpret_cast<void*>(arguments.next<uint64_t>()));
    case 's':
      return print(spec, reader.text(arguments.next<uint64_t>()).c_str());
    case '%':
      return "%";
    default:
      return spec;
  }
}

// vprintf(format, arguments): the count of arguments.
void print_formatted(Warp& warp, const Op& op, const CallSite& site, LaneMask active) {
  for_lanes(active, [&](int lane) {
    const Reader reader(warp, op, lane);
    const std::string format = reader.text(reader.argument<uint64_t>(site, 0));
    Arguments arguments(reader, reader.argument<uint64_t>(site, 1));
    std::string& output = warp.cta().output;
    for (size_t i = 0; i < format.size();) {
      if (format[i] == '%') {
        output += convert(format, i, reader, arguments);
      } else {
        output += format[i++];
      }
    }
    if (site.results.empty()) return;
    const int32_t count = arguments.count();
    std::memcpy(warp.local(lane) + site.results[0].offset, &count, sizeof count);
  });
}

// __assertfail(message, file, line, function, size of a character)
void fail_assertion(Warp& warp, const Op& op, const CallSite& site, LaneMask active) {
  const Reader reader(warp, op, std::countr_zero(active));
  const std::string message = reader.text(reader.argument<uint64_t>(site, 0));
  const std::string file = reader.text(reader.argument<uint64_t>(site, 1));
  const std::string function = reader.text(reader.argument<uint64_t>(site, 3));
  report(FindingKind::kTrap, {&warp, &op, active}, std::nullopt,
         "assertion `" + message + "` failed at " + file + ":" +
             std::to_string(reader.argument<uint32_t>(site, 2)) + " in " + function);
  warp.cta().failure = Failure::kAssert;
}

}  // namespace

Builtin builtin_named(std::string_view name) {
  if (name == "vprintf") return print_formatted;
  if (name == "__assertfail") return fail_assertion;
  return nullptr;
}

}  // namespace emulator
