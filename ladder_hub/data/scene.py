"""Composing an image of the embedded set: what lies where, and how it is painted."""

from dataclasses import dataclass

import numpy as np

from ladder_hub.data.drawing import CLASSES, FORMS, TEXTURES, Dice, clouds

_CANVAS = 64.0
"""Lengths below are in pixels of a 64-pixel image; other sizes scale."""
_MAIN_RADIUS = (15.0, 25.0)
_COMPANION_RADIUS = (5.0, 8.0)
_PERIOD = (6.0, 9.0)
_CONTRAST = 75
_THROWS = 8


@dataclass(frozen=True)
class Thing:
    """One object: its class, centre and radius in pixels of a 64-pixel image."""

    label: int
    x: float
    y: float
    radius: float


def throw_things(dice: Dice, label: int) -> list[Thing]:
    """The main object, and up to two small ones that do not touch it."""
    placed = [_place(dice, label, dice.between(*_MAIN_RADIUS))]
    wanted = 1 + (0, 0, 1, 2)[dice.below(4)]
    for _ in range(_THROWS):
        if len(placed) == wanted:
            break
        small = _place(dice, dice.below(len(CLASSES)), dice.between(*_COMPANION_RADIUS))
        if all(_apart(small, other) for other in placed):
            placed.append(small)
    return placed


def _place(dice: Dice, label: int, radius: float) -> Thing:
    x, y = (dice.between(radius, _CANVAS - radius) for _ in range(2))
    return Thing(label, x, y, radius)


def _apart(a: Thing, b: Thing) -> bool:
    dx, dy, reach = a.x - b.x, a.y - b.y, a.radius + b.radius + 1.0
    return dx * dx + dy * dy > reach * reach


def paint_ground(dice: Dice, size: int) -> np.ndarray:
    """Clouds of one colour on another, coarse and fine; float32 (3, size, size), 0..255."""
    low, high = np.array([dice.colour(), dice.colour()], dtype=np.float32)[:, :, None, None]
    coarse, fine = 3 + dice.below(4), 9 + dice.below(8)
    field = 0.4 * clouds(_lattice(dice, coarse), size) + 0.2 * clouds(_lattice(dice, fine), size)
    return low + (high - low) * field


def _lattice(dice: Dice, side: int) -> np.ndarray:
    """float32 (side, side), 0..1 in steps of 2^-24."""
    return (dice.words(side * side) >> np.uint64(40)).astype(np.float32).reshape(side, side) * 2.0**-24


def paint_thing(canvas: np.ndarray, thing: Thing, dice: Dice, size: int) -> np.ndarray:
    """Lay one object on the canvas; returns its mask, bool (size, size)."""
    _, form, texture = CLASSES[thing.label]
    window = _window(thing, size)
    x, y = _window_grid(window, thing, size)
    u, v = _turned(x, y, dice)
    edge = FORMS[form](u / thing.radius, v / thing.radius)
    cover = np.clip(edge * (thing.radius * size / _CANVAS) + 0.5, 0.0, 1.0)
    u, v = _turned(x, y, dice)
    period, phase = dice.between(*_PERIOD), dice.between(0.0, 1.0)
    fill = TEXTURES[texture](u / period + phase, v / period + phase)
    first, second = np.array(_two_colours(dice), dtype=np.float32)[:, :, None, None]
    part = canvas[:, *window]
    part += (first + (second - first) * fill - part) * cover
    mask = np.zeros((size, size), dtype=bool)
    mask[window] = cover >= 0.5
    return mask


def _window(thing: Thing, size: int) -> tuple[slice, slice]:
    """Rows and columns that hold the object, a pixel or two more."""
    scale = size / _CANVAS
    side = int(2.0 * thing.radius * scale) + 4
    top, left = (max(0, int((centre - thing.radius) * scale) - 1) for centre in (thing.y, thing.x))
    return slice(top, top + side), slice(left, left + side)


def _turned(x: np.ndarray, y: np.ndarray, dice: Dice) -> tuple[np.ndarray, np.ndarray]:
    """The same points in axes of a random direction."""
    cos, sin = dice.direction()
    return x * cos + y * sin, y * cos - x * sin


def _window_grid(window: tuple[slice, slice], thing: Thing, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the pixel centres from the object's centre, float32 (1, w) and (h, 1)."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) * (_CANVAS / size)
    return (centres[window[1]] - thing.x)[None, :], (centres[window[0]] - thing.y)[:, None]


def _two_colours(dice: Dice) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Two colours of clearly different lightness."""
    first = second = dice.colour()
    for _ in range(8):
        second = dice.colour()
        if abs(_lightness(first) - _lightness(second)) >= _CONTRAST:
            break
    else:
        second = (24, 24, 32) if _lightness(first) > 128 else (240, 240, 232)
    return first, second


def _lightness(colour: tuple[int, int, int]) -> int:
    return (299 * colour[0] + 587 * colour[1] + 114 * colour[2]) // 1000
