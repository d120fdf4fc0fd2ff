from __future__ import annotations

import torch
from export_samples import small_network

from export import taps
from export.tapped import Tapped


def test_gives_what_the_network_gives_and_the_values_at_the_taps() -> None:
    whole = small_network()
    image = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        logits, features, earlier = Tapped(taps.cut(whole, 32, 32)).eval()(image)
        stem = whole.stem(image)
        inner = stem + whole.block(stem)
        assert torch.equal(logits, whole(image))
        assert torch.equal(earlier, torch.cat([inner.mean((2, 3)), whole.second(inner).mean((2, 3))], 1))
        assert torch.equal(whole.head[3](features), logits)


def test_weights_are_shared_not_copied() -> None:
    whole = small_network()
    tapped = Tapped(taps.cut(whole, 32, 32))
    assert {p.data_ptr() for p in tapped.parameters()} <= {p.data_ptr() for p in whole.parameters()}


def test_the_traced_network_is_left_as_it_was() -> None:
    whole = small_network()
    found = taps.cut(whole, 32, 32)
    before = str(found.graph.graph)
    Tapped(found)
    assert str(found.graph.graph) == before
    assert not whole.training


def test_pictures_do_not_see_each_other() -> None:
    tapped = Tapped(taps.cut(small_network(), 32, 32)).eval()
    image = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        together = torch.cat(tapped(image), 1)
        alone = torch.cat([torch.cat(tapped(image[i : i + 1]), 1) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)
