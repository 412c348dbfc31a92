"""What a trace may hold beside one plain step, each written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from archscope.traces import chrome
from archscope.traces.attribution import Attribution, attribute
from archscope.traces.rows import DEVICE_GAP, OVERLAP, LayerTimes
from tests.traces.writing import ENGINE, EXPECTED, NODE, File, training_step


def read(file: File, folder: Path) -> Attribution:
    return attribute(chrome.read(file.write(folder / "trace.json")))


def rows(table: LayerTimes) -> dict[tuple[str, str], float]:
    """Microseconds by row and phase."""
    return {
        (row.name, phase): round(1e6 * seconds, 3)
        for row in table.rows
        for phase, seconds in row.seconds.items()
    }


def kernels(found: Attribution, folder: Path | None = None) -> dict[tuple[str, str], float]:
    return {
        key: value for key, value in rows(found.times()).items()
        if key[0] not in (DEVICE_GAP, OVERLAP)
    }  # fmt: skip


def test_rows_lead_from_the_kernels_to_the_step(tmp_path: Path) -> None:
    found = rows(read(training_step(), tmp_path).times())
    # The step begins at 0 and ends when its last kernel has, 1000 + 636 µs later.
    assert found[DEVICE_GAP, "idle"] == 1000
    assert sum(found.values()) == pytest.approx(1636)
    assert sum(EXPECTED.values()) == 636


def test_streams_that_overlap_count_once(tmp_path: Path) -> None:
    file = training_step()
    # 30 µs beside the first convolution's 70, and 50 of which 25 lie behind the last kernel.
    file.kernel(1010, 30, 14, stream=8)
    file.kernel(1611, 50, 315, stream=8)
    found = rows(read(file, tmp_path).times())
    assert found[OVERLAP, "overlap"] == pytest.approx(-(30 + 25))
    assert sum(found.values()) == pytest.approx(1661)
    assert found["Conv2d_0", "forward"] == 70 + 30


def test_kernels_launched_before_the_trace_have_a_row_of_their_own(tmp_path: Path) -> None:
    file = training_step()
    for start in (20, 400):
        file.kernel(start, 300, 0, launch=None)
    found = read(file, tmp_path)
    assert kernels(found) == {**EXPECTED, ("[launched before the trace]", "other"): 600}
    assert set(found.times().attributed.values()) == {1.0}


def test_a_kernel_whose_launch_was_lost_is_unattributed(tmp_path: Path) -> None:
    file = training_step()
    file.kernel(1700, 30, 0, launch=None)
    file.events[0]["dur"] = 2000  # the step, by whose own time such a kernel is known
    table = read(file, tmp_path).times()
    assert rows(table)["[unattributed]", "other"] == 30


def test_a_graph_replay_has_a_row_of_its_own(tmp_path: Path) -> None:
    file = training_step()
    replay = file.op("aten::mul", 102, 5)
    for index in range(3):
        file.kernel(1640 + 10 * index, 10, 103, launch="cudaGraphLaunch", external=replay)
    found = read(file, tmp_path)
    assert kernels(found) == {**EXPECTED, ("[CUDA graph replay]", "forward"): 30}


def test_collectives_and_buckets_are_communication(tmp_path: Path) -> None:
    file = training_step()
    bucket = file.op("torch::distributed::reducer::mul_out", 236, 4, tid=ENGINE)
    copied = file.op("aten::mul", 237, 2, tid=ENGINE)
    file.kernel(1640, 5, 237, tid=ENGINE, external=copied)
    file.op("c10d::allreduce_", 245, 4, tid=ENGINE)
    sent = file.host("nccl:all_reduce", 246, 2, ENGINE, "user_annotation")
    file.kernel(1650, 60, 247, "ncclDevKernel_AllReduce_Sum_f32_RING_LL", ENGINE, sent, stream=9)
    assert bucket
    found = read(file, tmp_path)
    others = {key: value for key, value in kernels(found).items() if key not in EXPECTED}
    assert others == {
        ("[communication]", "accumulation"): 5,
        ("[communication]", "forward"): 60,
    }
    assert set(found.times().attributed.values()) == {1.0}


def test_copies_to_the_device_are_no_layers(tmp_path: Path) -> None:
    file = training_step()
    moved = file.op("aten::to", 2, 5)
    file.kernel(900, 40, 3, "Memcpy HtoD (Pageable -> Device)", external=moved, cat="gpu_memcpy",
                launch="cudaMemcpyAsync")  # fmt: skip
    assert kernels(read(file, tmp_path)) == {**EXPECTED, ("[data copies]", "forward"): 40}


def test_a_module_that_runs_twice_has_a_row_for_each_call(tmp_path: Path) -> None:
    file = training_step()
    for event in file.events:
        event["name"] = event["name"].replace("Conv2d_1", "Conv2d_0")
    table = read(file, tmp_path).times()
    forward = {
        row.call: round(1e6 * row.seconds["forward"])
        for row in table.rows
        if row.name == "Conv2d_0"
    }
    assert forward == {0: 70, 1: 100}


def test_two_networks_of_one_class_keep_their_own_rows(tmp_path: Path) -> None:
    """As a GAN's: the second one has modules of the same names, inside another."""
    file = training_step()
    file.host("nn.Module: Net_1", 111, 0.5, cat="python_function")
    file.host("nn.Module: Conv2d_0", 111.1, 0.3, cat="python_function")
    op = file.op("aten::conv2d", 111.2, 0.1, 4)
    file.kernel(1700, 9, 111.2, external=op)
    found = kernels(read(file, tmp_path))
    assert found == {**EXPECTED, ("Net_1.Conv2d_0", "forward"): 9}


