"""What is known of packages beside their names: who is heavy, who computes on a GPU, who needs the system.

Nothing here is a size: sizes are read from what was built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# Brings hundreds of megabytes, by itself or by what it needs.
_HEAVY_NAMES = """
accelerate bitsandbytes ctranslate2 cupy-cuda11x cupy-cuda12x datasets diffusers faiss-gpu
faster-whisper insightface jax keras librosa llama-cpp-python mediapipe moviepy onnxruntime
onnxruntime-gpu openai-whisper opencv-contrib-python opencv-contrib-python-headless opencv-python
opencv-python-headless optimum pandas peft pyarrow ray resampy scikit-image scikit-learn scipy
sentence-transformers spacy stanza tensorboard tensorflow tensorflow-cpu tensorflow-gpu timm torch
torchaudio torchvision transformers trl tts umap-learn xformers xgboost
"""
HEAVY_PACKAGES: Final = frozenset(_HEAVY_NAMES.split())
# Computes on a GPU where it is given one; other groups get the build for processors alone.
_GPU_NAMES = """
accelerate bitsandbytes ctranslate2 cupy-cuda11x cupy-cuda12x diffusers faiss-gpu faster-whisper
insightface jax llama-cpp-python onnxruntime-gpu openai-whisper optimum peft sentence-transformers
tensorflow tensorflow-gpu torch torchaudio torchvision transformers trl tts xformers
"""
GPU_PACKAGES: Final = frozenset(_GPU_NAMES.split())
# Compiled for one architecture, with the variable that its build reads; `{}` is the capability: 89, or 8.9.
COMPILED_PACKAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "llama-cpp-python": {"CMAKE_ARGS": "-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES={plain}"},
    "xformers": {"TORCH_CUDA_ARCH_LIST": "{dotted}"},
    "bitsandbytes": {"COMPUTE_CAPABILITY": "{plain}"},
    "flash-attn": {"TORCH_CUDA_ARCH_LIST": "{dotted}"},
}
# Shared libraries that a wheel loads and does not bring, as Debian calls their packages.
SYSTEM_LIBRARIES: Final[Mapping[str, tuple[str, ...]]] = {
    "opencv-contrib-python": ("libgl1", "libglib2.0-0t64"),
    "opencv-python": ("libgl1", "libglib2.0-0t64"),
    "pyaudio": ("libasound2-data", "libportaudio2"),
    "pydub": ("ffmpeg",),
    "pyttsx3": ("libespeak-ng1",),
    "python-magic": ("libmagic1t64",),
    "openai-whisper": ("ffmpeg",),
    "sounddevice": ("libasound2-data", "libportaudio2"),
    "webrtcvad": (),
    "selenium": ("chromium", "chromium-driver"),
}
# Folders that a package writes to when it is imported, with the variable that moves them.
CACHE_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "huggingface-hub": ("HF_HOME",),
    "librosa": ("NUMBA_CACHE_DIR",),
    "matplotlib": ("MPLCONFIGDIR",),
    "numba": ("NUMBA_CACHE_DIR",),
    "transformers": ("HF_HOME",),
}

# The capability by the model's name, as NVIDIA lists it.
_COMPUTE_CAPABILITIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), capability)
    for pattern, capability in (
        (r"RTX\s*50\d0|RTX\s*PRO\s*[2-6]\d00", "12.0"),
        (r"\bB[12]00\b|GB200", "10.0"),
        (r"\bH[12]00\b|GH200", "9.0"),
        (r"RTX\s*40\d0|\bL4\b|\bL40S?\b|RTX\s*\d000\s*Ada", "8.9"),
        (r"RTX\s*30\d0|\bA10G?\b|\bA16\b|\bA2\b|\bA40\b|RTX\s*A\d000", "8.6"),
        (r"\bA100\b|\bA30\b", "8.0"),
        (r"RTX\s*20\d0|GTX\s*16\d0|\bT4\b|Quadro\s*RTX", "7.5"),
        (r"\bV100\b|TITAN\s*V", "7.0"),
        (r"GTX\s*10\d0|TITAN\s*X|\bP40\b|\bP4\b", "6.1"),
        (r"\bP100\b", "6.0"),
    )
)


def gpu_architecture(gpu: str | None) -> str | None:
    """Return such as `sm_89` for a GPU's model as people write it (`RTX 4090`); None for an unknown one."""
    if gpu is None:
        return None
    architecture = re.search(r"\bsm_(\d{2,3})\b", gpu)
    if architecture is not None:
        return architecture[0]
    capability = next((known for pattern, known in _COMPUTE_CAPABILITIES if pattern.search(gpu)), None)
    return None if capability is None else f"sm_{capability.replace('.', '')}"


def build_variables(distribution: str, architecture: str) -> dict[str, str]:
    """Return what the build of a package reads, for an architecture such as `sm_89`."""
    plain = architecture.removeprefix("sm_")
    dotted = f"{plain[:-1]}.{plain[-1]}"
    variables = COMPILED_PACKAGES.get(distribution, {})
    return {name: text.format(plain=plain, dotted=dotted) for name, text in variables.items()}
