"""The networks of the cascade: a 3D U-Net for locating and outlining, and the Btrfly Net for naming.

Both compute on half the resolution they read and answer on the full one: a stem packs 2 x 2 (x 2) neighbouring samples
into channels, the head unpacks them. That is a quarter of the work of the same network at full resolution.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from verse_morph.errors import InputError
from verse_morph.segment.group_norm import FastGroupNorm


@dataclass(frozen=True)
class UNetShape:
    """Size of a 3D U-Net.

    Parameters
    ----------
    inputs, outputs : int
        Channels read and written.
    widths : tuple of int
        Channels per level; each level has half the resolution of the one before, the first half that of the input.
    """

    inputs: int
    outputs: int
    widths: tuple[int, ...] = (24, 48, 96, 128)

    @property
    def divisor(self) -> int:
        """What every side of the input must be a multiple of."""
        return int(2 ** len(self.widths))


@dataclass(frozen=True)
class BtrflyShape:
    """Size of a Btrfly Net: channels per view, heatmaps per view, channels per level of each arm."""

    inputs: int
    outputs: int
    widths: tuple[int, ...] = (24, 48, 96, 144, 192)

    @property
    def divisor(self) -> int:
        """What both sides of the views must be a multiple of."""
        return int(2 ** len(self.widths))


Shape = UNetShape | BtrflyShape
_KINDS: Mapping[str, type[UNetShape] | type[BtrflyShape]] = {"unet3d": UNetShape, "btrfly": BtrflyShape}


def describe(shape: Shape) -> dict[str, Any]:
    """A network's size as plain values, for model cards and checkpoints."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(shape, cls))
    return {"kind": kind, **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(shape).items()}}


def shape_from(description: Mapping[str, Any]) -> Shape:
    """The size that :func:`describe` described.

    Raises
    ------
    InputError
        It is of a network that this version does not have.
    """
    values = dict(description)
    kind = values.pop("kind", None)
    if kind not in _KINDS:
        raise InputError(f"the weights are for a network of kind {kind!r}; this version has {', '.join(_KINDS)}")
    try:
        values["widths"] = tuple(values["widths"])
        return _KINDS[kind](**values)
    except (KeyError, TypeError) as error:
        raise InputError(f"the weights describe a {kind} of another version: {dict(description)}") from error


def build(shape: Shape) -> nn.Module:
    """A network of this size with random weights."""
    return UNet3d(shape) if isinstance(shape, UNetShape) else Btrfly(shape)


def side_multiple(model: nn.Module) -> int:
    """What every side of a network's input must be a multiple of."""
    if not isinstance(model, UNet3d | Btrfly):
        raise TypeError(f"{type(model).__name__} is no network of the cascade")
    return model.shape.divisor


