"""From an imported module to the distribution that gives it, and how sure that is.

The order: what the tree's own lists ask for, the curated tables, what is installed here and says so in its
records. What none of them knows is a question to a person: a guessed name may be somebody else's package.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Collection, Mapping
from typing import Literal

import msgspec

from argosy.source.distributions import distributions_by_module, is_provider, normalize_name

MatchSource = Literal["asked", "table", "installed"]

# Where several distributions give one module: what a machine without a screen, and without a GPU, needs.
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
# Parts of tops that belong to nobody.
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
# Called as they are imported, and looked at: each of these gives the module of its own name.
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
# Nothing of these exists for Linux.
NOT_ON_LINUX = frozenset(
    {"pywin32", "pyobjc-core", "pyobjc", "wmi", "pywinauto", "comtypes", "windows-curses"}
)


class DistributionMatch(msgspec.Struct, frozen=True):
    """The distribution that gives a module, by its normalised name, and who says so."""

    distribution: str
    source: MatchSource


def find_distribution(
    module: str,
    declared: Collection[str],
    find_installed: Callable[[str], str | None] | None = None,
) -> DistributionMatch | None:
    """Return what gives the dotted `module`, or None: then only a person can tell.

    asked: the distributions that the tree's lists name, normalised. installed: from a top module to the
    distribution whose record has it; None to ask nobody.
    """
    top = module.partition(".")[0]
    part = _namespace_distribution(module)
    named = sorted(name for name in declared if is_provider(name, (top,)))
    if part is not None and (part in declared or not named):
        return DistributionMatch(part, "asked" if part in declared else "table")
    if named:
        preferred = _PREFERRED_DISTRIBUTIONS.get(top)
        return DistributionMatch(preferred if preferred in named else named[0], "asked")
    known = distributions_by_module().get(top, ())
    if top in _PREFERRED_DISTRIBUTIONS or len(known) == 1:
        return DistributionMatch(_PREFERRED_DISTRIBUTIONS.get(top) or known[0], "table")
    if top in _SAME_NAME or top.lower() in _SAME_NAME:
        return DistributionMatch(normalize_name(top), "table")
    found = find_installed(top) if find_installed is not None else None
    return DistributionMatch(found, "installed") if found is not None else None


def is_namespace(module: str) -> bool:
    """Return whether many distributions put modules under its top, so that the top tells none of them."""
    tops = {part.partition(".")[0] for part in _NAMESPACE_DISTRIBUTIONS}
    return module.partition(".")[0] in tops and _namespace_distribution(module) is None


def _namespace_distribution(module: str) -> str | None:
    while module:
        if module in _NAMESPACE_DISTRIBUTIONS:
            return _NAMESPACE_DISTRIBUTIONS[module]
        module = module.rpartition(".")[0]
    return None


def find_installed_distribution(top: str) -> str | None:
    """Return the one distribution here whose record has the top module `top`; None for none or several."""
    found = {normalize_name(name) for name in _installed_distributions().get(top, ())}
    return found.pop() if len(found) == 1 else None


@functools.cache
def _installed_distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()
