"""Every measurement that reports/ shows, as a list of jobs; results go to reports/data/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archscope import archive
from archscope.ask.profile.measured import profile
from archscope.ask.target import network_target
from archscope.files import check_folder, replace_file
from archscope.measure import device as devices
from archscope.measure.failure import OutOfMemoryError
from archscope.measure.sampling import StoppingRule
from archscope.measure.session import Plan, Progress, silent
from archscope.measure.step import Settings
from archscope.records import Profile
from archscope.saved import answers
from archscope.study.groups import file_name
from archscope.study.groups.rows import PAPER_TOP1_ERROR

FOLDER = Path(__file__).parent / "data"

RULE = StoppingRule(precision=0.005, min_seconds=0.5, max_seconds=2.0, min_warmup_seconds=0.3)
"""At most 3 s a number: seven numbers of each of the jobs end within eight minutes."""

ON_CPU = StoppingRule(precision=0.02, min_seconds=0.5, max_seconds=6.0, min_warmup_seconds=0.2)


@dataclass(frozen=True, slots=True)
class Job:
    """One file of measurements.

    Args:
        name: of the file, behind the device's.
        model: what to measure, with its constructor keywords.
        batch: on a GPU; a CPU takes `cpu_batch`.
        training_only: leave inference out.
    """

    name: str
    model: str
    batch: int
    cpu_batch: int
    input: str | None = None
    keywords: tuple[tuple[str, Any], ...] = ()
    training_only: bool = False


def _group_sweep() -> Iterator[Job]:
    """ResNeXt-50's trade of groups for width, at equal cost (Xie et al. 2017, Table 3)."""
    for groups, width in PAPER_TOP1_ERROR["resnet50"]:
        keywords = (("groups", groups), ("width_per_group", width))
        yield Job(file_name(groups, width), "resnet50", 64, 2, keywords=keywords)


JOBS = (
    Job("resnet50", "resnet50", 64, 4),
    Job("resnext50", "resnext50_32x4d", 64, 4),
    Job("densenet121", "densenet121", 64, 4),
    # Batch sizes and image sides at which "Dive into Deep Learning" trains its networks.
    Job("lenet", "lenet", 256, 256, "1x28x28"),
    Job("alexnet_d2l", "alexnet_d2l", 128, 8, "1x224x224", training_only=True),
    Job("vgg11_quarter_d2l", "vgg11_quarter_d2l", 128, 8, "1x224x224", training_only=True),
    Job("nin_d2l", "nin_d2l", 128, 8, "1x224x224", training_only=True),
    Job("googlenet_d2l", "googlenet_d2l", 128, 16, "1x96x96", training_only=True),
    Job("resnet18_d2l", "resnet18_d2l", 256, 16, "1x96x96", training_only=True),
    Job("densenet_d2l", "densenet_d2l", 256, 16, "1x96x96", training_only=True),
    *_group_sweep(),
)


def measure_reports(
    device: str, threads: int | None = None, progress: Progress = silent, folder: Path = FOLDER,
    jobs: tuple[Job, ...] = JOBS,
) -> Iterator[Path]:  # fmt: skip
    """Measure job by job and write each to `<folder>/<device name>-<job>.json`.

    An interruption ends after the job at hand, whose file then says so.
    A job that runs out of memory is left out.

    Args:
        device: where to measure.
        threads: of the CPU; `None` keeps PyTorch's.
        progress: called with the job and the number being measured.
        folder: must exist.
        jobs: what to measure.

    Raises:
        ArchscopeError: no such folder, or a network fails.
    """
    check_folder(folder)
    slug = device_slug(device)
    for number, job in enumerate(jobs, 1):

        def report(
            label: str, share: float, name: str = f"{number}/{len(jobs)} {job.name}"
        ) -> None:
            progress(f"{name}: {label}", share)

        try:
            found = run_job(job, device, threads, report)
        except OutOfMemoryError:
            continue
        path = folder / f"{slug}-{job.name}.json"
        replace_file(path, archive.dumps(found).encode())
        yield path
        if found.interrupted:
            raise KeyboardInterrupt


def run_job(job: Job, device: str, threads: int | None, progress: Progress = silent) -> Profile:
    """Measure one job, at its batch for this kind of device."""
    on_cpu = device.startswith("cpu")
    plan = Plan(
        Settings(device=device, threads=threads, cuda_graph=device.startswith("cuda")),
        ON_CPU if on_cpu else RULE,
        ("training",) if job.training_only else ("training", "inference"),
        steps=2 if on_cpu else 4,
        roofs=answers.roofs(),
    )
    return profile(
        network_target(
            job.model,
            input=job.input,
            batch=job.cpu_batch if on_cpu else job.batch,
            keywords=dict(job.keywords),
        ),
        plan,
        progress=progress,
    )


def device_slug(device: str) -> str:
    """The device's name as part of a file name: `nvidia-h200`, `amd-epyc`."""
    name = devices.model_name(devices.find(device)).lower()
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")
