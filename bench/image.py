"""How large images are, how long they take, and how they start, against the naive recipe.

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
from argosy.image.build.blob_store import Blob, BlobStore
from argosy.image.build.debian import base_cache_key
from argosy.image.build.image_builder import BuiltImage, ImageBuilder, write_layout
from argosy.image.build.sandbox import SandboxConfig, sandbox_command
from argosy.image.build.smoke_test import SmokeTester, children_of, nsenter_command
from argosy.image.plan.container_plan import ContainerPlan, plan_containers
from argosy.image.plan.image_lock import ImageLock, resolve_lock, write_lock
from argosy.image.plan.image_plan import ImagePlan, plan_images
from argosy.image.runtime.image_paths import (
    APP_DIR,
    DEFAULT_PATH,
    ENTRYPOINT,
    HEALTH_COMMAND,
    IMAGE_VARIABLES,
)
from image_cases.naive_image import compile_naive, lay_out_naive, naive_packages, size_of, size_with
from image_cases.sample_fleet import write_wares
from testbed.host_info import this_machine
from testbed.result import Ratio, Result, Value, count_of, ratio_of, value_of
from testbed.runner import Options, interleave, run_bench, tell

LIGHT = "core-services"
PATIENCE_S = 60.0
_STARTS = 21  # of either; they differ by less than one start from the next
MB = 10**6

METHOD = [
    "light: the example fleet's group `core_services`; sizes are sums of files, read from what was built",
    "naive: what `apt-get install` (compilers, pip), `pip install` of the lock's wheels (with pip's cache)",
    "  and the tree put on a disk",
    "warm: the command `argosy image build --no-proof` when every layer is known",
    "changed_file: one module of the group changed, from a plan that is there to the layout on the disk",
    "all: every group of the example fleet, from an empty store; packages and wheels are in the cache",
    "start: from the start of the first process to a good health check, in namespaces, on a read-only root",
]


def measure(options: Options) -> Result:
    """Build, count and start; return what was found."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingError(Fault("", "bench", "images are measured with apt and as root, on Debian"))
    machine = this_machine()
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as name:
        yard = Yard(Path(name), options)
        ratios, values = yard.sizes()
        values |= yard.times()
        if options.quick:
            skipped["image.start/naive"] = "a quick run does not start the naive recipe"
            skipped["image.cpu_groups/naive"] = "a quick run has no heavier groups"
        else:
            ratios["image.start/naive"] = yard.starts()
            ratios["image.cpu_groups/naive"] = yard.heavier()
    return Result(name="image", machine=machine, ratios=ratios, values=values, skipped=skipped, method=METHOD)


