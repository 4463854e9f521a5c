"""Maps distributions to the modules they provide, which may have different names.

Usually the two names differ only in case and in `-` or `_`. The tables contain the other common cases;
anything else is not guessed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping

# Normalized name of a distribution: its top-level modules.
_MODULES_BY_DISTRIBUTION: Mapping[str, tuple[str, ...]] = {
    "absl-py": ("absl",),
    "antlr4-python3-runtime": ("antlr4",),
    "apache-airflow": ("airflow",),
    "attrs": ("attr", "attrs"),
    "azure-core": ("azure",),
    "beautifulsoup4": ("bs4",),
    "biopython": ("Bio",),
    "cupy-cuda11x": ("cupy", "cupyx"),
    "cupy-cuda12x": ("cupy", "cupyx"),
    "discord-py": ("discord",),
    "django-cors-headers": ("corsheaders",),
    "django-environ": ("environ",),
    "django-filter": ("django_filters",),
    "djangorestframework": ("rest_framework",),
    "dnspython": ("dns",),
    "docker-py": ("docker",),
    "faiss-cpu": ("faiss",),
    "faiss-gpu": ("faiss",),
    "fasttext-wheel": ("fasttext",),
    "ffmpeg-python": ("ffmpeg",),
    "gitpython": ("git",),
    "google-api-python-client": ("googleapiclient",),
    "google-auth": ("google",),
    "google-cloud-storage": ("google",),
    "google-generativeai": ("google",),
    "google-genai": ("google",),
    "gputil": ("GPUtil",),
    "grpcio": ("grpc",),
    "grpcio-health-checking": ("grpc_health",),
    "grpcio-tools": ("grpc_tools",),
    "imbalanced-learn": ("imblearn",),
    "ipython": ("IPython",),
    "kafka-python": ("kafka",),
    "levenshtein": ("Levenshtein",),
    "llama-cpp-python": ("llama_cpp",),
    "memory-profiler": ("memory_profiler", "mprof"),
    "msgpack-python": ("msgpack",),
    "mysql-connector-python": ("mysql",),
    "mysqlclient": ("MySQLdb",),
    "nats-py": ("nats",),
    "netifaces2": ("netifaces",),
    "nvidia-ml-py": ("pynvml",),
    "nvidia-ml-py3": ("pynvml",),
    "onnxruntime-gpu": ("onnxruntime",),
    "openai-whisper": ("whisper",),
    "opencv-contrib-python": ("cv2",),
    "opencv-contrib-python-headless": ("cv2",),
    "opencv-python": ("cv2",),
    "opencv-python-headless": ("cv2",),
    "opentelemetry-api": ("opentelemetry",),
    "opentelemetry-exporter-otlp": ("opentelemetry",),
    "opentelemetry-sdk": ("opentelemetry",),
    "paho-mqtt": ("paho",),
    "pillow": ("PIL",),
    "pillow-simd": ("PIL",),
    "progressbar2": ("progressbar",),
    "protobuf": ("google",),
    "psycopg2-binary": ("psycopg2",),
    "py-cpuinfo": ("cpuinfo",),
    "pycryptodome": ("Crypto",),
    "pycryptodomex": ("Cryptodome",),
    "pygithub": ("github",),
    "pyhamcrest": ("hamcrest",),
    "pyjwt": ("jwt",),
    "pymupdf": ("fitz", "pymupdf"),
    "pynacl": ("nacl",),
    "pyobjc-core": ("objc",),
    "pyopenssl": ("OpenSSL",),
    "pyqt5": ("PyQt5",),
    "pyqt6": ("PyQt6",),
    "pyro5": ("Pyro5",),
    "pyserial": ("serial",),
    "pysocks": ("socks",),
    "pyspellchecker": ("spellchecker",),
    "python-dateutil": ("dateutil",),
    "python-docx": ("docx",),
    "python-dotenv": ("dotenv",),
    "python-engineio": ("engineio",),
    "python-jose": ("jose",),
    "python-json-logger": ("pythonjsonlogger",),
    "python-levenshtein": ("Levenshtein",),
    "python-magic": ("magic",),
    "python-multipart": ("multipart", "python_multipart"),
    "python-nmap": ("nmap",),
    "python-pptx": ("pptx",),
    "python-slugify": ("slugify",),
    "python-socketio": ("socketio",),
    "python-telegram-bot": ("telegram",),
    "python-vlc": ("vlc",),
    "pywin32": (
        *("win32api", "win32con", "win32gui", "win32com", "win32event", "win32file", "win32pipe"),
        *("win32process", "win32service", "win32serviceutil", "pythoncom", "pywintypes", "servicemanager"),
    ),
    "pyyaml": ("yaml",),
    "pyzmq": ("zmq",),
    "ruamel-yaml": ("ruamel",),
    "scikit-image": ("skimage",),
    "scikit-learn": ("sklearn",),
    "setuptools": ("setuptools", "pkg_resources", "_distutils_hack"),
    "speechrecognition": ("speech_recognition",),
    "tensorflow-cpu": ("tensorflow",),
    "tensorflow-gpu": ("tensorflow",),
    "umap-learn": ("umap",),
    "websocket-client": ("websocket",),
}
# Distributions used as a command, a plugin or a compiler, without an import.
_TOOLS = frozenset(
    {
        *(
            "alembic",
            "auditwheel",
            "autopep8",
            "awscli",
            "bandit",
            "black",
            "build",
            "bump2version",
            "celery",
        ),
        *("cmake", "codecov", "commitizen", "coverage", "coveralls", "cython", "flake8", "flit-core"),
        *("gunicorn", "hatchling", "honcho", "hypercorn", "httpie", "invoke", "ipdb", "isort", "jupyter"),
        *("jupyterlab", "maturin", "mkdocs", "mypy", "ninja", "notebook", "nose", "nox", "pdbpp", "pip"),
        *(
            "pip-audit",
            "pip-tools",
            "pipdeptree",
            "pipenv",
            "poetry",
            "poetry-core",
            "pre-commit",
            "pybind11",
        ),
        *("pycodestyle", "pydocstyle", "pyflakes", "pyinstaller", "pylint", "pyright", "pytest", "pyupgrade"),
        *("ruff", "safety", "scikit-build-core", "setuptools", "setuptools-scm", "sphinx", "supervisor"),
        *("tox", "tox-uv", "twine", "uv", "uvicorn", "versioneer", "virtualenv", "waitress", "wheel", "yapf"),
    }
)
_TOOL_PREFIXES = ("pytest-", "flake8-", "mypy-", "sphinx-", "sphinxcontrib-", "mkdocs-", "types-", "nvidia-")
_TOOL_SUFFIXES = ("-stubs", "-sphinx-theme", "-rtd-theme")

# Distribution: the modules that load it automatically if it is installed.
_LOADED_BY: Mapping[str, tuple[str, ...]] = {
    "accelerate": ("transformers", "diffusers", "peft", "trl"),
    "aiosqlite": ("sqlalchemy", "databases", "tortoise"),
    "argon2-cffi": ("passlib", "django"),
    "asyncpg": ("sqlalchemy", "databases", "tortoise"),
    "bcrypt": ("passlib", "paramiko", "django"),
    "bitsandbytes": ("transformers", "peft"),
    "brotli": ("aiohttp", "httpx", "urllib3", "requests"),
    "chardet": ("requests", "aiohttp", "bs4"),
    "cryptography": ("jwt", "jose", "paramiko", "pymysql", "OpenSSL", "aiortc"),
    "ctranslate2": ("faster_whisper",),
    "einops": ("transformers", "TTS"),
    "email-validator": ("pydantic", "fastapi", "wtforms"),
    "fsspec": ("pandas", "dask", "datasets"),
    "h2": ("httpx", "hypercorn"),
    "h5py": ("keras", "tensorflow", "pandas"),
    "hiredis": ("redis", "aioredis"),
    "html5lib": ("bs4", "pandas"),
    "httptools": ("uvicorn",),
    "httpx": ("fastapi", "starlette"),
    "itsdangerous": ("starlette", "flask"),
    "jinja2": ("flask", "fastapi", "starlette"),
    "lxml": ("bs4", "pandas"),
    "mysqlclient": ("django", "sqlalchemy"),
    "numpy": ("pandas", "cv2", "scipy", "sounddevice", "torch"),
    "openpyxl": ("pandas",),
    "orjson": ("fastapi",),
    "psycopg2": ("django", "sqlalchemy"),
    "psycopg2-binary": ("django", "sqlalchemy"),
    "pyarrow": ("pandas", "datasets", "dask"),
    "pymysql": ("sqlalchemy", "aiomysql"),
    "python-multipart": ("fastapi", "starlette"),
    "sacremoses": ("transformers",),
    "sentencepiece": ("transformers",),
    "soundfile": ("librosa",),
    "tokenizers": ("transformers",),
    "torch": ("transformers", "whisper", "sentence_transformers", "peft", "torchaudio", "torchvision"),
    "torchaudio": ("TTS",),
    "uvloop": ("uvicorn",),
    "watchfiles": ("uvicorn",),
    "websockets": ("uvicorn", "fastapi"),
    "xformers": ("diffusers", "transformers"),
    "xlrd": ("pandas",),
    "xlsxwriter": ("pandas",),
}


# Distribution: the modules of its dependencies that its users import directly.
_BUNDLED_MODULES: Mapping[str, tuple[str, ...]] = {
    "aiohttp": ("yarl", "multidict"),
    "boto3": ("botocore",),
    "celery": ("kombu", "billiard"),
    "dask": ("toolz", "cloudpickle", "fsspec"),
    "distributed": ("tornado", "dask", "toolz", "cloudpickle", "psutil"),
    "fastapi": ("starlette", "pydantic", "anyio"),
    "flask": ("werkzeug", "jinja2", "click", "markupsafe", "itsdangerous"),
    "gevent": ("greenlet",),
    "httpx": ("httpcore", "anyio", "sniffio"),
    "ipykernel": ("zmq", "tornado", "traitlets", "IPython", "jupyter_client", "jupyter_core"),
    "ipython": ("traitlets",),
    "jinja2": ("markupsafe",),
    "jupyter-client": ("zmq", "tornado", "traitlets", "jupyter_core"),
    "keras": ("numpy", "h5py"),
    "librosa": ("numpy", "scipy", "soundfile", "joblib"),
    "matplotlib": ("numpy", "PIL", "dateutil"),
    "opencv-python": ("numpy",),
    "pandas": ("numpy", "dateutil", "pytz"),
    "pydantic": ("pydantic_core", "typing_extensions", "annotated_types"),
    "python-socketio": ("engineio", "bidict"),
    "requests": ("urllib3", "certifi", "idna", "charset_normalizer"),
    "scikit-learn": ("numpy", "scipy", "joblib"),
    "scipy": ("numpy",),
    "tensorflow": ("keras", "numpy", "h5py"),
    "torch": ("numpy",),
    "torchvision": ("torch", "PIL", "numpy"),
    "transformers": ("huggingface_hub", "tokenizers", "safetensors", "numpy"),
}
# Namespace packages shared by several distributions: `google-cloud-storage` is `google.cloud.storage`.
_NAMESPACE_PACKAGES = frozenset(
    {"azure", "backports", "google", "jaraco", "opentelemetry", "sphinxcontrib", "zope"}
)


@functools.cache
def normalize_name(name: str) -> str:
    """Return a distribution's name as pip normalizes it: `Flask_Cors` becomes `flask-cors`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def modules_of_distribution(distribution: str) -> tuple[str, ...]:
    """Return the modules that a distribution provides: those in the table, else the one with its name."""
    known = _MODULES_BY_DISTRIBUTION.get(distribution)
    return known if known is not None else (distribution.replace("-", "_"),)


