"""Layers of well-known models: what linear layers are, and 1x1 convolutions as products."""

from __future__ import annotations

from typing import NamedTuple


class Layer(NamedTuple):
    """The weight of a linear layer."""

    m: int  # out_features
    k: int  # in_features

    @property
    def name(self) -> str:
        """Such as "14336x4096"."""
        return f"{self.m}x{self.k}"


# Every linear layer of one block of each, by shape, once, and those outside the blocks.
MODELS = {
    "Llama-3-8B": (
        *(Layer(4096, 4096), Layer(1024, 4096), Layer(14336, 4096), Layer(4096, 14336)),
        Layer(128256, 4096),
    ),
    "Llama-3-70B": (
        *(Layer(8192, 8192), Layer(1024, 8192), Layer(28672, 8192), Layer(8192, 28672)),
        Layer(128256, 8192),
    ),
    "Llama-2-7B": (
        *(Layer(4096, 4096), Layer(11008, 4096), Layer(4096, 11008), Layer(32000, 4096)),
    ),
    "Qwen2.5-7B": (
        *(Layer(3584, 3584), Layer(512, 3584), Layer(18944, 3584), Layer(3584, 18944)),
        Layer(152064, 3584),
    ),
    "Mixtral-8x7B": (  # 8: the router
        *(Layer(4096, 4096), Layer(1024, 4096), Layer(8, 4096), Layer(14336, 4096)),
        *(Layer(4096, 14336), Layer(32000, 4096)),
    ),
    "BERT-base": (Layer(768, 768), Layer(3072, 768), Layer(768, 3072), Layer(30522, 768)),
    "BERT-large": (Layer(1024, 1024), Layer(4096, 1024), Layer(1024, 4096), Layer(30522, 1024)),
    "ViT-L": (
        *(Layer(3072, 1024), Layer(1024, 1024), Layer(4096, 1024), Layer(1024, 4096)),
        Layer(1000, 1024),
    ),
    "FLUX.1": (  # double blocks, single blocks (21504, 15360), modulation, embedders, the last
        *(Layer(9216, 3072), Layer(3072, 3072), Layer(12288, 3072), Layer(3072, 12288)),
        *(Layer(21504, 3072), Layer(3072, 15360), Layer(18432, 3072), Layer(6144, 3072)),
        *(Layer(3072, 64), Layer(3072, 4096), Layer(3072, 256), Layer(3072, 768)),
        Layer(64, 3072),
    ),
}


class Convolution(NamedTuple):
    """A 1x1 convolution: [channels_out, channels_in], at so many places of an image."""

    m: int
    k: int
    places: int


# ResNeXt-101 32x8d (Xie et al., arXiv:1611.05431, with groups 32 wide 8) at 224x224: the first and
# the last convolution of each kind of block, and the one beside it where the extent changes.
RESNEXT_101_32X8D = (
    *(Convolution(256, 64, 56 * 56), Convolution(256, 256, 56 * 56)),
    *(Convolution(512, 256, 56 * 56), Convolution(512, 512, 28 * 28)),
    *(Convolution(512, 256, 28 * 28), Convolution(1024, 512, 28 * 28)),
    *(Convolution(1024, 1024, 14 * 14), Convolution(1024, 512, 14 * 14)),
    *(Convolution(2048, 1024, 14 * 14), Convolution(2048, 2048, 7 * 7)),
    Convolution(2048, 1024, 7 * 7),
)
