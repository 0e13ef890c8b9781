"""The Merkle tree against published vectors and an independent implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.registry.errors import IntegrityError, NotVerified
from domain.registry.ledger.merkle import (
    EMPTY_ROOT,
    Coordinate,
    Frontier,
    complete_subtrees,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_from_inclusion,
    root_of,
    verify_consistency,
)

# The test vectors of the Certificate Transparency project for RFC 6962 (merkletree_test).
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CONSISTENCY = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
BOUND = 70


class Tree:
    """The subtree hashes of a list of leaves, as a ledger stores them."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.hashes: dict[Coordinate, bytes] = {}
        frontier = Frontier()
        for index, data in enumerate(leaves):
            self.hashes[0, index] = leaf_hash(data)
            for node in frontier.append(self.hashes[0, index]):
                self.hashes[node.level, node.index] = node.hash

    def nodes(self, wanted: Sequence[Coordinate]) -> Mapping[Coordinate, bytes]:
        return {place: self.hashes[place] for place in wanted if place in self.hashes}


PUBLISHED = Tree(LEAVES)


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size: int) -> None:
    assert root_of(size, PUBLISHED.nodes).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_inclusion_proofs_are_the_published_ones(index: int, size: int, path: list[str]) -> None:
    proof = inclusion_proof(index, size, PUBLISHED.nodes)
    assert [step.hex() for step in proof] == path
    assert root_from_inclusion(index, size, leaf_hash(LEAVES[index]), proof).hex() == ROOTS[size]


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCY)
def test_consistency_proofs_are_the_published_ones(old: int, new: int, path: list[str]) -> None:
    proof = consistency_proof(old, new, PUBLISHED.nodes)
    assert [step.hex() for step in proof] == path
    verify_consistency(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), proof)


@pytest.fixture(scope="module")
def oracle() -> pymerkle.InmemoryTree:
    """An independent implementation of RFC 6962."""
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(BOUND):
        tree.append_entry(b"%d" % number)
    return tree


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree([b"%d" % number for number in range(BOUND)])


def test_roots_are_the_oracles_for_every_size(tree: Tree, oracle: pymerkle.InmemoryTree) -> None:
    for size in range(1, BOUND + 1):
        assert root_of(size, tree.nodes) == oracle.get_root(size)


def test_inclusion_proofs_hold_at_the_oracle_for_every_leaf_and_size(
    tree: Tree, oracle: pymerkle.InmemoryTree
) -> None:
    for size in range(1, BOUND + 1):
        root = root_of(size, tree.nodes)
        for index in range(size):
            proof = inclusion_proof(index, size, tree.nodes)
            # The oracle counts leaves from 1 and sends the leaf hash along.
            theirs = oracle.prove_inclusion(index + 1, size)
            assert theirs.path == [tree.hashes[0, index], *proof]
            assert root_from_inclusion(index, size, tree.hashes[0, index], proof) == root


def test_consistency_proofs_hold_for_every_pair_of_sizes_and_lead_to_the_oracles_roots(
    tree: Tree, oracle: pymerkle.InmemoryTree
) -> None:
    for new in range(1, BOUND + 1):
        for old in range(new + 1):
            proof = consistency_proof(old, new, tree.nodes)
            old_root = oracle.get_root(old) if old else EMPTY_ROOT
            verify_consistency(old, new, old_root, oracle.get_root(new), proof)


@given(st.data())
def test_a_changed_inclusion_proof_leads_elsewhere(tree: Tree, data: st.DataObject) -> None:
    """Flip a bit, drop, add or swap steps, or claim another place: the root is never reached."""
    size = data.draw(st.integers(2, BOUND))
    index = data.draw(st.integers(0, size - 1))
    leaf, proof = tree.hashes[0, index], list(inclusion_proof(index, size, tree.nodes))
    changed_index, changed = index, list(proof)
    match data.draw(st.sampled_from(["flip", "drop", "add", "place", "leaf"])):
        case "flip":
            step = data.draw(st.integers(0, len(proof) - 1))
            changed[step] = flipped(proof[step], data.draw(st.integers(0, 255)))
        case "drop":
            del changed[data.draw(st.integers(0, len(proof) - 1))]
        case "add":
            changed.insert(
                data.draw(st.integers(0, len(proof))), data.draw(st.binary(min_size=32, max_size=32))
            )
        case "place":
            changed_index = data.draw(st.integers(0, size - 1).filter(lambda other: other != index))
        case "leaf":
            leaf = flipped(leaf, data.draw(st.integers(0, 255)))
    try:
        reached = root_from_inclusion(changed_index, size, leaf, changed)
    except NotVerified:
        return
    assert reached != root_of(size, tree.nodes)


@given(st.data())
def test_a_changed_consistency_proof_does_not_hold(tree: Tree, data: st.DataObject) -> None:
    new = data.draw(st.integers(2, BOUND))
    old = data.draw(st.integers(1, new - 1))
    roots = [root_of(old, tree.nodes), root_of(new, tree.nodes)]
    proof = list(consistency_proof(old, new, tree.nodes))
    match data.draw(st.sampled_from(["flip", "drop", "add", "root"])):
        case "flip":
            step = data.draw(st.integers(0, len(proof) - 1))
            proof[step] = flipped(proof[step], data.draw(st.integers(0, 255)))
        case "drop":
            del proof[data.draw(st.integers(0, len(proof) - 1))]
        case "add":
            proof.insert(
                data.draw(st.integers(0, len(proof))), data.draw(st.binary(min_size=32, max_size=32))
            )
        case "root":
            which = data.draw(st.integers(0, 1))
            roots[which] = flipped(roots[which], data.draw(st.integers(0, 255)))
    with pytest.raises(NotVerified):
        verify_consistency(old, new, *roots, proof)


@given(st.integers(0, 300), st.integers(1, 300))
def test_an_append_makes_exactly_the_subtrees_that_a_longer_ledger_has(size: int, more: int) -> None:
    leaves = [b"%d" % number for number in range(size + more)]
    short, whole = Tree(leaves[:size]), Tree(leaves)
    frontier = Frontier.of(size, short.nodes)
    added = {
        (node.level, node.index): node.hash
        for data in leaves[size:]
        for node in frontier.append(leaf_hash(data))
    }
    expected = {place: value for place, value in whole.hashes.items() if place not in short.hashes}
    assert added == {place: value for place, value in expected.items() if place[0] > 0}
    assert frontier.root() == root_of(size + more, whole.nodes)


@given(st.integers(0, 2**40))
def test_a_frontier_has_at_most_one_hash_for_each_bit_of_the_size(size: int) -> None:
    cover = complete_subtrees(0, size)
    assert len(cover) == size.bit_count()
    assert sum(1 << level for level, _ in cover) == size


def test_a_missing_subtree_is_named() -> None:
    with pytest.raises(IntegrityError, match=r"ledger node \(level 2, index 0\) is missing"):
        root_of(5, lambda wanted: {})
    with pytest.raises(IntegrityError, match="ledger entry 0 is missing"):
        root_of(1, lambda wanted: {})


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 2)])
def test_sizes_that_cannot_be_are_refused(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="tree"):
        consistency_proof(old, new, PUBLISHED.nodes)
    with pytest.raises(NotVerified):
        verify_consistency(old, new, EMPTY_ROOT, EMPTY_ROOT, ())
    with pytest.raises(ValueError, match="leaf"):
        inclusion_proof(new, new, PUBLISHED.nodes)
    with pytest.raises(NotVerified):
        root_from_inclusion(new, new, EMPTY_ROOT, ())


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
