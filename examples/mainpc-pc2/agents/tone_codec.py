"""Sound as samples: a toy code of tones that carries text, and the arithmetic that finds it again.

Each byte of the text is two tones of BURST samples, one per half. The sixteen tones are whole
numbers of turns per burst, so they are orthogonal: a discrete Fourier transform at these sixteen
frequencies tells which one sounds (Goertzel 1958 computes the same sums).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from operator import mul
from typing import Final

RATE: Final = 8000  # samples a second
BURST: Final = 64
LOWEST: Final = 4  # turns per burst of the tone for 0
AMPLITUDE: Final = 8000
MOST_BYTES: Final = 400

_ANGLES: Final = [2 * math.pi * n / BURST for n in range(BURST)]
_SINES: Final = [[math.sin((LOWEST + k) * a) for a in _ANGLES] for k in range(16)]
_COSINES: Final = [[math.cos((LOWEST + k) * a) for a in _ANGLES] for k in range(16)]


def say_in_tones(text: str) -> array[int]:
    """Return the samples that carry `text`.

    Raises ValueError: the text is empty, or longer than MOST_BYTES bytes.
    """
    data = text.encode()
    if not 0 < len(data) <= MOST_BYTES:
        raise ValueError(f"an utterance has 1 to {MOST_BYTES} bytes, this one has {len(data)}")
    samples = array("h")
    for byte in data:
        for half in (byte >> 4, byte & 15):
            samples.extend(round(AMPLITUDE * value) for value in _SINES[half])
    return samples


def hear_tones(samples: Sequence[float]) -> str:
    """Return the text that the samples carry.

    Raises ValueError: they are not whole bytes of tones, or no text.
    """
    halves = [_loudest(samples[at : at + BURST]) for at in range(0, len(samples), BURST)]
    if len(samples) % (2 * BURST) or not halves:
        raise ValueError(f"{len(samples)} samples are not a whole number of bytes of {2 * BURST}")
    data = bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True))
    return data.decode()


def in_a_room(samples: array[int], quiet: int = 5, offset: int = 300) -> array[int]:
    """Return the samples as a microphone gives them: silence around them, an offset, a faint hum."""
    silence = array("h", bytes(2 * quiet * BURST))
    heard = silence + samples + silence
    return array("h", (value + offset + (n * 7919 % 61 - 30) for n, value in enumerate(heard)))


def without_offset(samples: Sequence[int]) -> list[float]:
    """Return the samples moved to mean zero and scaled to a peak of 1; silence stays silence."""
    mean = sum(samples) / len(samples)
    centred = [value - mean for value in samples]
    peak = max(map(abs, centred)) or 1.0
    return [value / peak for value in centred]


def energies(samples: Sequence[float]) -> list[float]:
    """Return the mean square of each burst's length of samples."""
    bursts = (samples[at : at + BURST] for at in range(0, len(samples), BURST))
    return [sum(map(mul, burst, burst)) / len(burst) for burst in bursts]


def voiced(samples: Sequence[float], floor: float) -> Sequence[float]:
    """Return the part from the first to the last burst whose energy is above `floor`; may be empty."""
    loud = [index for index, energy in enumerate(energies(samples)) if energy > floor]
    return samples[loud[0] * BURST : (loud[-1] + 1) * BURST] if loud else samples[:0]


def voice(word: str, pitch_hz: float) -> array[int]:
    """Return a word as it is spoken: a tone per letter, vowels long and low, each faded in and out."""
    samples = array("h")
    for letter in word:
        count = 480 if letter in "aeiou" else 240
        turn = 2 * math.pi * (pitch_hz + 12 * (ord(letter) % 26)) / RATE
        fade = [math.sin(math.pi * n / count) for n in range(count)]
        samples.extend(round(AMPLITUDE * f * math.sin(turn * n)) for n, f in enumerate(fade))
    return samples


def pack(samples: Iterable[float]) -> bytes:
    """Return samples between -1 and 1 as 16-bit bytes."""
    return array("h", (round(value * 32767) for value in samples)).tobytes()


def unpack(data: bytes) -> array[int]:
    """Return the samples in 16-bit bytes; raises ValueError for half a sample."""
    samples = array("h")
    samples.frombytes(data)
    return samples


def _loudest(burst: Sequence[float]) -> int:
    """Return which of the sixteen tones sounds in a burst."""
    if len(burst) < BURST:
        return 0
    powers = [
        sum(map(mul, burst, sines)) ** 2 + sum(map(mul, burst, cosines)) ** 2
        for sines, cosines in zip(_SINES, _COSINES, strict=True)
    ]
    return powers.index(max(powers))
