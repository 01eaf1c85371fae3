"""How kernels are compiled: decorators over numba's. Remember nothing.

Python enters a few functions, `entry`; these call `kernel`s, which call one another. Only entries have the wrappers
that make a function callable from Python (without one the call crashes), only entries become machine code, optimised
once together with all that they call, and only entries are kept on disk. A `part` is a large kernel that is kept as
well, so that one process can compile it for another. None allocates or counts references, which would cost a fifth of
the compilation and, run, as much.
"""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import CellType, FunctionType
from typing import Any, TypeAlias, TypeVar, overload

from llvmlite import binding as llvm
from numba import _dynfunc, njit, types
from numba.core import config, event
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, CompileResult, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering

from engine.code_cache import CodeCache, is_kept
from undersong_launch import child_command, child_environment

Compiled = TypeVar("Compiled", bound=Callable[..., Any])
Record: TypeAlias = Any
"""A row of a structured array inside a kernel, where its fields are attributes."""

CONTRACT = {"contract"}
"""Products and sums may fuse, as a card's always do. The order of sums stays: 64 frames are the same as 13 and 51."""


class _KernelLibrary(JITCodeLibrary):
    """The code of a kernel, waiting to be linked into an entry. Numba would optimise it and emit machine code that
    nobody calls, anew at every level of calls: two thirds of LLVM's time."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def serialize_using_object_code(self) -> tuple[str, str, bytes]:
        return self.serialize_using_bitcode()

    @classmethod
    def of_bitcode(cls, codegen: Any, name: str, bitcode: bytes) -> _KernelLibrary:
        library = cls(codegen, name)
        library._final_module = llvm.parse_bitcode(bitcode)
        library._finalize_final_module()
        return library


def _uncallable(library: _KernelLibrary, description: Any, environment: Any) -> Any:
    """What numba's dispatchers hold in place of a function's machine code."""
    name = description.qualname.split(".")[-1]
    return _dynfunc.make_function(description.lookup_module(), name, "", 0, environment, (library,))


@register_pass(mutates_CFG=False, analysis_only=False)
class _OfferToCallers(LoweringPass):
    """What numba's last pass does for functions that have machine code: callers may link this one."""

    _name = "offer_to_callers"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        lowered = state.cr
        uncallable = _uncallable(state.library, lowered.fndesc, lowered.env)
        state.targetctx.insert_user_function(uncallable, lowered.fndesc, [state.library])
        state.cr = lowered._replace(cfunc=uncallable)
        return True


class _KernelCompiler(CompilerBase):
    """Numba's passes without the last step, machine code."""

    def define_pipelines(self) -> list[Any]:
        state = self.state
        state.flags.no_compile = True
        state.library = _KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        passes = DefaultPassBuilder.define_nopython_pipeline(state)
        passes.add_pass_after(_OfferToCallers, NativeLowering)
        passes.finalize()
        return [passes]


def _named_shortly(spell_out: Callable[..., None]) -> Callable[..., None]:
    """Numba names a record after all its fields and a function after all its types: ten thousand letters a name, which
    take an eighth of the compilation and half of what is kept on disk."""

    def init(record: types.Record, *args: Any, **options: Any) -> None:
        spell_out(record, *args, **options)
        record.name = f"Record{hashlib.sha256(record.name.encode()).hexdigest()[:16]}"

    return init


types.Record.__init__ = _named_shortly(types.Record.__init__)

_kernels: set[str] = set()
"""Names of all that is compiled here, for `_Progress`."""


def _name(function: FunctionType) -> str:
    return f"{function.__module__}.{function.__qualname__}"


@overload
def kernel(function: Compiled, /) -> Compiled: ...


@overload
def kernel(**options: Any) -> Callable[[Compiled], Compiled]: ...


def kernel(function: Any = None, /, **options: Any) -> Any:
    """Compile what kernels and entries call; in numba's simulator of a card Python itself runs it, as all else."""
    if function is None:
        return partial(kernel, **options)
    if config.DISABLE_JIT:
        return function
    _kernels.add(_name(function))
    dispatcher = njit(
        nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False,
        pipeline_class=_KernelCompiler, **options,
    )(function)  # fmt: skip
    template_of = dispatcher.get_call_template
    # To numba the constants 0 and 1 are of two types, and it would compile whatever is called with both twice.
    dispatcher.get_call_template = lambda args, kws: template_of(
        tuple(map(types.unliteral, args)), {name: types.unliteral(type_) for name, type_ in kws.items()}
    )
    return dispatcher


_ROOT = Path(__file__).resolve().parents[1]
_COMMON = ("engine.compile", "engine.audio", "engine.config", "engine.notes", "moods.intent")
"""Modules that are written into the code of kernels, wherever those are."""


