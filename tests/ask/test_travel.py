"""What is sent to another machine with a user's file."""

import pytest

from archscope.ask import travel
from archscope.ask.travel import Luggage, libraries, luggage


@pytest.fixture
def file(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere" / "shared_layers.py").write_text("")
    folder = tmp_path / "project"
    (folder / "blocks").mkdir()
    (folder / "blocks" / "__init__.py").write_text("from .conv import Conv\n")
    (folder / "blocks" / "conv.py").write_text("import widths\n")
    (folder / "widths.py").write_text("")
    (folder / "unused.py").write_text("")
    text = "import torch, json\nfrom blocks import Conv\n\ndef make():\n    import shared_layers\n"
    (folder / "nets.py").write_text(text)
    return folder / "nets.py"


def test_a_file_travels_with_every_local_module_that_it_imports(file):
    assert dict(luggage(f"{file}:make").files) == {
        "users_files/nets.py": file,
        "users_files/blocks": file.parent / "blocks",
        "users_files/widths.py": file.parent / "widths.py",
        "shared_layers.py": file.parent.parent / "elsewhere" / "shared_layers.py",
    }


def test_a_local_package_travels_whole(file, monkeypatch):
    monkeypatch.syspath_prepend(str(file.parent))
    assert set(luggage("blocks.conv:Conv").files) == {"blocks", "widths.py"}


@pytest.mark.parametrize("name", ["lenet", "resnet50", "timm:vit", "hf:llama", "torch.nn:Conv2d"])
def test_what_is_installed_does_not_travel(name):
    assert luggage(name) == Luggage(name)


def test_messages_name_the_path_that_the_user_gave(file, tmp_path, monkeypatch):
    sent = luggage(f"{file}:make")
    monkeypatch.chdir(tmp_path)
    assert sent.name_here() == f"{file}:make"  # nothing was sent to this folder
    (tmp_path / travel.FOLDER).mkdir()
    (tmp_path / travel.FOLDER / "nets.py").write_text("")
    assert sent.name_here() == "users_files/nets.py:make"
    there = tmp_path / "users_files" / "nets.py"
    assert sent.worded(f"users_files/nets.py:make: {there} raises") == f"{file}:make: {file} raises"


def test_the_versions_that_decide_a_network():
    assert libraries("resnet50") == ("torch", "torchvision")
    assert libraries("hf:llama") == ("torch", "torchvision", "transformers")