@functools.cache
def distributions_by_module() -> Mapping[str, tuple[str, ...]]:
    """Return, for each module in the table, the distributions that provide it."""
    found: dict[str, list[str]] = {}
    for distribution, modules in _MODULES_BY_DISTRIBUTION.items():
        for module in modules:
            found.setdefault(module, []).append(distribution)
    return {module: tuple(names) for module, names in found.items()}


def find_providers(distributions: Iterable[str], modules: Collection[str]) -> set[str]:
    """Return the distributions, by normalized name, that provide one of some modules.

    modules: top-level names; case is ignored for distributions that are not in the table.
    """
    normalized_modules = {normalize_name(module) for module in modules}
    return {name for name in distributions if _is_providing(name, modules, normalized_modules)}


def is_provider(distribution: str, modules: Collection[str]) -> bool:
    """Return whether a distribution provides one of some modules, as in `find_providers`."""
    return bool(find_providers((distribution,), modules))


def _is_providing(distribution: str, modules: Collection[str], normalized_modules: Collection[str]) -> bool:
    known = _MODULES_BY_DISTRIBUTION.get(distribution)
    if known is not None:
        return any(module in modules for module in known)
    first = distribution.partition("-")[0]
    return first in modules if first in _NAMESPACE_PACKAGES else distribution in normalized_modules