def test_wrappers_have_no_place_in_a_name(tmp_path: Path) -> None:
    file = training_step()
    file.host("nn.Module: DistributedDataParallel_0", 9, 102, cat="python_function")
    assert kernels(read(file, tmp_path)) == EXPECTED


def recomputed(reentrant: bool, modules: bool) -> File:
    """`Conv2d_1` is checkpointed: it runs again on the engine's thread before its node's work."""
    file = training_step(modules)
    node = next(e for e in file.events if e["name"] == "ConvolutionBackward0" and e["ts"] == 201)
    engine = next(e for e in file.events if e["name"] == NODE + "ConvolutionBackward0"
                  and e["ts"] == 200)  # fmt: skip
    if reentrant:
        node["name"], engine["name"] = (
            "CheckpointFunctionBackward",
            NODE + "CheckpointFunctionBackward",
        )
        (conv,) = [e for e in file.events if e["name"] == "aten::conv2d" and e["ts"] == 32]
        del conv["args"]["Sequence number"]
        file.op("CheckpointFunction", 31.5, 9, 1)
        file.op(NODE + "ConvolutionBackward0", 206, 3, 9, 1, tid=ENGINE)
    if modules:
        file.host("nn.Module: Conv2d_1", 201.2, 0.6, ENGINE, "python_function")
    op = file.op("aten::conv2d", 201.3, 0.4, 9, dims=[[2, 4, 8, 8], [4, 4, 3, 3]], tid=ENGINE)
    file.kernel(1640, 99, 201.4, tid=ENGINE, external=op)
    if reentrant:
        inner = file.op("aten::convolution_backward", 206.5, 1, tid=ENGINE)
        file.kernel(1740, 7, 206.7, tid=ENGINE, external=inner)
    return file


@pytest.mark.parametrize("modules", [True, False])
@pytest.mark.parametrize("reentrant", [True, False])
def test_recomputed_operators_are_told_apart(
    reentrant: bool, modules: bool, tmp_path: Path
) -> None:
    found = kernels(read(recomputed(reentrant, modules), tmp_path))
    name = "Conv2d_1" if modules else "aten::conv2d"
    assert found[name, "recompute"] == 99
    # Without modules both convolutions are one row; a checkpoint's own node is no operator's.
    own = 210 if modules else 60 if reentrant else 210 + 60
    assert found[name, "backward"] == own + (7 if reentrant else 0)


def test_triton_kernels_belong_to_the_compiled_region_around_their_launch(tmp_path: Path) -> None:
    """A region of an eager network: forward, and backward by the number of its function."""
    file = File()
    file.host("ProfilerStep#1", 0, 300, cat="user_annotation")
    file.op("Torch-Compiled Region: 0/1", 10, 50)
    function = file.op("CompiledFunction", 15, 40, 3)
    file.host("## Call CompiledFxGraph fvir ##", 20, 30, cat="user_annotation")
    file.kernel(500, 40, 25, "triton_poi_fused_relu_0", launch="cuLaunchKernel")
    file.kernel(540, 60, 30, "sm80_xmma_gemm", external=function)
    file.op(NODE + "CompiledFunctionBackward", 100, 50, 3, 1, tid=ENGINE)
    file.op("CompiledFunctionBackward", 105, 40, 3, 1, tid=ENGINE)
    file.kernel(600, 90, 120, "triton_red_fused_1", tid=ENGINE, launch="cuLaunchKernel")
    assert kernels(read(file, tmp_path)) == {
        ("compiled region 0/1", "forward"): 100,
        ("compiled region 0/1", "backward"): 90,
    }