class Yard:
    """The example fleet in a folder, its images, and the naive recipe beside them."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder = folder
        self.options = options
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.cache = Path(base) / "argosy" / "images"
        self.tree = folder / "tree"
        left_out = shutil.ignore_patterns(".argosy", "__pycache__")
        shutil.copytree(options.fleet.parent, self.tree, ignore=left_out)
        self.plan = plan_images(load_fleet(self.tree / options.fleet.name))
        self.containers = plan_containers(self.plan)
        tell("asking apt and pip for the lock")
        self.lock = resolve_lock(self.plan, self.cache)
        write_lock(self.lock, self.tree / "images.lock")
        self.store = BlobStore(folder / "store")
        self.naive = self.lay_out_naive()

    def lay_out_naive(self) -> Path:
        tell("laying the naive recipe out")
        packages = naive_packages()
        return lay_out_naive(self.folder / "naive", self.cache, packages, self.lock.wheels, self.tree)

    def builder(self, store: BlobStore | None = None) -> ImageBuilder:
        return ImageBuilder(self.containers, self.lock, store or self.store, self.cache)

    # ---- sizes

    def sizes(self) -> tuple[dict[str, Ratio], dict[str, Value]]:
        """Build every group of the fleet and hold the sizes against the naive recipe's."""
        naive = size_of(self.naive)
        tell(f"naive: {naive / MB:.0f} MB")
        began = time.perf_counter()
        builder = self.builder()
        built = [builder.build(image) for image in self.plan.images.values()]
        write_layout(self.folder / "layout", self.store, built, [], "latest")
        all_s = time.perf_counter() - began
        light = next(item for item in built if item.image.name == LIGHT)
        unique = sum(blob.unpacked_bytes for blob in unique_layers(built))
        alone = sum(item.unpacked_bytes for item in built)
        tell(f"light: {light.unpacked_bytes / MB:.1f} MB; all: {unique / MB:.1f} MB, {alone / MB:.0f} alone")
        proof = SmokeTester(self.store, self.cache, self.containers).test_image(light)
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
            "image.failing_imports": count_of(len(proof.failed), "agents", goal=0),
            "image.faults": count_of(len(proof.faults), "faults", goal=0),
            "image.stopped": value_of([proof.stopped_s], "s"),
        }
        return ratios, values

    def other_store(self, light: BuiltImage) -> BlobStore:
        """Return a store in which all is built again; a quick run takes the base as it is."""
        other = BlobStore(self.folder / "other")
        if self.options.quick:
            base = light.layers[0]
            shutil.copy(self.store.path_of(base.digest), other.path_of(base.digest))
            other.record_blob(base_cache_key(self.lock.base), base)
        return other

    # ---- times

    def times(self) -> dict[str, Value]:
        """Return how long a build takes when nothing, and when one file has changed."""
        command = [sys.executable, "-m", "argosy", "image", "build", "--no-proof", "--only", LIGHT]
        command += ["--fleet", str(self.tree), "-o", str(self.folder / "warm")]
        subprocess.run(command, check=True, capture_output=True)
        rounds = max(5, self.options.rounds)
        warm = [
            timed(lambda: subprocess.run(command, check=True, capture_output=True))
            for number in range(rounds)
            if number < 2 or time.monotonic() < self.options.until_s
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
        self.fit(self.naive)
        prover = SmokeTester(self.store, self.cache, self.containers)
        built = self.builder().build(self.plan.images[LIGHT])
        layers = tuple(str(prover.unpack_blob(layer)) for layer in built.layers)
        ways = {"image": layers, "naive": (str(self.naive),)}
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _, name in interleave(max(_STARTS, self.options.rounds), list(ways), self.options.until_s):
            took[name].append(self.start(ways[name]))
        return ratio_of(took["image"], took["naive"], goal=1.0, unit="s")

    def fit(self, root: Path) -> None:
        """Give the naive root what any engine and the same containers need: folders, names, argosy itself."""
        for place in ("state", "run/argosy", "tmp", "proc", "dev", "etc"):
            (root / place).mkdir(parents=True, exist_ok=True)
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
        """Return the seconds from the start to a good answer; the container is stopped again."""
        service = self.containers.service_of(self.plan.images[LIGHT].agents[0]).name
        variables = {**IMAGE_VARIABLES, "PATH": DEFAULT_PATH, "ARGOSY_MACHINE": service}
        with tempfile.TemporaryDirectory(prefix="argosy-root-") as root:
            cell = SandboxConfig(
                layers, root, (*ENTRYPOINT, "--no-wait"), variables, APP_DIR, hosts={service: "127.0.0.1"}
            )
            began = time.perf_counter()
            process = subprocess.Popen(
                sandbox_command(cell), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
            )
            try:
                took = self.healthy_after(process, variables, began)
            finally:
                for inner in children_of(process.pid):
                    os.kill(inner, 15)
                process.wait(PATIENCE_S)
        return took

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
        """Build groups with heavier packages; return the largest share of the naive recipe with these."""
        folder = self.folder / "wares"
        folder.mkdir()
        plan = plan_images(load_fleet(write_wares(folder)))
        containers: ContainerPlan = plan_containers(plan)
        tell("asking pip for the heavier groups' packages")
        lock = resolve_lock(plan, self.cache)
        builder = ImageBuilder(containers, lock, self.store, self.cache)
        prover = SmokeTester(self.store, self.cache, containers)
        worst: tuple[float, int, int] = (0.0, 0, 1)
        for image in plan.images.values():
            built = builder.build(image)
            proof = prover.test_image(built)
            if not proof.is_passed:
                raise MissingError(Fault(image.name, "bench", f"the image is not good: {proof}"))
            naive = self.naive_with(lock, plan, image.name)
            tell(f"{image.name}: {built.unpacked_bytes / MB:.0f} MB, naive {naive / MB:.0f} MB")
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
