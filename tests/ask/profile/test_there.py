"""Networks measured in turns elsewhere: one task, on the device that is there."""

import pickle
import platform

import pytest

from archscope.ask.profile import there
from archscope.ask.profile.there import ANY, NO_GPU, in_turns, work
from archscope.ask.target import Target
from archscope.engines.engine import EngineError, Lost
from archscope.engines.local import HERE
from archscope.errors import ArchscopeError, NetworkError
from archscope.measure.session import Plan
from archscope.measure.side_by_side import SideBySide
from archscope.measure.step import Settings
from archscope.records import Environment, Profile
from archscope.resolve.inputs import parse_input

ROUNDS = {"inference": ((1.0, 2.0), (2.0, 4.0))}
PLAN = Plan(Settings(device=ANY))


@pytest.fixture
def measured(monkeypatch):
    """What was measured, in order, on which device."""
    seen = []

    def profile(target, plan):
        if target.model == "broken":
            raise ArchscopeError("broken", "fails in forward", "check it")
        seen.append((target.model, plan.settings.device))
        environment = Environment(plan.settings.device, (("device name", "a device"),))
        return Profile(target.model, parse_input("8"), environment, {})

    def in_turns(targets, plan, progress):
        return SideBySide(tuple(profile(target, plan) for target in targets), ROUNDS)

    monkeypatch.setattr(there, "profile", profile)
    monkeypatch.setattr(there, "measured_in_turns", in_turns)
    monkeypatch.setattr(there.devices, "best", lambda: "cpu")
    return seen


def test_networks_are_measured_in_turns_on_the_device_that_is_there(measured):
    together = in_turns(HERE, [Target("lenet"), Target("alexnet")], PLAN)
    found = together.profiles
    assert measured == [("lenet", "cpu"), ("alexnet", "cpu")]
    assert [profile.environment.fact("node") for profile in found] == [platform.node()] * 2
    assert found[0].notes == (NO_GPU,)
    assert together.rounds == ROUNDS, "by which their ratio is paired, as it is here"


def test_the_samples_of_a_few_alternate_and_of_more_do_not(measured, monkeypatch):
    networks = [Target(name) for name in ("lenet", "alexnet", "nin", "vgg16", "vgg11")]
    monkeypatch.setattr(there, "measured_in_turns", None)  # which the call would show
    assert len(in_turns(HERE, networks, PLAN).profiles) == len(measured) == 5
    with pytest.raises(TypeError):
        in_turns(HERE, networks[:4], PLAN)


def test_an_error_of_the_network_comes_back_as_one(measured):
    with pytest.raises(ArchscopeError, match="broken: fails in forward; check it"):
        in_turns(HERE, [Target("lenet"), Target("broken")], PLAN)


def test_a_process_that_ended_is_an_error_too(monkeypatch):
    class Dying:
        place = "1 node"

        def completed(self, function, tasks):
            yield 0, Lost("its process ended on its node")

    with pytest.raises(ArchscopeError, match="its process ended on its node"):
        in_turns(Dying(), [Target("lenet")], PLAN)


def test_measuring_takes_a_gpu_and_a_process_for_itself():
    wanted = work(["lenet", "hf:llama"], PLAN, "A100")
    assert (wanted.gpus, wanted.gpu, wanted.fresh) == (1, "A100", True)
    assert wanted.packages == ("torch", "torchvision", "transformers")
    assert work(["lenet"], Plan(Settings(device="cpu")), "").gpus == 0


@pytest.mark.parametrize(
    "error", [NetworkError("has no layers"), EngineError("ray", "is gone", "x")]
)
def test_errors_go_from_one_process_to_another(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and again.remedy == error.remedy
