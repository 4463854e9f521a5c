"""Tables of known packages: heavy ones, GPU packages, system libraries, build and cache variables.

There are no sizes here: these are read from locks and built images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# Hundreds of megabytes, including dependencies.
_HEAVY_NAMES = """
accelerate bitsandbytes ctranslate2 cupy-cuda11x cupy-cuda12x datasets diffusers faiss-gpu
faster-whisper insightface jax keras librosa llama-cpp-python mediapipe moviepy onnxruntime
onnxruntime-gpu openai-whisper opencv-contrib-python opencv-contrib-python-headless opencv-python
opencv-python-headless optimum pandas peft pyarrow ray resampy scikit-image scikit-learn scipy
sentence-transformers spacy stanza tensorboard tensorflow tensorflow-cpu tensorflow-gpu timm torch
torchaudio torchvision transformers trl tts umap-learn xformers xgboost
"""
HEAVY_PACKAGES: Final = frozenset(_HEAVY_NAMES.split())
# Compute on a GPU where there is one; other groups get the CPU-only build.
_GPU_NAMES = """
accelerate bitsandbytes ctranslate2 cupy-cuda11x cupy-cuda12x diffusers faiss-gpu faster-whisper
insightface jax llama-cpp-python onnxruntime-gpu openai-whisper optimum peft sentence-transformers
tensorflow tensorflow-gpu torch torchaudio torchvision transformers trl tts xformers
"""
GPU_PACKAGES: Final = frozenset(_GPU_NAMES.split())
# Compiled for one GPU architecture, with the variable that the build reads. `{plain}` is the compute
# capability as 89, `{dotted}` as 8.9.
COMPILED_PACKAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "llama-cpp-python": {"CMAKE_ARGS": "-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES={plain}"},
    "xformers": {"TORCH_CUDA_ARCH_LIST": "{dotted}"},
    "bitsandbytes": {"COMPUTE_CAPABILITY": "{plain}"},
    "flash-attn": {"TORCH_CUDA_ARCH_LIST": "{dotted}"},
}
# Debian packages of shared libraries that a wheel loads and does not contain.
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

# The compute capability by the model's name, as NVIDIA lists it.
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
    """Return the architecture (`sm_89`) of a GPU model such as `RTX 4090`; None for an unknown one."""
    if gpu is None:
        return None
    architecture = re.search(r"\bsm_(\d{2,3})\b", gpu)
    if architecture is not None:
        return architecture[0]
    capability = next((known for pattern, known in _COMPUTE_CAPABILITIES if pattern.search(gpu)), None)
    return None if capability is None else f"sm_{capability.replace('.', '')}"


def build_variables(distribution: str, architecture: str) -> dict[str, str]:
    """Return the variables that the build of a package reads, for an architecture such as `sm_89`."""
    plain = architecture.removeprefix("sm_")
    dotted = f"{plain[:-1]}.{plain[-1]}"
    variables = COMPILED_PACKAGES.get(distribution, {})
    return {name: text.format(plain=plain, dotted=dotted) for name, text in variables.items()}