def modules_provided_by(distributions: Iterable[str], modules: Iterable[str]) -> set[str]:
    """Return the top-level modules that one of some distributions provides."""
    exact: set[str] = set()
    normalized_names: set[str] = set()
    for name in distributions:
        known = _MODULES_BY_DISTRIBUTION.get(name)
        first = name.partition("-")[0]
        if known is not None:
            exact.update(known)
        elif first in _NAMESPACE_PACKAGES:
            exact.add(first)
        else:
            normalized_names.add(name)
    return {module for module in modules if module in exact or normalize_name(module) in normalized_names}


def can_provide(distribution: str, module: str) -> bool:
    """Return whether a distribution may provide a module, judging by its name, so that it is not reported."""
    word = normalize_name(module)
    return word in distribution.split("-") or word.replace("-", "") in distribution.replace("-", "")


def bundled_modules(distribution: str) -> tuple[str, ...]:
    """Return the modules of a distribution's dependencies that its users import directly."""
    return _BUNDLED_MODULES.get(distribution, ())


def is_tool(distribution: str) -> bool:
    """Return whether a distribution is used without an import: as a command, a plugin or type stubs."""
    return (
        distribution in _TOOLS
        or distribution.startswith(_TOOL_PREFIXES)
        or distribution.endswith(_TOOL_SUFFIXES)
    )


def loaders_of(distribution: str) -> tuple[str, ...]:
    """Return the modules that load a distribution automatically if it is installed."""
    return _LOADED_BY.get(distribution, ())
