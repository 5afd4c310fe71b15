"""In which order a stream makes the planes of every node, and how long it keeps them: integers, no torch.

A network that is streamed along one axis meets its image plane by plane. Whenever planes arrive, every node makes all
planes it now can, source before reader, and nothing that no head needs (`reach.py`). Three numbers a node say how far
it is: `joined` planes taken as input, of which a block gives all but the first and last two, as the block's two
convolutions run without padding along the streamed axis; the planes made; and the first plane that some reader still
wants, before which everything is forgotten.

At the ends of the stream nothing is padded with zeros, as the network run on the whole image does: those zeros lie in
the halo, and the planes they touch are never made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import geometry
from napari_seamless.networks.graph import Node, below, inputs_of, nodes_for
from napari_seamless.networks.reach import BLOCK_REACH, Span, axis_grid, needed_spans, widen


@dataclass(frozen=True, slots=True)
class Step:
    """One node's turn.

    Attributes
    ----------
    node : Node
    joined : tuple of (start, stop)
        The planes of its joined input, on its own grid, that it takes now.
    made : tuple of (start, stop)
        The planes of its result that this makes; may be none.
    """

    node: Node
    joined: Span
    made: Span


class StreamSchedule:
    """How a stream along one axis comes from one end to the other.

    Parameters
    ----------
    config : NetworkConfig
    levels : sequence of int
        The heads that are wanted.
    axis : int
        The spatial axis that is streamed.
    inner : tuple of (start, stop)
        Which planes of the logits are wanted, in the image's coordinates. The pooling grid is the one tiles have: it
        starts at a multiple of the alignment.

    Attributes
    ----------
    depth : int
        Of the deepest head.
    image : tuple of (start, stop)
        The planes of the mirror-extended image on which the wanted ones depend; at most the halo more on each side.
    nodes : tuple of Node
        Those that are run, each after its sources.
    spans : dict
        The planes of each node that are made.
    """

    def __init__(self, config: NetworkConfig, levels: Sequence[int], axis: int, inner: Span) -> None:
        self.config = config
        self.levels = tuple(sorted({config.resolve_level(level) for level in levels}))
        self.depth = self.levels[-1]
        self.inner = inner
        self.grid = axis_grid(config, self.depth, axis, first=-geometry(config, self.depth).crop[axis])
        self.spans = needed_spans(config, self.levels, self.grid, inner)
        self.nodes = nodes_for(config, self.depth)
        self.image = widen(self.spans[(0, 0)], BLOCK_REACH)
        self.given = inner[0]
        self._taken = {node: self.joined_span(node)[0] for node in self.nodes}
        self._readers: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for source in inputs_of(config, node):
                self._readers[source].append(node)

    def advance(self, image_stop: int) -> Iterator[Step]:
        """Yield the steps that become possible when the image has arrived up to `image_stop`.

        A step counts as taken from the moment it is yielded.
        """
        for node in self.nodes:
            start = self._taken[node]
            stop = min(self._reachable(node, image_stop), self.joined_span(node)[1])
            if stop > start:
                made = self.made_before(node)
                self._taken[node] = stop
                yield Step(node, (start, stop), (made, self.made_before(node)))

    def give(self) -> Span:
        """Return the planes for which all heads' features are there now, and count them as given."""
        start = self.given
        # Shallow heads are ahead of deep ones, and begin and end beyond the wanted planes.
        made = min(self.made_before((0, level)) for level in self.levels)
        self.given = min(max(made, start), self.inner[1])
        return (start, self.given)

    def made_before(self, node: Node) -> int:
        """Return the plane before which everything that is wanted of `node` has been made."""
        return max(self.spans[node][0], self._taken[node] - BLOCK_REACH)

    def wanted_from(self, source: Node) -> int:
        """Return the first plane of `source` that something still reads: what lies before can be forgotten."""
        wanted = [self._first_read(reader, source) for reader in self._readers[source]]
        if source[0] == 0 and source[1] in self.levels:
            wanted.append(self.given)
        return min(wanted)

    def positions_wanted_from(self, level: int) -> int:
        """Return the first pooled plane whose positions the decoder at `level` still reads (max-unpooling)."""
        return self._first_read((level, self.depth - level), (level + 1, 0))

    def joined_span(self, node: Node) -> Span:
        return widen(self.spans[node], BLOCK_REACH)

    def _reachable(self, node: Node, image_stop: int) -> int:
        """Return how far the joined input of `node` can be made."""
        level, column = node
        if column == 0:
            return self.grid.whole_windows(level - 1, self.made_before((level - 1, 0))) if level else image_stop
        sources = inputs_of(self.config, node)
        raised = self.grid.up_to(level, self.made_before(below(node)))
        return min(raised, *(self.made_before(source) for source in sources if source[0] == level))

    def _first_read(self, reader: Node, source: Node) -> int:
        """Return the first plane of `source` that `reader` reads when it goes on."""
        taken, (_, end) = self._taken[reader], self.joined_span(reader)
        if taken == end:
            return self.spans[source][1] + BLOCK_REACH  # beyond all planes of it
        if reader[0] < source[0]:
            return self.grid.under(reader[0], (taken, taken + 1))[0]
        if reader[0] > source[0]:
            return self.grid.windows(source[0], (taken, taken + 1))[0]
        return taken
