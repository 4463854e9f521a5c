"""Finds the distribution that provides an imported module, and the source of that information.

In order: the requirements of the tree, the curated tables, the metadata of installed distributions. Any
other module is left to the user: a guessed name may be an unrelated package.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Collection, Mapping
from typing import Literal

import msgspec

from argosy.source.distributions import distributions_by_module, is_provider, normalize_name

MatchSource = Literal["declared", "table", "installed"]

# The choice among several distributions of one module: the one for a machine without a display or a GPU.
_PREFERRED_DISTRIBUTIONS: Mapping[str, str] = {
    "Levenshtein": "levenshtein",
    "PIL": "pillow",
    "cupy": "cupy-cuda12x",
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "google": "protobuf",
    "netifaces": "netifaces",
    "onnxruntime": "onnxruntime",
    "opentelemetry": "opentelemetry-api",
    "psycopg2": "psycopg2-binary",
    "pynvml": "nvidia-ml-py",
    "tensorflow": "tensorflow",
}
# Modules in namespace packages.
_NAMESPACE_DISTRIBUTIONS: Mapping[str, str] = {
    "google.auth": "google-auth",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.pubsub": "google-cloud-pubsub",
    "google.cloud.speech": "google-cloud-speech",
    "google.cloud.storage": "google-cloud-storage",
    "google.cloud.texttospeech": "google-cloud-texttospeech",
    "google.cloud.translate": "google-cloud-translate",
    "google.genai": "google-genai",
    "google.generativeai": "google-generativeai",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "opentelemetry.exporter.otlp": "opentelemetry-exporter-otlp",
    "opentelemetry.sdk": "opentelemetry-sdk",
}
# Verified distributions whose module has the same name.
_SAME_NAME_TEXT = """
accelerate aiofiles aiohttp aioredis aiosqlite alembic anthropic anyio apscheduler argosy arrow asyncpg
bidict bitsandbytes blinker bokeh boto3 botocore bottle cachetools celery certifi cffi chardet
charset_normalizer click cloudpickle colorama coloredlogs croniter cryptography ctranslate2 cython dask
datasets defusedxml diffusers dill distributed django docker duckdb einops elasticsearch emoji evaluate
fastapi faster_whisper fasttext feedparser filelock filterpy flask fsspec ftfy gensim gevent googletrans
gradio graphviz greenlet gunicorn h11 h2 h5py hiredis httptools httpx huggingface_hub humanize idna
imageio insightface itsdangerous jax jieba jinja2 jiwer joblib jsonpatch jsonpointer jsonschema keras
keyboard kombu langchain langdetect langid librosa lightgbm llvmlite loguru lxml mako markdown
markupsafe marshmallow matplotlib mediapipe mido more_itertools moviepy mpmath msgpack msgspec multidict
mutagen netifaces networkx nltk noisereduce nose numba numexpr numpy oauthlib onnx onnxruntime openai
openpyxl optimum optuna orjson packaging pandas paramiko passlib pathspec peewee peft pendulum pexpect
pika plotly portalocker prettytable prometheus_client prompt_toolkit protobuf psutil pvporcupine pyarrow
pyasn1 pyaudio pyautogui pycparser pydantic pydantic_core pydantic_settings pydub pyfiglet pyflakes
pygame pygments pymongo pymysql pynput pyparsing pypdf pyperclip pyttsx3 pytz rapidfuzz ray redis regex
requests resampy rich sacrebleu sacremoses safetensors schedule scipy seaborn selenium
sentence_transformers sentencepiece sentry_sdk setproctitle shapely shortuuid simplejson six
sklearn_crfsuite sniffio sortedcontainers sounddevice soundfile soupsieve soxr spacy sqlalchemy sqlmodel
starlette statsmodels stanza structlog sympy tabulate tenacity tensorboard tensorflow termcolor textblob
threadpoolctl tiktoken timm tokenizers toml tomli tomlkit toolz torch torchaudio torchvision tornado
tqdm traitlets transformers trio trl tts typer typing_extensions tzdata tzlocal ujson unidecode urllib3
uvicorn uvloop wandb watchdog watchfiles webdriver_manager webrtcvad websockets werkzeug wikipedia wrapt
xformers xgboost xlrd xmltodict yarl yfinance zeroconf zstandard
"""
_SAME_NAME = frozenset(_SAME_NAME_TEXT.split())
# Distributions that do not exist for Linux.
NOT_ON_LINUX = frozenset(
    {"pywin32", "pyobjc-core", "pyobjc", "wmi", "pywinauto", "comtypes", "windows-curses"}
)


class DistributionMatch(msgspec.Struct, frozen=True):
    """The distribution that provides a module, by normalized name, and the source of that information."""

    distribution: str
    source: MatchSource


def find_distribution(
    module: str,
    declared: Collection[str],
    find_installed: Callable[[str], str | None] | None = None,
) -> DistributionMatch | None:
    """Return the distribution that provides the dotted `module`, or None if unknown.

    declared: the normalized names of the distributions that the tree requires. find_installed: returns the
    installed distribution of a top-level module; None to skip this source.
    """
    top = module.partition(".")[0]
    part = _namespace_distribution(module)
    named = sorted(name for name in declared if is_provider(name, (top,)))
    if part is not None and (part in declared or not named):
        return DistributionMatch(part, "declared" if part in declared else "table")
    if named:
        preferred = _PREFERRED_DISTRIBUTIONS.get(top)
        return DistributionMatch(preferred if preferred in named else named[0], "declared")
    known = distributions_by_module().get(top, ())
    if top in _PREFERRED_DISTRIBUTIONS or len(known) == 1:
        return DistributionMatch(_PREFERRED_DISTRIBUTIONS.get(top) or known[0], "table")
    if top in _SAME_NAME or top.lower() in _SAME_NAME:
        return DistributionMatch(normalize_name(top), "table")
    found = find_installed(top) if find_installed is not None else None
    return DistributionMatch(found, "installed") if found is not None else None


def is_namespace(module: str) -> bool:
    """Return whether its top-level package is shared by many distributions, so that it identifies none."""
    tops = {part.partition(".")[0] for part in _NAMESPACE_DISTRIBUTIONS}
    return module.partition(".")[0] in tops and _namespace_distribution(module) is None


def _namespace_distribution(module: str) -> str | None:
    while module:
        if module in _NAMESPACE_DISTRIBUTIONS:
            return _NAMESPACE_DISTRIBUTIONS[module]
        module = module.rpartition(".")[0]
    return None


def find_installed_distribution(top: str) -> str | None:
    """Return the only installed distribution with the top-level module `top`; None for none or several."""
    found = {normalize_name(name) for name in _installed_distributions().get(top, ())}
    return found.pop() if len(found) == 1 else None


@functools.cache
def _installed_distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()