class _Block(nn.Module):
    """Convolution, group norm, rectifier, with a short cut around it where channels allow."""

    def __init__(self, dims: int, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__()
        conv = nn.Conv3d if dims == 3 else nn.Conv2d
        self.conv = conv(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = FastGroupNorm(8, outputs)
        self.short = inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return functional.relu(x + y if self.short else y, inplace=True)


class UNet3d(nn.Module):
    """A 3D U-Net whose skip connections are added, not concatenated: (b, inputs, i, j, k) to (b, outputs, i, j, k)."""

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        self.shape = shape
        widths = shape.widths
        self.stem = _Block(3, 8 * shape.inputs, widths[0])
        self.encoder = nn.ModuleList([nn.Sequential(_Block(3, widths[0], widths[0]))])
        self.down, self.up, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for fine, coarse in itertools.pairwise(widths):
            self.down.append(nn.Conv3d(fine, coarse, 2, stride=2))
            self.encoder.append(nn.Sequential(_Block(3, coarse, coarse), _Block(3, coarse, coarse)))
            self.up.append(nn.ConvTranspose3d(coarse, fine, 2, stride=2))
            self.decoder.append(_Block(3, fine, fine))
        self.head = nn.Conv3d(widths[0], 8 * shape.outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits at full resolution."""
        x = self.encoder[0](self.stem(unshuffle3d(x)))
        skips = [x]
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            x = block(down(x))
            skips.append(x)
        x = skips.pop()
        for up, block in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = block(up(x) + skips.pop())
        return shuffle3d(self.head(x))


def unshuffle3d(x: Tensor) -> Tensor:
    """Pack 2 x 2 x 2 neighbours into channels: (b, c, i, j, k) to (b, 8 c, i/2, j/2, k/2)."""
    b, c, i, j, k = x.shape
    x = x.reshape(b, c, i // 2, 2, j // 2, 2, k // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, 8 * c, i // 2, j // 2, k // 2)


def shuffle3d(x: Tensor) -> Tensor:
    """Undo :func:`unshuffle3d`."""
    b, c, i, j, k = x.shape
    x = x.reshape(b, c // 8, 2, 2, 2, i, j, k)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // 8, 2 * i, 2 * j, 2 * k)


class _Arm(nn.Module):
    """One view's way down to the bottleneck and back up."""

    def __init__(self, shape: BtrflyShape) -> None:
        super().__init__()
        widths = shape.widths
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _Block(2, 4 * shape.inputs, widths[0]))
        self.encoder = nn.ModuleList([_Block(2, widths[0], widths[0])])
        self.down, self.up, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for fine, coarse in itertools.pairwise(widths):
            self.down.append(nn.Conv2d(fine, coarse, 2, stride=2))
            self.encoder.append(nn.Sequential(_Block(2, coarse, coarse), _Block(2, coarse, coarse)))
            self.up.append(nn.ConvTranspose2d(coarse, fine, 2, stride=2))
            self.decoder.append(nn.Sequential(_Block(2, fine, fine), _Block(2, fine, fine)))
        self.head = nn.Sequential(nn.Conv2d(widths[0], 4 * shape.outputs, 1), nn.PixelShuffle(2))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of every level, finest first."""
        features = [self.encoder[0](self.stem(x))]
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            features.append(block(down(features[-1])))
        return features

    def decode(self, fused: Tensor, skips: list[Tensor]) -> Tensor:
        """Heatmaps from the fused bottleneck."""
        x = fused
        for up, block, skip in zip(reversed(self.up), reversed(self.decoder), reversed(skips[:-1]), strict=True):
            x = block(up(x) + skip)
        return self.head(x)


class Btrfly(nn.Module):
    """The Btrfly Net (Sekuboyina et al. 2018): two 2D arms on a sagittal and a coronal view, fused at the bottleneck.

    Both views are (b, inputs, height, width) with the head at the first row of neither or both: rows are the same
    heights in both. Where the original concatenates pixels of both views that lie nowhere near each other, here every
    row of one view sees the mean of the same row of the other: only the height has a common meaning.
    """

    def __init__(self, shape: BtrflyShape) -> None:
        super().__init__()
        self.shape = shape
        deepest = shape.widths[-1]
        self.sagittal, self.coronal = _Arm(shape), _Arm(shape)
        self.fuse = nn.ModuleList([nn.Conv2d(2 * deepest, deepest, 1) for _ in range(2)])
        # Far neighbours along the spine tell the level: dilated convolutions see some 40 cm up and down.
        self.context = nn.ModuleList(
            [nn.Sequential(*[_Block(2, deepest, deepest, dilation) for dilation in (1, 2, 4)]) for _ in range(2)]
        )

    def forward(self, sagittal: Tensor, coronal: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both views, each (b, outputs, height, width)."""
        views = [self.sagittal.encode(sagittal), self.coronal.encode(coronal)]
        deep = [view[-1] for view in views]
        rows = [d.mean(dim=-1, keepdim=True) for d in deep]
        heatmaps = []
        for k, arm in enumerate((self.sagittal, self.coronal)):
            other = rows[1 - k].expand(-1, -1, -1, deep[k].shape[-1])
            fused = self.context[k](self.fuse[k](torch.cat([deep[k], other], dim=1)))
            heatmaps.append(arm.decode(fused, views[k]))
        return heatmaps[0], heatmaps[1]
