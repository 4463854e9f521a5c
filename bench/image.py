"""Measures the size, build time and start time of images, compared with a naive Dockerfile.

`python bench/image.py [--json] [--quick]`; needs `argosy[bench,image]`, Debian's apt, and root. The method is
in bench/README.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from argosy.fault import Fault, MissingError
from argosy.fleet import load_fleet
from argosy.image.build.image_builder import BuiltImage, ImageBuilder, write_layout
from argosy.image.build.sandbox import SandboxConfig, sandbox_command
from argosy.image.build.smoke_test import SmokeTester, children_of, nsenter_command
from argosy.image.content.blob_store import Blob, BlobStore
from argosy.image.content.debian import base_cache_key
from argosy.image.lock import ImageLock, resolve_lock, write_lock
from argosy.image.plan.container_plan import ContainerPlan, plan_containers
from argosy.image.plan.image_plan import ImagePlan, plan_images
from argosy.image.runtime.image_paths import (
    APP_DIR,
    DEFAULT_PATH,
    ENTRYPOINT,
    HEALTH_COMMAND,
    IMAGE_VARIABLES,
)
from image_cases.naive_image import compile_naive, lay_out_naive, naive_packages, size_of, size_with
from image_cases.sample_fleet import write_sample_fleet
from testbed.host_info import this_machine
from testbed.result import Ratio, Result, Value, count_of, ratio_of, value_of
from testbed.runner import Options, interleave, log_progress, run_bench

LIGHT = "core-services"
PATIENCE_S = 60.0
_STARTS = 21  # of each; the difference is smaller than that of two starts of the same image
MB = 10**6

METHOD = [
    "light: the group `core_services` of the example fleet; sizes are sums of file sizes of the built images",
    "naive: the files of `apt-get install` (compilers, pip), of `pip install` of the lock's wheels (with",
    "  pip's cache) and of the tree",
    "warm: the command `argosy image build --no-proof` when every layer is known",
    "changed_file: after a change of one module of the group, from an existing plan to the layout on disk",
    "all: every group of the example fleet, from an empty store; packages and wheels are in the cache",
    "start: from the start of the first process to a passed health check, in namespaces, on a read-only root",
]


def measure(options: Options) -> Result:
    """Build, measure and start images; return the result."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingError(Fault("", "bench", "the image bench needs root and apt, on Debian"))
    machine = this_machine()
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as name:
        bench = ImageBench(Path(name), options)
        ratios, values = bench.sizes()
        values |= bench.times()
        if options.quick:
            skipped["image.start/naive"] = "a quick run does not start the naive recipe"
            skipped["image.cpu_groups/naive"] = "a quick run has no heavier groups"
        else:
            ratios["image.start/naive"] = bench.starts()
            ratios["image.cpu_groups/naive"] = bench.heavier()
    return Result(name="image", machine=machine, ratios=ratios, values=values, skipped=skipped, method=METHOD)


