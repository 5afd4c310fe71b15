"""A network streamed along one axis: a volume of any length in the memory of a few planes, and without paying for the
halo along that axis.

Every pixel is computed once, from the same values and in the same way as by the network run on the whole
mirror-extended image: the results differ only by the order in which a convolution's sum may be made (`stream_schedule`
says which planes, `stream_parts` how).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from napari_seamless.errors import ConfigError, TileSizeError
from napari_seamless.networks.blocks import pool, pool_with_positions
from napari_seamless.networks.graph import Node, below, inputs_of, node_name, skips_of
from napari_seamless.networks.nested import NestedNetwork
from napari_seamless.networks.reach import Span
from napari_seamless.networks.stream_parts import PlaneQueue, StreamedBlock, memory_format_of
from napari_seamless.networks.stream_schedule import Step, StreamSchedule
from napari_seamless.networks.tile_regions import Region, across_regions

Heads = dict[int, Tensor]


class StreamedNetwork:
    """A network that is fed plane by plane along one spatial axis.

    The network's own weights are used, in its precision and on its device.

    Parameters
    ----------
    network : NestedNetwork
        In evaluation mode; batch norm may have been folded.
    level : int, or sequence of int, optional
        Which head, or heads; the deepest one by default.
    axis : int
        The spatial axis that is streamed: 0 is z of a 3D network, y of a 2D one.

    Raises
    ------
    ConfigError
        If the network is in training mode: batch norm then looks at the whole tile.
    LevelError
        If the network has no head at that level.
    """

    def __init__(self, network: NestedNetwork, *, level: int | Sequence[int] | None = None, axis: int = 0) -> None:
        if network.training:
            raise ConfigError("only a network in evaluation mode can be streamed, this one is training: call .eval()")
        if not 0 <= axis < network.config.spatial_dims:
            raise ConfigError(f"a network of {network.config.spatial_dims} spatial axes has no spatial axis {axis}")
        self.network, self.axis = network, axis
        asked = network.deepest_level if level is None else level
        wanted = (asked,) if isinstance(asked, int) else tuple(asked)
        self.levels = tuple(sorted(network.config.resolve_level(one) for one in wanted))

    def schedule(self, inner: Span) -> StreamSchedule:
        """Return how a stream comes to the planes `inner`; its ``image`` says which planes must be fed."""
        return StreamSchedule(self.network.config, self.levels, self.axis, inner)

    def open(self, inner: Span, wanted: Sequence[Span] | None = None) -> Stream:
        """Return a stream for the planes `inner` that has not been fed yet; any number may be open.

        `wanted` is the part of the logits that is wanted across the streamed axis, for each spatial axis, in their own
        pixels (what it says of the streamed axis does not count): the same numbers as without it, for less work.
        """
        return Stream(self.network, self.schedule(inner), 2 + self.axis, wanted)

    def run(self, chunks: Iterable[Tensor], inner: Span) -> Iterator[tuple[int, Tensor]]:
        """Stream an image and yield the deepest head's logits; see `run_heads`.

        Yields
        ------
        start : int
            The first plane.
        logits : Tensor, shape (N, out_channels, *spatial)
        """
        for start, heads in self.run_heads(chunks, inner):
            yield start, heads[self.levels[-1]]

    def run_heads(self, chunks: Iterable[Tensor], inner: Span) -> Iterator[tuple[int, Heads]]:
        """Stream an image and yield the logits of every wanted head.

        Parameters
        ----------
        chunks : iterable of Tensor, shape (N, in_channels, *spatial)
            The planes ``schedule(inner).image`` of the mirror-extended image, in order, any number at a time. Along
            the other axes an outer region, as for the network itself.
        inner : tuple of (start, stop)
            The planes that are wanted, in the image's coordinates.

        Yields
        ------
        start : int
            The first plane.
        logits : dict of int to Tensor, shape (N, out_channels, *spatial)
            By level. Along the streamed axis the pieces follow one another without gap or overlap over all of `inner`;
            along the others they are what the network returns (with valid padding, what its deepest head returns).

        Raises
        ------
        TileSizeError
            If the sizes across the streamed axis do not fit the network, or other planes come than are needed.
        """
        stream = self.open(inner)
        for chunk in chunks:
            piece = stream.push(chunk)
            if piece is not None:
                yield piece
        stream.close()


class Stream:
    """One stream on its way: the planes that wait between the nodes.

    Attributes
    ----------
    schedule : StreamSchedule
        ``schedule.image`` says which planes must be pushed.
    image_stop : int
        The first plane of the image that has not been pushed yet.
    """

    def __init__(
        self, network: NestedNetwork, schedule: StreamSchedule, dim: int, wanted: Sequence[Span] | None = None
    ) -> None:
        self.network, self.schedule, self.dim, self.wanted = network, schedule, dim, wanted
        self.config = network.config
        self.memory_format = memory_format_of(network)
        self.image_stop = schedule.image[0]
        self.queues = {node: PlaneQueue(dim, schedule.spans[node][0]) for node in schedule.nodes}
        self.blocks = {
            node: StreamedBlock(network.blocks[node_name(node)], dim, self.memory_format)  # type: ignore[arg-type]
            for node in schedule.nodes
        }
        self.positions: dict[int, PlaneQueue] = {}
        if self.config.upsample == "unpool":
            for level in range(schedule.depth):
                self.positions[level] = PlaneQueue(dim, schedule.joined_span((level + 1, 0))[0])

    @torch.inference_mode()
    def push(self, chunk: Tensor) -> tuple[int, Heads] | None:
        """Take the next planes of the image, and return what is there then; see `StreamedNetwork.run_heads`.

        Returns
        -------
        start, heads : int, dict of int to Tensor
            The first plane, and the logits by level. None if there are no new ones yet.

        Raises
        ------
        TileSizeError
            If the sizes across the streamed axis do not fit the network, or more planes come than are needed.
        """
        self._check(chunk)
        self.image_stop += chunk.shape[self.dim]
        for step in self.schedule.advance(self.image_stop):
            self._take(step, chunk)
        given = self.schedule.give()
        if given[0] == given[1]:
            return None
        heads = self._classified(given)
        for level in self.schedule.levels:
            self._forget((0, level))
        return given[0], heads

    def close(self) -> None:
        """Raise TileSizeError unless all planes were pushed."""
        if self.image_stop != self.schedule.image[1]:
            raise self._wrong_planes(f"{self.image_stop - self.schedule.image[0]}")

    def _wrong_planes(self, found: str) -> TileSizeError:
        first, stop = self.schedule.image
        return TileSizeError(
            f"a stream for the planes {self.schedule.inner} is fed the {stop - first} planes from {first} to {stop}, "
            f"not {found}: take them from schedule(inner).image"
        )

    def _check(self, chunk: Tensor) -> None:
        """Raise TileSizeError unless the network takes such a cross-section, and so many planes are needed."""
        if self.image_stop + chunk.shape[self.dim] > self.schedule.image[1]:
            raise self._wrong_planes("more")
        self.regions = across_regions(
            self.config, self.schedule.levels, self.dim - 2, tuple(chunk.shape[2:]), self.wanted
        )

    def _across(self, values: Tensor, region: Region, held: Region) -> Tensor:
        """Return the part of a tensor that a region covers across the streamed axis, as a view."""
        for axis, ((start, stop), (first, _)) in enumerate(zip(region, held, strict=True), start=2):
            if axis != self.dim:
                values = values.narrow(axis, start - first, stop - start)
        return values

    def _take(self, step: Step, chunk: Tensor) -> None:
        made = self.blocks[step.node](partial(self._joined, step, chunk), partial(self._forget_sources, step.node))
        if made is not None:
            self.queues[step.node].append(made)

    def _joined(self, step: Step, chunk: Tensor) -> list[list[Tensor]]:
        """Return the planes that a step joins: of the image, pooled, or skips beside what is up-sampled."""
        level, column = step.node
        if column:
            return [*(self._skip(step, skip) for skip in skips_of(self.config, step.node)), [self._upsampled(step)]]
        if level:
            return [[self._pooled(step)]]
        return [[self._across(chunk, self.regions.joined[step.node], self.regions.image)]]

    def _skip(self, step: Step, skip: Node) -> list[Tensor]:
        region, held = self.regions.joined[step.node], self.regions.made[skip]
        return [self._across(piece, region, held) for piece in self.queues[skip].pieces(step.joined)]

    def _pooled(self, step: Step) -> Tensor:
        level = step.node[0] - 1
        held = self.regions.made[(level, 0)]
        windows, pooled_region = self.regions.whole_windows(level, held)
        above = self.queues[(level, 0)].read(self.schedule.grid.windows(level, step.joined))
        above = self._across(above, windows, held)
        if level in self.positions:
            pooled, positions = pool_with_positions(above, self.config.poolings[level])
            self.positions[level].append(positions.to(torch.uint8))
        else:
            pooled = pool(above, self.config.poolings[level])
        return self._across(pooled, self.regions.joined[step.node], pooled_region)

    def _upsampled(self, step: Step) -> Tensor:
        """Return what the node below gives for a step's planes.

        The module is run on the coarse planes that these depend on; what it makes beyond them, at the edges, is cut.
        """
        level, grid = step.node[0], self.schedule.grid
        coarse = grid.under(level, step.joined)
        held = self.regions.made[below(step.node)]
        region = self.regions.raised_from(step.node, held)
        under = self._across(self.queues[below(step.node)].read(coarse), region, held)
        positions = None
        if level in self.positions:
            _, pooled_region = self.regions.whole_windows(level, self.regions.made[(level, 0)])
            positions = self._across(self.positions[level].read(coarse), region, pooled_region)
        raised: Tensor = self.network.upsamples[node_name(step.node)](under, positions)
        start, stop = grid.windows(level, coarse)
        removed = (stop - start - raised.shape[self.dim]) // 2  # by linear up-sampling with valid padding
        raised_region = self.regions.raised_to(level, region, raised.shape[2:])
        raised = self._across(raised, self.regions.joined[step.node], raised_region)
        return raised.narrow(self.dim, step.joined[0] - start - removed, step.joined[1] - step.joined[0])

    def _classified(self, span: Span) -> Heads:
        logits: Heads = {}
        for level in self.schedule.levels:
            classify = self.network.classifiers[str(level)]
            pieces = [classify(piece) for piece in self.queues[(0, level)].pieces(span)]
            whole = pieces[0] if len(pieces) == 1 else torch.cat(pieces, self.dim)
            logits[level] = self._across(whole, self.regions.head, self.regions.made[(0, level)])
        return logits

    def _forget_sources(self, node: Node) -> None:
        for source in inputs_of(self.config, node):
            self._forget(source)
        level = node[0]
        if node[1] and level in self.positions:
            self.positions[level].forget(self.schedule.positions_wanted_from(level))

    def _forget(self, node: Node) -> None:
        self.queues[node].forget(self.schedule.wanted_from(node))
