"""Random CUDA programs: functions for host and device alike, whose results must be the same.

A program prints `NAME thread T: device D, host H` for each difference and ends with status 1; the
operations that its functions are made of are in `differential.h`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

INTEGERS = [f"{sign}int{bits}_t" for bits in (8, 16, 32, 64) for sign in ("", "u")]
FLOATS = ["float", "double"]
TYPES = INTEGERS + FLOATS
WIDE = ["int32_t", "uint32_t", "int64_t", "uint64_t"]
ARRAY_LENGTH = 8
NUM_THREADS = 96
NUM_INPUTS = 4
MAX_BLOCK_DEPTH = 4
MAX_LOOP_DEPTH = 2
MAX_LINES = 40  # from there on nothing but assignments is added


class _Function:
    """One random function; its text is built statement by statement."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._lines: list[str] = []
        self._variables: dict[str, list[str]] = {t: [] for t in TYPES}
        self._arrays: list[tuple[str, str]] = []
        self._record = False
        self._count = 0
        self._indent = 1
        self._loops = 0

    def text(self, name: str, num_statements: int) -> str:
        """The function's definition."""
        for i in range(NUM_INPUTS):
            type_ = self._rng.choice(TYPES)
            self._define(type_, f"value_of<{type_}>(in[{i}])")
        for type_ in self._rng.sample(TYPES, 4):
            self._define(type_, self._expression(type_, 1))
        for _ in range(self._rng.randrange(3)):
            self._define_array()
        if self._rng.random() < 0.3:
            self._add(
                "Record record = mix_record({1, in[0], 2.5f, {3, 4, 5}, 0.5}, uint32_t(in[1]));"
            )
            self._record = True
        for _ in range(num_statements):
            self._statement()
        self._add("uint64_t hash = 1;")
        self._add_hash()
        self._add("return hash;")
        body = "\n".join(self._lines)
        return f"HD uint64_t {name}(const uint64_t* in) {{\n{body}\n}}\n"

    def _add_hash(self) -> None:
        for names in self._variables.values():
            for name in names:
                self._add(f"hash = mixed(hash, {name});")
        for name, _ in self._arrays:
            self._add(f"for (int i = 0; i < {ARRAY_LENGTH}; ++i) hash = mixed(hash, {name}[i]);")

    def _add(self, line: str) -> None:
        self._lines.append("  " * self._indent + line)

    def _name(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def _define(self, type_: str, value: str) -> None:
        name = self._name()
        self._add(f"{type_} {name} = {value};")
        if self._indent == 1:
            self._variables[type_].append(name)

    def _define_array(self) -> None:
        type_, name = self._rng.choice(TYPES), self._name()
        self._add(f"{type_} {name}[{ARRAY_LENGTH}];")
        value = self._expression(type_, 2)
        self._add(
            f"for (int i = 0; i < {ARRAY_LENGTH}; ++i) "
            f"{name}[i] = add({value}, convert<{type_}>(i));"
        )
        self._arrays.append((name, type_))

    # Expressions

    def _literal(self, type_: str) -> str:
        rng = self._rng
        if type_ in FLOATS:
            value = rng.choice([0.0, 1.0, -0.5, 3.25, 1e-3, 1e30, -7e-39, 123456.789])
            return f"{type_}({value!r})"
        bits = int("".join(c for c in type_.removesuffix("_t") if c.isdigit()))
        value = rng.choice([0, 1, 2, 3, 7, 10, -1, 1 << (bits - 1), rng.getrandbits(bits)])
        return f"{type_}({value & ((1 << 64) - 1):#x}u)"

    def _leaf(self, type_: str) -> str:
        rng = self._rng
        if self._arrays and rng.random() < 0.2:
            name, _ = rng.choice(self._arrays)
            index = self._index()
            return f"convert<{type_}>({name}[{index}])"
        if self._record and rng.random() < 0.2:
            field = rng.choice(["tag", "sum", "weight", "list[2]", "scale"])
            return f"convert<{type_}>(record.{field})"
        own = self._variables[type_]
        if own and rng.random() < 0.6:
            return rng.choice(own)
        others = [(t, v) for t, names in self._variables.items() for v in names]
        if others and rng.random() < 0.7:
            _, name = rng.choice(others)
            return f"convert<{type_}>({name})"
        return self._literal(type_)

    def _index(self) -> str:
        names = [v for t in INTEGERS for v in self._variables[t]]
        return f"{self._rng.choice(names)} & {ARRAY_LENGTH - 1}" if names else "3"

    def _expression(self, type_: str, depth: int) -> str:
        rng = self._rng
        if depth <= 0 or rng.random() < 0.1:
            return self._leaf(type_)

        def sub(other: str = type_) -> str:
            return self._expression(other, depth - 1)

        choice = rng.random()
        if choice < 0.12:
            return f"({self._condition(depth - 1)} ? {sub()} : {sub()})"
        if choice < 0.27:
            return f"convert<{type_}>({sub(rng.choice(TYPES))})"
        if type_ in FLOATS:
            return self._float_operation(type_, sub)
        if choice < 0.42:
            return f"convert<{type_}>({self._bit_operation(sub)})"
        return self._integer_operation(type_, sub)

    def _float_operation(self, type_: str, sub: Callable[..., str]) -> str:
        rng = self._rng
        one = rng.choice(["sqrt", "floor", "ceil", "trunc", "rint", "fabs", "-", "round"])
        two = rng.choice(["add", "sub", "mul", "div", "less_of", "more_of"])
        choice = rng.random()
        if choice < 0.2:
            return f"{type_}({one}({sub()}))"
        if choice < 0.35:
            return f"multiply_add<{type_}>({sub()}, {sub()}, {sub()})"
        return f"{two}<{type_}>({sub()}, {sub()})"

    def _integer_operation(self, type_: str, sub: Callable[..., str]) -> str:
        rng = self._rng
        choice = rng.random()
        if choice < 0.25:
            name = rng.choice(["shl", "shr", "rotate"])
            return f"{name}<{type_}>({sub()}, int({sub('int32_t')}))"
        if choice < 0.4:
            return f"{type_}({sub()} {rng.choice('&|^')} {sub()})"
        if choice < 0.5:
            return f"{type_}({rng.choice('~!')}{sub()})"
        if choice < 0.6:
            return f"multiply_add<{type_}>({sub()}, {sub()}, {sub()})"
        if type_ in WIDE and choice < 0.7:
            return f"high_product({type_}({sub()}), {type_}({sub()}))"
        name = rng.choice(["add", "sub", "mul", "div", "mod", "less_of", "more_of"])
        return f"{name}<{type_}>({sub()}, {sub()})"

    def _bit_operation(self, sub: Callable[..., str]) -> str:
        def word() -> str:
            return sub("uint32_t")

        def wide() -> str:
            return sub("uint64_t")

        def number() -> str:
            return sub("int32_t")

        makers: list[Callable[[], str]] = [
            lambda: f"count_ones({wide()})",
            lambda: f"leading_zeros({word()})",
            lambda: f"leading_zeros({wide()})",
            lambda: f"first_one({word()})",
            lambda: f"reverse_bits({word()})",
            lambda: f"reverse_bits({wide()})",
            lambda: f"permute_bytes({word()}, {word()}, {word()})",
            lambda: f"funnel_shift({word()}, {word()}, {word()}, {self._rng.randrange(4)})",
            lambda: f"dot4({number()}, {number()}, {number()})",
            lambda: f"dot2_high({word()}, {word()}, {word()})",
            lambda: f"sum_of_differences({number()}, {number()}, {word()})",
            lambda: f"twist({wide()}, {word()}, {word()})",
            lambda: f"descend({word()}, {word()} & 3)",
            lambda: f"bits_of({sub('double')})",
            lambda: f"bits_of({sub('float')})",
        ]
        return self._rng.choice(makers)()

    def _condition(self, depth: int) -> str:
        rng = self._rng
        type_ = rng.choice(TYPES)
        left, right = self._expression(type_, depth - 1), self._expression(type_, depth - 1)
        text = f"({left} {rng.choice(['<', '<=', '>', '>=', '==', '!='])} {right})"
        if rng.random() < 0.2:
            text = f"({text} {rng.choice(['&&', '||'])} {self._condition(depth - 1)})"
        return text

    # Statements

    def _statement(self) -> None:
        choice = self._rng.random()
        full = self._indent > MAX_BLOCK_DEPTH or len(self._lines) > MAX_LINES
        if full or choice < 0.5:
            return self._assignment()
        if choice < 0.66:
            return self._if()
        if choice < 0.82 and self._loops < MAX_LOOP_DEPTH:
            return self._loop()
        if choice < 0.9:
            return self._switch()
        return self._exit()

    def _assignment(self) -> None:
        rng = self._rng
        if self._arrays and rng.random() < 0.25:
            name, type_ = rng.choice(self._arrays)
            return self._add(f"{name}[{self._index()}] = {self._expression(type_, 2)};")
        if self._record and rng.random() < 0.15:
            return self._add(f"record = mix_record(record, {self._expression('uint32_t', 2)});")
        type_ = rng.choice([t for t, names in self._variables.items() if names])
        return self._add(f"{rng.choice(self._variables[type_])} = {self._expression(type_, 3)};")

    def _block(self, ending: str = "}") -> None:
        self._indent += 1
        for _ in range(self._rng.randrange(1, 3)):
            self._statement()
        self._indent -= 1
        self._add(ending)

    def _if(self) -> None:
        self._add(f"if ({self._condition(2)}) {{")
        if self._rng.random() < 0.5:
            self._block("} else {")
        self._block()

    def _loop(self) -> None:
        name = self._name()
        trips = f"int({self._expression('uint32_t', 2)} & 7)"
        self._loops += 1
        if self._rng.random() < 0.6:
            self._add(f"for (int {name} = 0; {name} < {trips}; ++{name}) {{")
            self._block()
        else:
            self._add(f"int {name} = {trips};")
            self._add("do {")
            self._block(f"}} while (--{name} > 0 && {self._condition(1)});")
        self._loops -= 1

    def _switch(self) -> None:
        self._add(f"switch ({self._expression('uint32_t', 2)} % 7) {{")
        self._indent += 1
        for label in self._rng.sample(range(7), self._rng.randrange(2, 6)):
            self._add(f"case {label}: {{")
            # A continue here belongs to the loop around, a break to the switch.
            self._block()
            if self._rng.random() < 0.7:
                self._add("break;")
        self._add("default: {")
        self._block()
        self._indent -= 1
        self._add("}")

    def _exit(self) -> None:
        ways = ["return 42;", f"return mixed(7, {self._expression('uint64_t', 1)});"]
        if self._loops:
            ways = ["break;", "continue;", "break;", "continue;", *ways]
        self._add(f"if ({self._condition(1)}) {self._rng.choice(ways)}")


_MAIN = """
template <uint64_t (*function)(const uint64_t*)>
__global__ void on_device(const uint64_t* in, uint64_t* out) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  uint64_t own[NUM_INPUTS];
  for (int k = 0; k < NUM_INPUTS; ++k) own[k] = in[i * NUM_INPUTS + k];
  out[i] = function(own);
}

template <uint64_t (*function)(const uint64_t*)>
int check(const char* name, const uint64_t* in) {
  constexpr size_t in_bytes = sizeof(uint64_t) * NUM_THREADS * NUM_INPUTS;
  uint64_t *device_in, *device_out, out[NUM_THREADS];
  cudaMalloc(&device_in, in_bytes);
  cudaMalloc(&device_out, sizeof out);
  cudaMemcpy(device_in, in, in_bytes, cudaMemcpyHostToDevice);
  on_device<function><<<2, NUM_THREADS / 2>>>(device_in, device_out);
  const cudaError_t error = cudaMemcpy(out, device_out, sizeof out, cudaMemcpyDeviceToHost);
  if (error != cudaSuccess) {
    std::printf("%s: %s\\n", name, cudaGetErrorString(error));
    return 1;
  }
  int differences = 0;
  for (int i = 0; i < NUM_THREADS; ++i) {
    const uint64_t host = function(in + i * NUM_INPUTS);
    if (host == out[i]) continue;
    if (++differences <= 4) {
      std::printf("%s thread %d: device %016llx, host %016llx\\n", name, i,
                  (unsigned long long)(out[i]), (unsigned long long)(host));
    }
  }
  cudaFree(device_in);
  cudaFree(device_out);
  return differences;
}

int main() {
  static uint64_t in[NUM_THREADS * NUM_INPUTS];
  const uint64_t special[] = {0,
                              1,
                              ~0ull,
                              1ull << 63,
                              1ull << 31,
                              0x7F800000,
                              0x7FC00000,
                              0x3F800000,
                              0x7FF0000000000000,
                              0x3FF0000000000000,
                              0x00400000,
                              0x80000000FFFFFFFF};
  uint64_t state = 1;
  for (uint64_t& value : in) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = state ^ (state >> 31);
    if (state >> 62 == 0) value = special[(state >> 40) % 12];
    if (state >> 62 == 1) value >>= (state >> 40) % 64;
  }
  int differences = 0;
"""


def program(seed: int, num_functions: int, num_statements: int = 12) -> str:
    """The source of a program with `num_functions` random functions."""
    parts = [
        '#include "differential.h"\n',
        f"constexpr int NUM_THREADS = {NUM_THREADS}, NUM_INPUTS = {NUM_INPUTS};\n",
    ]
    names = [f"f{seed}_{i}" for i in range(num_functions)]
    for i, name in enumerate(names):
        rng = random.Random(1000 * seed + i)
        parts.append(_Function(rng).text(name, num_statements))
    parts.append(_MAIN)
    parts += [f'  differences += check<{name}>("{name}", in);\n' for name in names]
    parts.append("  return differences == 0 ? 0 : 1;\n}\n")
    return "\n".join(parts)
