"""Encodes text as tones in audio samples, and decodes it.

Each byte of the text becomes two tones of BURST samples, one per half. The sixteen tones have whole
numbers of periods per burst, so they are orthogonal: a discrete Fourier transform at these sixteen
frequencies identifies the tone (Goertzel 1958 computes the same sums).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from operator import mul
from typing import Final

RATE: Final = 8000  # samples a second
BURST: Final = 64
LOWEST: Final = 4  # periods per burst of the tone for 0
AMPLITUDE: Final = 8000
MAX_BYTES: Final = 400

_ANGLES: Final = [2 * math.pi * n / BURST for n in range(BURST)]
_SINES: Final = [[math.sin((LOWEST + k) * a) for a in _ANGLES] for k in range(16)]
_COSINES: Final = [[math.cos((LOWEST + k) * a) for a in _ANGLES] for k in range(16)]


def encode_tones(text: str) -> array[int]:
    """Return `text` encoded as samples.

    Raises ValueError: the text is empty, or longer than MAX_BYTES bytes.
    """
    data = text.encode()
    if not 0 < len(data) <= MAX_BYTES:
        raise ValueError(f"an utterance has 1 to {MAX_BYTES} bytes, this one has {len(data)}")
    samples = array("h")
    for byte in data:
        for half in (byte >> 4, byte & 15):
            samples.extend(round(AMPLITUDE * value) for value in _SINES[half])
    return samples


def decode_tones(samples: Sequence[float]) -> str:
    """Return the text encoded in samples.

    Raises ValueError: they are not a whole number of bytes, or not UTF-8.
    """
    halves = [_strongest_tone(samples[at : at + BURST]) for at in range(0, len(samples), BURST)]
    if len(samples) % (2 * BURST) or not halves:
        raise ValueError(f"{len(samples)} samples are not a whole number of bytes of {2 * BURST}")
    data = bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True))
    return data.decode()


def add_room_noise(samples: array[int], quiet: int = 5, offset: int = 300) -> array[int]:
    """Return the samples as recorded by a microphone: surrounded by silence, with an offset and noise."""
    silence = array("h", bytes(2 * quiet * BURST))
    recorded = silence + samples + silence
    return array("h", (value + offset + (n * 7919 % 61 - 30) for n, value in enumerate(recorded)))


def without_offset(samples: Sequence[int]) -> list[float]:
    """Return the samples shifted to mean zero and scaled to a peak of 1; silence stays silence."""
    mean = sum(samples) / len(samples)
    centred = [value - mean for value in samples]
    peak = max(map(abs, centred)) or 1.0
    return [value / peak for value in centred]


def energies(samples: Sequence[float]) -> list[float]:
    """Return the mean square of each burst of samples."""
    bursts = (samples[at : at + BURST] for at in range(0, len(samples), BURST))
    return [sum(map(mul, burst, burst)) / len(burst) for burst in bursts]


def voiced(samples: Sequence[float], floor: float) -> Sequence[float]:
    """Return the part from the first to the last burst whose energy is above `floor`; may be empty."""
    loud = [index for index, energy in enumerate(energies(samples)) if energy > floor]
    return samples[loud[0] * BURST : (loud[-1] + 1) * BURST] if loud else samples[:0]


def voice(word: str, pitch_hz: float) -> array[int]:
    """Return a spoken word: one tone per letter, longer for vowels, each faded in and out."""
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


def _strongest_tone(burst: Sequence[float]) -> int:
    """Return the index of the strongest of the sixteen tones in a burst."""
    if len(burst) < BURST:
        return 0
    powers = [
        sum(map(mul, burst, sines)) ** 2 + sum(map(mul, burst, cosines)) ** 2
        for sines, cosines in zip(_SINES, _COSINES, strict=True)
    ]
    return powers.index(max(powers))
