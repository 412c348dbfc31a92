"""The store of texts: bounded, shared, and silent about damage."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from archscope.saved import cache
from archscope.saved.cache import Contents, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "counts")


def files(store: Store) -> list[Path]:
    return sorted(store.folder.iterdir())


def test_what_is_put_is_got(store: Store) -> None:
    assert store.get("a") is None
    store.put("a", "×1")
    store.put("b", "2")
    assert (store.get("a"), store.get("b"), store.get("c")) == ("×1", "2", None)
    store.put("a", "3")
    assert store.get("a") == "3"
    assert store.contents().entries == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content[:-1] + b"8",
        lambda content: content + b"0",
        lambda content: b"\xff" * len(content),
    ],
    ids=["empty", "half a checksum", "cut", "another digit", "longer", "noise"],
)
def test_a_damaged_entry_is_as_if_never_kept(store: Store, damage: object) -> None:
    store.put("a", '{"macs": 4089184257}')
    (entry,) = files(store)
    entry.write_bytes(damage(entry.read_bytes()))  # type: ignore[operator]
    assert store.get("a") is None
    assert files(store) == []


def test_the_longest_unused_entries_go_first(tmp_path: Path) -> None:
    entry = 1000 + cache.CHECKSUM_BYTES
    store = Store(tmp_path, most_bytes=3 * entry)
    for age, key in enumerate("abc"):
        store.put(key, key * 1000)
        (path,) = [p for p in files(store) if p.stat().st_mtime_ns > 10**12]
        set_age(path, age)
    assert store.get("a")  # used just now
    store.put("d", "d" * 1000)
    assert [key for key in "abcd" if store.get(key)] == ["a", "c", "d"]
    assert store.contents() == Contents(3, 3 * entry)


def set_age(path: Path, second: int) -> None:
    os.utime(path, ns=(second * 10**9, second * 10**9))


def test_a_text_larger_than_the_store_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, most_bytes=100)
    store.put("a", "1")
    store.put("b", "2" * 100)
    assert (store.get("a"), store.get("b")) == ("1", None)


def test_clearing_tells_what_there_was_and_leaves_other_files(store: Store) -> None:
    assert store.clear() == Contents(0, 0)
    store.put("a", "12345")
    (store.folder / "interrupted.part").write_bytes(b"123")
    (store.folder / "mine.txt").write_text("keep")
    assert store.clear() == Contents(2, 5 + cache.CHECKSUM_BYTES + 3)
    assert [path.name for path in files(store)] == ["mine.txt"]


def test_many_writers_and_readers_never_see_half_an_entry(store: Store) -> None:
    texts = {str(number) * 50_000 for number in range(8)}

    def visit(text: str) -> set[str | None]:
        seen = set()
        for _ in range(20):
            store.put("same", text)
            seen.add(store.get("same"))
        return seen

    with ThreadPoolExecutor(8) as pool:
        seen = set().union(*pool.map(visit, texts))
    assert seen <= texts
    assert [path.suffix for path in files(store)] == [cache.SUFFIX]


def test_a_folder_that_cannot_be_made_costs_nothing_but_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "counts")
    store.put("a", "1")
    assert store.get("a") is None
    assert store.clear() == Contents(0, 0)


def test_the_environment_moves_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path))
    assert cache.folder() == tmp_path


def test_without_platformdirs_there_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.FOLDER_VARIABLE)
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert cache.folder() is None
