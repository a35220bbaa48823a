"""The pickle inside a torch.save file, read by a machine that can build nothing but these names.

Python's unpickler calls whatever a pickle names. This one knows two dozen opcodes, the names that a
file of tensors needs, and for each of those a function of its own: nothing is imported or called.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.tensors import check_extents, check_integers

__all__ = ["SemiStructured", "StridedTensor", "read_pickle"]

MAX_PICKLE_BYTES = 16 * 2**20
_PROTOCOLS = range(2, 6)


class Storage(NamedTuple):
    """A storage that the pickle refers to."""

    key: str
    code: str | None  # safetensors' name of its elements' type; None if it is untyped
    size: int  # elements; bytes, if it is untyped


class StridedTensor(NamedTuple):
    """A tensor in a storage, offset and strides in elements; nothing of it is checked yet."""

    storage: Storage
    code: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class SemiStructured(NamedTuple):
    """A saved torch.sparse.SparseSemiStructuredTensor of that class."""

    class_name: str
    shape: tuple[int, ...]
    parts: dict[str, StridedTensor]  # by attribute; those that are None are left out


class _Name(NamedTuple):
    module: str
    name: str


class _Mark:
    """Where on the stack a list of arguments begins."""


_MARK = _Mark()
_CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "uint16": "U16", "uint32": "U32",
}  # fmt: skip
_STORAGES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
    "ByteStorage": "U8", "BoolStorage": "BOOL",
}  # fmt: skip
_SEMI_STRUCTURED = "torch.sparse.semi_structured"
_CLASSES = (
    "SparseSemiStructuredTensor",
    "SparseSemiStructuredTensorCUTLASS",
    "SparseSemiStructuredTensorCUSPARSELT",
)


def _fields(arguments: tuple[Any, ...], what: str, *types: type) -> tuple[Any, ...]:
    """The first arguments, which must be of these types."""
    found = arguments[: len(types)]
    if len(found) < len(types) or not all(map(isinstance, found, types)):
        raise CheckpointError(f"{what} has unexpected arguments")
    return found


def _ordered_dict(*arguments: Any) -> dict[Any, Any]:
    if arguments:
        raise CheckpointError("OrderedDict has unexpected arguments")
    return {}


def _tensor(*arguments: Any) -> StridedTensor:
    storage, offset, shape, strides = _fields(arguments, "a tensor", Storage, int, tuple, tuple)
    if storage.code is None:
        raise CheckpointError("a tensor lies in an untyped storage and names no dtype")
    return StridedTensor(
        storage, storage.code, offset, check_extents(shape), check_integers(strides, "stride")
    )


def _typed_tensor(*arguments: Any) -> StridedTensor:
    """_rebuild_tensor_v3: the storage is untyped, the seventh argument is the dtype."""
    storage, offset, shape, strides, _, _, dtype = _fields(
        arguments, "a tensor", Storage, int, tuple, tuple, object, object, _Name
    )
    code = _CODES.get(dtype.name)
    if dtype.module != "torch" or code is None or storage.code is not None:
        raise CheckpointError(f"a tensor has dtype {dtype.module}.{dtype.name}")
    return StridedTensor(
        storage, code, offset, check_extents(shape), check_integers(strides, "stride")
    )


def _from_type(*arguments: Any) -> Any:
    """_rebuild_from_type_v2(function, type, arguments, state)."""
    function, kind, inner, state = _fields(arguments, "a tensor", _Name, _Name, tuple, object)
    known = kind.module == _SEMI_STRUCTURED and function.name == "_rebuild_wrapper_subclass"
    if not known or not isinstance(state, tuple):
        raise CheckpointError(f"a {kind.module}.{kind.name} was saved in an unknown way")
    attributes, slots = _fields(state, "its state", dict, dict)
    shape = check_extents(inner[2] if len(inner) > 2 else None)
    both = {**attributes, **slots}
    parts = {key: part for key, part in both.items() if isinstance(part, StridedTensor)}
    return SemiStructured(kind.name, shape, parts)


def _nothing(*_: Any) -> None:
    """What stands for a layout or a device."""
    return


def _size(*arguments: Any) -> tuple[Any, ...]:
    return tuple(_fields(arguments, "a size", tuple)[0])


# What may be called, and what is called in its place.
_FUNCTIONS: dict[_Name, Callable[..., Any]] = {
    _Name("collections", "OrderedDict"): _ordered_dict,
    _Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    _Name("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    _Name("torch._utils", "_rebuild_parameter"): lambda *a: _fields(a, "a parameter", object)[0],
    _Name("torch._tensor", "_rebuild_from_type_v2"): _from_type,
    _Name("torch.serialization", "_get_layout"): _nothing,
    _Name("torch", "device"): _nothing,
    _Name("torch", "Size"): _size,
}
_ALLOWED = {
    *_FUNCTIONS,
    _Name("torch._utils", "_rebuild_wrapper_subclass"),
    _Name("torch.storage", "UntypedStorage"),
    *(_Name(_SEMI_STRUCTURED, name) for name in _CLASSES),
    *(_Name("torch", name) for name in (*_CODES, *_STORAGES)),
}


def _call(function: Any, arguments: Any) -> Any:
    called = _FUNCTIONS.get(function) if isinstance(function, _Name) else None
    if called is None or not isinstance(arguments, tuple):
        raise CheckpointError("the pickle calls something that is no function of torch's own")
    return called(*arguments)


def _persistent(reference: Any) -> Storage:
    """("storage", type, key, location, size)."""
    if not isinstance(reference, tuple) or reference[:1] != ("storage",):
        raise CheckpointError("the pickle refers to something that is no storage")
    _, kind, key, _, size = _fields(reference, "a storage", str, _Name, str, str, int)
    if kind != _Name("torch.storage", "UntypedStorage") and kind.name not in _STORAGES:
        raise CheckpointError(f"a storage has type {kind.module}.{kind.name}")
    return Storage(key, _STORAGES.get(kind.name), size)


class _Machine:
    """The pickle machine: a stack, a memo, and the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def take(self, count: int) -> bytes:
        found = self.data[self.at : self.at + count]
        if len(found) < count:
            raise CheckpointError("the pickle is truncated")
        self.at += count
        return found

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + 1000)
        if end < 0:
            raise CheckpointError("the pickle is truncated")
        return self.take(end + 1 - self.at)[:-1].decode("utf-8", "replace")

    def pop(self) -> Any:
        if not self.stack:
            raise CheckpointError("the pickle takes from an empty stack")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def name(self, module: Any, name: Any) -> _Name:
        if type(module) is not str or type(name) is not str:
            raise CheckpointError("the pickle names something that is no name")
        found = _Name(module, name)
        if found not in _ALLOWED:
            raise CheckpointError(
                f"the pickle names {module:.80}.{name:.80}, which a file of tensors has no need "
                "of: it is refused"
            )
        return found

    def get(self, index: int) -> Any:
        if index not in self.memo:
            raise CheckpointError("the pickle takes from an empty memo")
        return self.memo[index]

    def put(self, index: int) -> None:
        self.stack.append(item := self.pop())
        self.memo[index] = item

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1] if self.stack else None
        if type(target) is not dict or len(items) % 2:
            raise CheckpointError("the pickle fills something that is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                raise CheckpointError(f"a dictionary has a {type(key).__name__} for a key")
            target[key] = value

    def extend(self, items: list[Any]) -> None:
        if not self.stack or type(self.stack[-1]) is not list:
            raise CheckpointError("the pickle fills something that is no list")
        self.stack[-1].extend(items)

    def reduce(self) -> None:
        arguments = self.pop()
        self.stack.append(_call(self.pop(), arguments))

    def build(self) -> None:
        """OrderedDict's attributes (a state dict's versions): not needed."""
        self.pop()
        if not self.stack or type(self.stack[-1]) is not dict:
            raise CheckpointError("the pickle sets attributes of something that has none")

    def tuple_of(self, count: int) -> None:
        self.stack.append(tuple([self.pop() for _ in range(count)][::-1]))

    def run(self) -> Any:
        if self.take(1) != b"\x80" or self.take(1)[0] not in _PROTOCOLS:
            raise CheckpointError("the pickle has an unknown protocol")
        while (opcode := self.take(1)) != b".":
            action = _OPCODES.get(opcode)
            if action is None:
                raise CheckpointError(f"the pickle has opcode {opcode!r}: it is refused")
            action(self)
        return self.pop()


def _push(value: Callable[[_Machine], Any]) -> Callable[[_Machine], Any]:
    return lambda m: m.stack.append(value(m))


def _stack_global(m: _Machine) -> None:
    name = m.pop()
    m.stack.append(m.name(m.pop(), name))


def _set_item(m: _Machine) -> None:
    value = m.pop()
    m.set_items([m.pop(), value])


def _text(m: _Machine, layout: str) -> str:
    return m.take(m.number(layout)).decode("utf-8", "replace")


_OPCODES: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x95": lambda m: m.take(8),  # FRAME
    b"(": _push(lambda m: _MARK),
    b"0": lambda m: m.pop(),
    b"}": _push(lambda m: {}),
    b"]": _push(lambda m: []),
    b")": _push(lambda m: ()),
    b"N": _push(lambda m: None),
    b"\x88": _push(lambda m: True),
    b"\x89": _push(lambda m: False),
    b"J": _push(lambda m: m.number("<i")),
    b"K": _push(lambda m: m.number("<B")),
    b"M": _push(lambda m: m.number("<H")),
    b"\x8a": _push(lambda m: int.from_bytes(m.take(m.number("<B")), "little", signed=True)),
    b"G": _push(lambda m: m.number(">d")),
    b"X": _push(lambda m: _text(m, "<I")),
    b"\x8c": _push(lambda m: _text(m, "<B")),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"t": lambda m: m.stack.append(tuple(m.pop_to_mark())),
    b"s": _set_item,
    b"u": lambda m: m.set_items(m.pop_to_mark()),
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.pop_to_mark()),
    b"c": _push(lambda m: m.name(m.line(), m.line())),
    b"\x93": _stack_global,
    b"h": _push(lambda m: m.get(m.number("<B"))),
    b"j": _push(lambda m: m.get(m.number("<I"))),
    b"q": lambda m: m.put(m.number("<B")),
    b"r": lambda m: m.put(m.number("<I")),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"R": lambda m: m.reduce(),
    b"b": lambda m: m.build(),
    b"Q": _push(lambda m: _persistent(m.pop())),
}


def read_pickle(data: bytes) -> Any:
    """What the pickle describes: dicts, lists, numbers, strings, and the classes of this module.

    Raises:
        CheckpointError: it is too long, damaged, or names anything else.
    """
    if len(data) > MAX_PICKLE_BYTES:
        raise CheckpointError(f"the pickle has {len(data)} bytes; expected at most 16 MiB")
    return _Machine(data).run()