@cache
def _digest_of(name: str) -> int:
    """Of the sources of a module or package."""
    place = _ROOT.joinpath(*name.split("."))
    digest = hashlib.sha256()
    for file in sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
        digest.update(file.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")


def bound_to_sources(function: Any, packages: Iterable[str]) -> FunctionType:
    """The same function with a digest of all sources of `packages` as one more captured value.

    A card's code is in numba's own cache, which looks at the function's own file alone and would keep serving old code
    after a change in another; captured values are part of its key.
    """
    code = function.__code__.replace(co_freevars=(*function.__code__.co_freevars, "source_digest"))
    digest = CellType(sum(map(_digest_of, packages)))
    closure = (*(function.__closure__ or ()), digest)
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)


def _kept(dispatcher: Any, packages: Iterable[str], rebuild: Callable[..., Any]) -> Any:
    sources = sum(map(_digest_of, (*packages, *_COMMON)))
    dispatcher._cache = CodeCache(_name(dispatcher.py_func), sources, rebuild)
    return dispatcher


def entry(*packages: str, **options: Any) -> Callable[[Compiled], Compiled]:
    """Compile what Python calls, kept on disk until a source file of `packages` changes."""

    def compiled(function: Any) -> Any:
        if config.DISABLE_JIT:
            return function
        _kernels.add(_name(function))
        dispatcher = njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, _nrt=False, **options)(function)
        return _kept(dispatcher, packages, CompileResult._rebuild)

    return compiled


def part(*packages: str, **options: Any) -> Callable[[Compiled], Compiled]:
    """A kernel that is kept as an entry is: what another process has compiled need not be compiled here."""

    def compiled(function: Any) -> Any:
        return function if config.DISABLE_JIT else _kept(kernel(function, **options), packages, _rebuild_kernel)

    return compiled


def _rebuild_kernel(target_context: Any, code: Any, description: Any, environment: Any, *rest: Any) -> CompileResult:
    signature, is_object_mode, lifted, annotation, reload_init, referenced = rest
    name, _, bitcode = code
    library = _KernelLibrary.of_bitcode(target_context.codegen(), name, bitcode)
    return CompileResult(
        target_context=target_context, typing_context=target_context.typing_context, library=library,
        environment=environment, entry_point=_uncallable(library, description, environment), fndesc=description,
        type_annotation=annotation, signature=signature, objectmode=is_object_mode, lifted=lifted, typing_error=None,
        call_helper=None, metadata=None, reload_init=reload_init, referenced_envs=referenced,
    )  # fmt: skip


def is_compiled(compiled: Any) -> bool:
    """Is there code of this entry on disk?"""
    return compiled._cache.is_filled(compiled.targetctx.codegen())


Report = Callable[[int, int], None]
"""Told how many kernels are compiled, of how many; from any thread, one call at a time."""


class _Progress(event.Listener):
    """Counts the kernels that are compiled here and, as it is told, elsewhere."""

    def __init__(self, report: Report) -> None:
        self._report, self._lock = report, threading.Lock()
        self._done: set[str] = set()

    def on_start(self, event: Any) -> None:
        pass

    def on_end(self, event: Any) -> None:
        self.count(_name(event.data["dispatcher"].py_func))

    def count(self, name: str) -> None:
        with self._lock:
            if name in _kernels and name not in self._done:
                self._done.add(name)
                self._report(len(self._done), len(_kernels))


def _to_nobody(done: int, total: int) -> None:
    pass


_report: Report = _to_nobody


@contextmanager
def reported_to(report: Report) -> Iterator[None]:
    """Whatever compiles meanwhile tells `report`."""
    global _report
    _report = report
    try:
        yield
    finally:
        _report = _to_nobody


@contextmanager
def compiled_beside(module: str) -> Iterator[None]:
    """Run `compile_ahead()` of `module` in another process meanwhile: numba compiles one function at a time in each.

    Where nothing can be kept, the other would work for nobody, and is not started.
    """
    progress = _Progress(_report)
    with event.install_listener("numba:compile", progress):
        if not is_kept():
            yield
            return
        command = child_command("engine.compile:_compile_for_parent", module)
        try:
            child = subprocess.Popen(
                command, env=child_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError:  # a machine with no room for it: it would only save time
            yield
            return
        with child:
            listener = threading.Thread(target=_count_all, args=(progress, child.stdout))
            listener.start()
            try:
                yield
                listener.join()
            except BaseException:
                child.kill()
                raise


def _count_all(progress: _Progress, lines: Iterable[str]) -> None:
    for line in lines:
        progress.count(line.strip())


def _compile_for_parent(module: str) -> None:
    """Compile ahead, and name on stdout what is done; where the parent has gone, that fails and ends us."""

    class Teller(_Progress):
        def count(self, name: str) -> None:
            print(name, flush=True)

    with event.install_listener("numba:compile", Teller(_to_nobody)):
        import_module(module).compile_ahead()