def test_sums_of_a_concatenation_go_to_the_layers_that_it_joins(tmp_path: Path) -> None:
    """As in a DenseNet: one node makes a sum for each of its inputs, whose nodes run later."""
    file = File()
    file.host("ProfilerStep#1", 0, 900, cat="user_annotation")
    file.host("nn.Module: Net_0", 5, 200, cat="python_function")
    shape = [2, 4, 8, 8]
    for index in range(3):
        start = 10 + 20 * index
        file.host(f"nn.Module: Conv2d_{index}", start, 10, cat="python_function")
        file.op("aten::conv2d", start + 1, 5, index, dims=[shape])
    file.op("aten::cat", 100, 5, 3, dims=[[shape, shape, shape]])
    start = 300.0
    cat = file.op(NODE + "CatBackward0", start, 50, 3, 1, tid=ENGINE)
    file.op("CatBackward0", start + 1, 5, 3, 1, dims=[[2, 12, 8, 8]], tid=ENGINE)
    for index in range(2):  # the third's gradient has arrived on one path alone
        op = file.op("aten::add", start + 10 + 10 * index, 5, dims=[shape, shape, []], tid=ENGINE)
        file.kernel(1000 + 10 * index, 1 + index, start + 11 + 10 * index, tid=ENGINE, external=op)
    for index in (2, 1, 0):
        start += 60
        file.op(NODE + "ConvolutionBackward0", start, 20, index, 1, tid=ENGINE)
        grad = shape if index < 2 else [2, 4, 9, 9]
        op = file.op("ConvolutionBackward0", start + 1, 9, index, 1, dims=[grad], tid=ENGINE)
        file.kernel(1100 - 10 * index, 5, start + 2, tid=ENGINE, external=op)
    assert cat
    found = kernels(read(file, tmp_path))
    assert found["Conv2d_0", "accumulation"] == 1
    assert found["Conv2d_1", "accumulation"] == 2


def test_the_first_steps_that_compile_are_left_out(tmp_path: Path) -> None:
    file = File()
    for step, at in enumerate((0, 50000, 55000, 60000)):
        training_step(at=at, seq=10 * step, file=file, step=step)
        for event in file.events:
            if event["name"] == "ProfilerStep#0":
                event["dur"] = 49000
    table = read(file, tmp_path).times()
    assert len(table.steps) == 3
    assert "the first step is left out as a warm-up, of 4" in table.notes


def test_without_marks_a_step_goes_from_one_pass_to_the_next(tmp_path: Path) -> None:
    file = File()
    for step in range(3):
        training_step(at=5000 * step, seq=10 * step, file=file, step=None)
    found = read(file, tmp_path)
    assert found.steps.rule == "from one forward pass after an update to the next"
    assert found.times().steps[:2] == (5_000_000, 5_000_000)


def test_without_marks_a_step_has_all_passes_up_to_an_update(tmp_path: Path) -> None:
    """A teacher's pass goes before each step, and the file ends behind one of a fourth step."""
    file = File()
    for step in range(4):
        at = 5000 * (step + 1)
        file.host("nn.Module: Net_0", at - 200, 50, cat="python_function")
        file.host("nn.Module: Conv2d_0", at - 190, 30, cat="python_function")
        op = file.op("aten::conv2d", at - 180, 10)
        file.kernel(at - 100, 40, at - 179, external=op)
        if step < 3:
            training_step(at=at, seq=10 * step, file=file, step=None)
    found = read(file, tmp_path)
    assert len(found.steps.steps) == 4
    table = found.times()
    assert table.steps[:2] == (5_000_000, 5_000_000) and len(table.steps) == 3
    assert table.notes == (
        "left out: 1 of 4 steps, with other launches than the rest (cut off, of another kind, or "
        "the profiler lost events)",
    )
    forward = {row.call: round(1e6 * row.seconds["forward"]) for row in table.rows
               if row.name == "Conv2d_0"}  # fmt: skip
    assert forward == {0: 40, 1: 70}


def test_of_two_steps_the_one_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    file = training_step(at=0, seq=0, step=0)
    file.host("ProfilerStep#1", 5000, 100, cat="user_annotation")
    op = file.op("aten::conv2d", 5010, 10)
    file.kernel(6000, 70, 5011, external=op)
    assert len(read(file, tmp_path).times().steps) == 1
