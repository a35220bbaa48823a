// Handlers from scalar functions: `lanes<f>` computes operand 0 from operands 1, 2, ... lane by
// lane.
//
// f's signature says how each register is read: 16-bit values lie in the low half of a 32-bit slot
// (the upper half is zero), bool is a predicate. If its first parameter is the Op, f gets that too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "execute/warp.h"

namespace emulator {

__extension__ using Bits128 = unsigned __int128;

// What a lane's slot of a register holds, as C++ reads it.
template <typename T>
using Word = std::conditional_t<sizeof(T) >= 4, T, uint32_t>;

template <typename T>
Word<T>* words(Warp& warp, int32_t offset) {
  return reinterpret_cast<Word<T>*>(warp.u32(offset));
}

template <typename T>
Word<T> to_word(T value) {
  if constexpr (sizeof(T) >= 4) {
    return value;
  } else {
    return static_cast<std::make_unsigned_t<T>>(value);
  }
}

// Sets the active lanes' bits of a predicate.
inline void write_predicate(Warp& warp, int32_t offset, LaneMask active, LaneMask value) {
  LaneMask& predicate = warp.predicate(offset);
  predicate = (predicate & ~active) | (value & active);
}

// for_lanes for a body that reads and writes its own lane only. A destination may be a source too,
// which stops a compiler from vectorising unless it is told that lanes are independent.
template <typename F>
inline void for_independent_lanes(LaneMask active, F&& f) {
  if (active == kAllLanes) {
#pragma GCC ivdep
    for (int lane = 0; lane < kWarpLanes; ++lane) f(lane);
  } else {
    for (LaneMask rest = active; rest != 0; rest &= rest - 1) f(__builtin_ctz(rest));
  }
}

namespace detail {

// Reads one source operand.
template <typename T>
class Source {
 public:
  Source(Warp& warp, int32_t offset) : words_(words<T>(warp, offset)) {}
  T operator[](int lane) const { return static_cast<T>(words_[lane]); }

 private:
  const Word<T>* words_;
};

template <>
class Source<bool> {
 public:
  Source(Warp& warp, int32_t offset) : mask_(warp.predicate(offset)) {}
  bool operator[](int lane) const { return (mask_ >> lane & 1) != 0; }

 private:
  LaneMask mask_;
};

template <typename F>
struct SignatureOf : SignatureOf<decltype(&F::operator())> {};
template <typename R, typename... A>
struct SignatureOf<R (*)(A...)> {
  using Type = R(A...);
};
template <typename C, typename R, typename... A>
struct SignatureOf<R (C::*)(A...) const> {
  using Type = R(A...);
};

template <auto f, typename Signature>
struct Lanes;

template <auto f, typename D, typename... S>
struct Lanes<f, D(S...)> {
  static void run(Warp& warp, const Op& op, LaneMask active) {
    map<D>(warp, op, active, std::make_index_sequence<sizeof...(S)>(),
           [](const S&... values) { return f(values...); });
  }

  template <typename Result, size_t... i, typename F>
  static void map(Warp& warp, const Op& op, LaneMask active, std::index_sequence<i...>,
                  const F& function) {
    const std::tuple<Source<S>...> sources{Source<S>(warp, op.operands[1 + i])...};
    if constexpr (std::is_same_v<Result, bool>) {
      LaneMask result = 0;
      for_lanes(active, [&](int lane) {
        result |= LaneMask{function(std::get<i>(sources)[lane]...)} << lane;
      });
      write_predicate(warp, op.operands[0], active, result);
    } else {
      Word<Result>* d = words<Result>(warp, op.operands[0]);
      for_independent_lanes(active, [&](int lane) {
        d[lane] = to_word<Result>(function(std::get<i>(sources)[lane]...));
      });
    }
  }
};

template <auto f, typename D, typename... S>
struct Lanes<f, D(const Op&, S...)> {
  static void run(Warp& warp, const Op& op, LaneMask active) {
    Lanes<f, D(S...)>::template map<D>(warp, op, active, std::make_index_sequence<sizeof...(S)>(),
                                       [&](const S&... values) { return f(op, values...); });
  }
};

}  // namespace detail

template <auto f>
inline constexpr Handler lanes =
    detail::Lanes<f, typename detail::SignatureOf<decltype(f)>::Type>::run;

}  // namespace emulator
