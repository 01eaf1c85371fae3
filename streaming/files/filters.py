"""Sound through libavfilter. In: sound and a chain of its filters; out: frames. The calling thread does the work."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import av
from av.filter import Graph

from streaming.files.sound import Sound, to_av_frames


def filtered(sound: Sound, chain: list[tuple[str, str]]) -> Iterator[av.AudioFrame]:
    """Sound through libavfilter's filters, each a name and its arguments."""
    return filtered_frames(to_av_frames(sound), chain)


def filtered_frames(frames: Iterator[av.AudioFrame], chain: list[tuple[str, str]]) -> Iterator[av.AudioFrame]:
    """Frames of one kind, whichever it is, through libavfilter's filters."""
    first = next(frames, None)
    if first is None:
        return
    graph = Graph()
    nodes = [
        graph.add_abuffer(
            format=first.format.name, sample_rate=first.sample_rate, layout=first.layout.name, time_base=first.time_base
        )
    ]
    nodes += [graph.add(name, arguments) for name, arguments in chain]
    nodes.append(graph.add("abuffersink"))
    for source, sink in zip(nodes, nodes[1:], strict=False):
        source.link_to(sink)
    graph.configure()
    for frame in itertools.chain([first], frames):
        graph.push(frame)
        yield from _pulled(graph)
    graph.push(None)
    yield from _pulled(graph)


def _pulled(graph: Graph) -> Iterator[av.AudioFrame]:
    while True:
        try:
            frame = graph.pull()
            assert isinstance(frame, av.AudioFrame)
            yield frame
        except (BlockingIOError, EOFError):
            return