class ImageBench:
    """The example fleet in a folder, its images, and the naive recipe."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder = folder
        self.options = options
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.cache = Path(base) / "argosy" / "images"
        self.tree = folder / "tree"
        ignore = shutil.ignore_patterns(".argosy", "__pycache__")
        shutil.copytree(options.fleet.parent, self.tree, ignore=ignore)
        self.plan = plan_images(load_fleet(self.tree / options.fleet.name))
        self.containers = plan_containers(self.plan)
        log_progress("resolving the lock with apt and pip")
        self.lock = resolve_lock(self.plan, self.cache)
        write_lock(self.lock, self.tree / "images.lock")
        self.store = BlobStore(folder / "store")
        self.naive = self.lay_out_naive()

    def lay_out_naive(self) -> Path:
        log_progress("writing the files of the naive recipe")
        packages = naive_packages()
        return lay_out_naive(self.folder / "naive", self.cache, packages, self.lock.wheels, self.tree)

    def builder(self, store: BlobStore | None = None) -> ImageBuilder:
        return ImageBuilder(self.containers, self.lock, store or self.store, self.cache)

    # ---- sizes

    def sizes(self) -> tuple[dict[str, Ratio], dict[str, Value]]:
        """Build every group of the fleet and compare the sizes with the naive recipe."""
        naive = size_of(self.naive)
        log_progress(f"naive: {naive / MB:.0f} MB")
        began = time.perf_counter()
        builder = self.builder()
        built = [builder.build(image) for image in self.plan.images.values()]
        write_layout(self.folder / "layout", self.store, built, [], "latest")
        all_s = time.perf_counter() - began
        light = next(item for item in built if item.image.name == LIGHT)
        unique = sum(blob.unpacked_bytes for blob in unique_layers(built))
        alone = sum(item.unpacked_bytes for item in built)
        log_progress(
            f"light: {light.unpacked_bytes / MB:.1f} MB; all: {unique / MB:.1f} MB, {alone / MB:.0f} alone"
        )
        smoke_test = SmokeTester(self.store, self.cache, self.containers).test_image(light)
        again = self.builder(self.other_store(light)).build(light.image)
        ratios = {
            "image.light/naive": ratio_of([light.unpacked_bytes], [naive], goal=0.10, unit="bytes"),
            "image.fleet/naive": ratio_of([unique], [naive], goal=0.45, unit="bytes"),
            "image.alone/shared": ratio_of([alone], [unique], goal=3.5, unit="bytes", better="higher"),
        }
        values = {
            "image.light": value_of([light.unpacked_bytes / MB], "MB", goal=70),
            "image.all": value_of([all_s], "s", goal=40),
            "image.digests_differing": count_of(light.manifest != again.manifest, "images", goal=0),
            "image.failing_imports": count_of(len(smoke_test.failed), "agents", goal=0),
            "image.faults": count_of(len(smoke_test.faults), "faults", goal=0),
            "image.stopped": value_of([smoke_test.stopped_s], "s"),
        }
        return ratios, values

    def other_store(self, light: BuiltImage) -> BlobStore:
        """Return an empty store; in a quick run it has the base layer."""
        other = BlobStore(self.folder / "other")
        if self.options.quick:
            base = light.layers[0]
            shutil.copy(self.store.path_of(base.digest), other.path_of(base.digest))
            other.record_blob(base_cache_key(self.lock.base), base)
        return other

    # ---- times

    def times(self) -> dict[str, Value]:
        """Return the times of a build without a change, and after a change of one file."""
        command = [sys.executable, "-m", "argosy", "image", "build", "--no-proof", "--only", LIGHT]
        command += ["--fleet", str(self.tree), "-o", str(self.folder / "warm")]
        subprocess.run(command, check=True, capture_output=True)
        rounds = max(5, self.options.rounds)
        warm = [
            timed(lambda: subprocess.run(command, check=True, capture_output=True))
            for number in range(rounds)
            if number < 2 or time.monotonic() < self.options.deadline_s
        ]
        image = self.plan.images[LIGHT]
        module = self.tree / next(name for name in image.files if name.endswith("core.py"))
        source = module.read_text()
        layout = self.folder / "changed"
        changed = []

        def build() -> None:
            write_layout(layout, self.store, [self.builder().build(image)], [], "latest")

        build()
        for number in range(rounds):
            module.write_text(f"{source}\n# {number}\n")
            changed.append(timed(build))
        module.write_text(source)
        return {
            "image.warm": value_of(warm, "s", goal=2),
            "image.changed_file": value_of(changed, "s", goal=0.2),
        }

    # ---- starts

    def starts(self) -> Ratio:
        """Start the light group's container from its image and from the naive recipe, in turn."""
        self.prepare_root(self.naive)
        smoke_tester = SmokeTester(self.store, self.cache, self.containers)
        built = self.builder().build(self.plan.images[LIGHT])
        layers = tuple(str(smoke_tester.unpack_blob(layer)) for layer in built.layers)
        layers_by_name = {"image": layers, "naive": (str(self.naive),)}
        times_s: dict[str, list[float]] = {name: [] for name in layers_by_name}
        rounds = max(_STARTS, self.options.rounds)
        for _, name in interleave(rounds, list(layers_by_name), self.options.deadline_s):
            times_s[name].append(self.start(layers_by_name[name]))
        return ratio_of(times_s["image"], times_s["naive"], goal=1.0, unit="s")

    def prepare_root(self, root: Path) -> None:
        """Add what a sandbox and the same containers need to the naive root: folders, links, argosy."""
        for path in ("state", "run/argosy", "tmp", "proc", "dev", "etc"):
            (root / path).mkdir(parents=True, exist_ok=True)
        for name in ("hosts", "hostname", "resolv.conf"):
            (root / "etc" / name).touch()
        for name in ("bin", "sbin", "lib", "lib64"):
            if not (root / name).exists():
                (root / name).symlink_to(f"usr/{name}")
        (root / "app" / "fleet.yaml").write_text(self.containers.fleet_text)
        site = root / "usr/local/lib" / "python3.13" / "dist-packages"
        source = Path(sys.modules["argosy"].__file__ or "").parent
        shutil.copytree(source, site / "argosy", ignore=shutil.ignore_patterns("__pycache__"))
        compile_naive(root)

    def start(self, layers: tuple[str, ...]) -> float:
        """Return the seconds from the start to a passed health check; the container is then stopped."""
        first = self.plan.images[LIGHT].agents[0]
        service = next(each.name for each in self.containers.services if first in each.agents)
        variables = {**IMAGE_VARIABLES, "PATH": DEFAULT_PATH, "ARGOSY_MACHINE": service}
        with tempfile.TemporaryDirectory(prefix="argosy-root-") as root:
            config = SandboxConfig(
                layers, root, (*ENTRYPOINT, "--no-wait"), variables, APP_DIR, hosts={service: "127.0.0.1"}
            )
            began = time.perf_counter()
            process = subprocess.Popen(
                sandbox_command(config), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
            )
            try:
                elapsed_s = self.healthy_after(process, variables, began)
            finally:
                for inner in children_of(process.pid):
                    os.kill(inner, 15)
                process.wait(PATIENCE_S)
        return elapsed_s

    def healthy_after(
        self, process: subprocess.Popen[bytes], variables: dict[str, str], began: float
    ) -> float:
        while time.perf_counter() - began < PATIENCE_S:
            for inner in children_of(process.pid):
                done = subprocess.run(
                    nsenter_command(inner, HEALTH_COMMAND), env=variables, capture_output=True, check=False
                )
                if done.returncode == 0:
                    return time.perf_counter() - began
            if process.poll() is not None:
                break
        raise MissingError(Fault("", "bench", "a container did not become healthy"))

    # ---- heavier groups

    def heavier(self) -> Ratio:
        """Build groups with heavier packages; return the largest ratio of their sizes to the naive recipe."""
        folder = self.folder / "wares"
        folder.mkdir()
        plan = plan_images(load_fleet(write_sample_fleet(folder)))
        containers: ContainerPlan = plan_containers(plan)
        log_progress("resolving the packages of the heavier groups with pip")
        lock = resolve_lock(plan, self.cache)
        builder = ImageBuilder(containers, lock, self.store, self.cache)
        smoke_tester = SmokeTester(self.store, self.cache, containers)
        worst: tuple[float, int, int] = (0.0, 0, 1)
        for image in plan.images.values():
            built = builder.build(image)
            smoke_test = smoke_tester.test_image(built)
            if not smoke_test.is_passed:
                raise MissingError(Fault(image.name, "bench", f"the smoke test failed: {smoke_test}"))
            naive = self.naive_with(lock, plan, image.name)
            log_progress(f"{image.name}: {built.unpacked_bytes / MB:.0f} MB, naive {naive / MB:.0f} MB")
            worst = max(worst, (built.unpacked_bytes / naive, built.unpacked_bytes, naive))
        return ratio_of([worst[1]], [worst[2]], goal=0.40, unit="bytes")

    def naive_with(self, lock: ImageLock, plan: ImagePlan, image: str) -> int:
        """Return the size of a naive image with the wheels of one group."""
        have = {wheel.name for wheel in self.lock.wheels}
        more = [wheel for wheel in lock.wheels_for(plan.images[image].packages) if wheel.name not in have]
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            return size_of(self.naive) + size_with(Path(folder), self.cache, self.naive, more)


def unique_layers(built: list[BuiltImage]) -> list[Blob]:
    """Return the layers of some images, each once."""
    return list({layer.digest: layer for item in built for layer in item.layers}.values())


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(run_bench("image", __doc__ or "", measure))
