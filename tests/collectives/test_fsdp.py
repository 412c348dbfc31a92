"""The shards that are asked for are those that `torch.chunk` makes."""

import pytest
import torch
from torch.distributed.fsdp._fully_shard._fsdp_common import _chunk_with_empty

from archscope.collectives.fsdp import Chunks


@pytest.mark.parametrize("length", [1, 2, 5, 7, 8, 9, 16, 33])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("dim", [0, 1])
def test_each_shard_is_pytorch_s_own(length, count, dim):
    tensor = torch.arange(3.0 * length).reshape((length, 3) if dim == 0 else (3, length))
    wanted = _chunk_with_empty(tensor, count, dim)
    chunks = Chunks(tensor, count, dim)
    for index, chunk in enumerate(wanted):
        assert torch.equal(chunks[index], chunk), (index, chunks[index], chunk)
