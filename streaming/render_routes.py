"""Renders and analyses over HTTP. In: requests; out: responses. Remembers nothing. Event loop only."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Iterable
from fractions import Fraction
from pathlib import Path as FilePath
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.errors import BadTake
from engine.take import read_take
from moods.errors import OutOfRange, UnknownClip
from moods.timeline import FPS, LONGEST_S, SHORTEST_S, Timeline, parse_timeline, read_fps
from streaming import messages
from streaming.access import Role, allowed
from streaming.errors import (
    BadParameter,
    KeyReused,
    NoRoomForJobs,
    NotAPicture,
    NothingToHear,
    TooLarge,
    TooManyJobs,
    TooSlow,
    UnknownJob,
    UnknownJobFile,
    UnknownStation,
    UnknownUpload,
    WebhookRefused,
)
from streaming.files.errors import BadVideo
from streaming.files.exchange import BadExchange
from streaming.files.exchange.reading import ENDINGS
from streaming.jobs import probing
from streaming.jobs.asked import MEDIA_TYPES, MOST_VARIATIONS, RenderRequest, parse_render_request, timeline_of
from streaming.jobs.job import Job, Upload, media_type_of
from streaming.jobs.jobs import Jobs
from streaming.jobs.planned import planned
from streaming.jobs.uploads import Part, is_form, pieces, received_form
from streaming.middleware import is_head
from streaming.openapi import BAD_BODY, BAD_VALUE, answer, body, form, refusals, text_body
from streaming.reading import parse_json, read_asked, read_json
from streaming.routes import conductor_of, prefix_of
from streaming.station import Station

router = APIRouter(dependencies=[Depends(allowed(Role.ADMIN))])

_MAX_REQUEST_BYTES = 8 << 20
"""A take of many controls is long."""
_MAX_EXCHANGE_BYTES = 16 << 20
_LEAST_S, _KEEP_ALIVE_S = 0.25, 15.0
"""Between two events of a job: no less, no more."""
_LOOK_S = 0.05
"""How often it is looked whether more has been composed."""
_CHUNK_BYTES = 64 * 1024
_MOST_NOTES, _LONGEST_NOTE = 10, 200
"""Of a file that was read: as much as any proxy lets through in a header."""

JobId = Annotated[str, Path(description="The job's id.", examples=["8f14e45fceea167a"])]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=255,
        description="The same key with the same request is answered with the same job, however often it is sent.",
    ),
]  # fmt: skip
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "It waits for its turn.", "headers": {"Location": {"schema": {"type": "string"}}}}
}
_NOTES = {"description": "What was left out or guessed: a list of lines, as JSON.", "schema": {"type": "string"}}
_READ: dict[int | str, dict[str, Any]] = {200: {"description": "The timeline.", "headers": {"Undersong-Notes": _NOTES}}}
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Job"},
        },
    },
}
_FILES = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted(set(MEDIA_TYPES.values()))}
_BAD_UPLOAD = (TooSlow, NoRoomForJobs, NotAPicture, BadVideo)


def jobs_of(request: Request) -> Jobs:
    return conductor_of(request).jobs


@router.post(
    "/v1/renders",
    status_code=202,
    tags=["renders"],
    operation_id="render",
    response_model=messages.Job,
    responses=refusals(
        *BAD_BODY, *BAD_VALUE, UnknownClip, *_BAD_UPLOAD, BadExchange, BadParameter, UnknownStation, UnknownUpload,
        NothingToHear, WebhookRefused, KeyReused, TooManyJobs,
    ) | _ACCEPTED,
    openapi_extra=form(
        "RenderRequest",
        parts={"request": "The request as JSON.", "video": "A film clip.", "timeline": "An editing program's file."},
        a_mood={"mood": "epic", "seconds": 15, "formats": ["wav", "mp3"]},
        a_timeline={"timeline": {"duration": 12, "mood": "healing", "sections": [{"at": 6, "mood": "epic"}]}},
        a_clip={"mood": "sport", "preset": "15s", "loudness": {"lufs": -14}},
        variations={"prompt": "rainy night", "seconds": 8, "seed": 7, "variations": 2},
    ),
)  # fmt: skip
async def post_render(request: Request, idempotency_key: IdempotencyKey = None) -> JSONResponse:
    """Render music into files.

    A mood and a length, a timeline, or the take of a station ("keep this take"), by itself or over a picture. The
    body is JSON, and may be a timeline itself; or a form whose part `request` is that JSON; with `video`, a film clip,
    or `timeline`, the file of an editing program. The answer comes at once; GET, or the job's events, tell how far it
    is.
    """
    jobs = jobs_of(request)
    jobs.check_room_in_queue("render")
    if not is_form(request):
        asked = await read_json(request, _MAX_REQUEST_BYTES)
        sums = {"request": await asyncio.to_thread(_sum_of, asked)}
        return await _submit(request, asked, {}, sums, idempotency_key)
    limits = {
        "request": _MAX_REQUEST_BYTES,
        "video": jobs.config.max_upload_mb * 1_000_000,
        "timeline": _MAX_EXCHANGE_BYTES,
    }
    async with received_form(request, jobs.store.incoming, limits, jobs.reserve) as parts:
        asked = {}
        if "request" in parts:
            body = await asyncio.to_thread(parts["request"].path.read_bytes)
            asked = await asyncio.to_thread(parse_json, body, _MAX_REQUEST_BYTES)
        sums = {name: part.sha256 for name, part in parts.items()}
        return await _submit(request, asked, parts, sums, idempotency_key)


def _sum_of(value: object) -> str:
    """The same for the same JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


async def _submit(
    request: Request, asked: Any, parts: dict[str, Part], sums: dict[str, str], key: str | None
) -> JSONResponse:
    jobs = jobs_of(request)
    fingerprint = _sum_of(["render", sums])
    if (earlier := jobs.find_again(key, fingerprint)) is not None:
        return _accepted(request, earlier)
    wanted = await read_asked(parse_render_request, asked)
    if wanted.webhook is not None:
        jobs.check_webhook(wanted.webhook)
    upload = await _picture(request, wanted, parts)
    if "timeline" in parts:
        if wanted.timeline is not None:
            raise BadParameter("the form has a part timeline, and so has its request; expected one", field="timeline")
        document = await asyncio.to_thread(parts["timeline"].path.read_bytes)
        duration = None if upload is None else Fraction(upload.seconds)
        reading = await _read_exchange(jobs, document, parts["timeline"].filename, duration)
        said = timeline_of(wanted)  # a mood, an ending: what editing programs' files rarely say
        others = {name: value for name, value in asked.items() if name not in said}
        wanted = await read_asked(parse_render_request, others | {"timeline": said | reading["timeline"]})
    changes, title = await _completed(request, wanted, upload)
    completed = {name: value for name, value in (wanted.asked() | changes).items() if value is not None}
    job = Job(
        secrets.token_hex(8), "render", completed, upload=None if upload is None else upload.id,
        title=title, key=key, fingerprint=fingerprint,
    )  # fmt: skip
    return _accepted(request, await jobs.submit(job))


async def _read_exchange(
    jobs: Jobs, document: bytes, name: str, duration: Fraction | None, fps: Fraction | None = None
) -> probing.Reading:
    """What an editing program's file says; `duration`, in seconds, and `fps` count where it says none. Raises
    `BadExchange`."""
    if name.rpartition(".")[2].casefold() == "json":  # which nobody's library reads
        async with jobs.planning:
            return await asyncio.to_thread(probing.reading_of, document, name, duration, fps)
    async with jobs.probing:
        return await probing.reading_apart(document, name, duration, fps)


async def _picture(request: Request, wanted: RenderRequest, parts: dict[str, Part]) -> Upload | None:
    jobs = jobs_of(request)
    if "video" not in parts:
        return None if wanted.video is None else jobs.upload(wanted.video)
    if wanted.video is not None:
        raise BadParameter("the form has a part video, and its request an upload; expected one", field="video")
    return await _keep(jobs, parts["video"])


async def _keep(jobs: Jobs, part: Part) -> Upload:
    """Raises `NotAPicture`, `OutOfRange`, and as `BadVideo` says."""
    if not part.num_bytes:
        raise NotAPicture("video is empty; send a film clip", field="video")
    async with jobs.probing:
        seconds = await probing.seconds_of(part.path, jobs.config.max_picture_s)
    return await jobs.keep(part, seconds)


async def _completed(request: Request, wanted: RenderRequest, upload: Upload | None) -> tuple[dict[str, Any], str]:
    """What the request leaves open, as further fields of it, and what its files may be called."""
    jobs, changes = jobs_of(request), dict[str, Any]()
    title = PurePath(upload.name).stem if upload is not None else wanted.mood or "undersong"
    if wanted.take is not None:
        if "\n" in wanted.take or wanted.take.lstrip().startswith("{"):
            await asyncio.to_thread(_check_take, wanted.take)
        else:
            station = conductor_of(request).station(wanted.take)
            changes = await _heard(station, wanted)
            title = station.name
    else:
        timeline = wanted.timeline
        if wanted.seed is None and (timeline is None or timeline.seed is None):
            changes["seed"] = secrets.randbits(53)  # JavaScript keeps 53 bits
        if timeline is not None and timeline.duration > jobs.config.max_render_s:
            raise OutOfRange("timeline.duration", timeline.duration, SHORTEST_S, jobs.config.max_render_s)
    if wanted.seconds is not None and wanted.seconds > jobs.config.max_render_s:
        raise OutOfRange("seconds", wanted.seconds, SHORTEST_S, jobs.config.max_render_s)
    most_s = jobs.config.max_render_s - (wanted.seconds or 0.0)  # what comes before `from` is composed as well
    if "take" not in changes and wanted.from_ is not None and wanted.from_ > most_s:
        raise OutOfRange("from", wanted.from_, 0, most_s)
    return changes, title


def _check_take(document: str) -> None:
    """Raises `BadParameter`."""
    try:
        read_take(document)
    except BadTake as error:
        raise BadParameter(f"take: {error}", field="take") from None


async def _heard(station: Station, wanted: RenderRequest) -> dict[str, Any]:
    """What the station has played so far, or as much of it as is wanted."""
    now_frame = station.frame // BLOCK_FRAMES * BLOCK_FRAMES
    lines = station.take()
    last_s = None if wanted.last_minutes is None else 60 * wanted.last_minutes
    from_frame = round((wanted.from_ or 0.0) * SAMPLE_RATE)
    if last_s is not None:
        from_frame = max(0, now_frame - round(last_s * SAMPLE_RATE))
    seconds = (now_frame - from_frame) / SAMPLE_RATE if wanted.seconds is None else wanted.seconds
    if seconds < SHORTEST_S:
        raise NothingToHear(
            f"the station has played {now_frame / SAMPLE_RATE:g} s, of which {max(0.0, seconds):g} s are asked for; "
            f"at least {SHORTEST_S:g} s are rendered"
        )
    document = await asyncio.to_thread("".join, lines)
    return {"take": document, "seconds": seconds, "from": from_frame / SAMPLE_RATE, "last_minutes": None}


def _accepted(request: Request, job: Job) -> JSONResponse:
    message = _message(request, job)
    return JSONResponse(message, 202, {"Location": message["links"]["self"]})


def _message(request: Request, job: Job) -> messages.Job:
    return job.message(prefix_of(request), jobs_of(request).num_ahead(job))


@router.post(
    "/v1/analyses",
    status_code=202,
    tags=["renders"],
    operation_id="analyse",
    response_model=messages.Job,
    responses=refusals(*BAD_BODY, *_BAD_UPLOAD, OutOfRange, BadParameter, KeyReused, TooManyJobs) | _ACCEPTED,
    openapi_extra=form(None, parts={"video": "A film clip."}),
)
async def post_analysis(request: Request, idempotency_key: IdempotencyKey = None) -> JSONResponse:
    """Analyse a picture.

    A job like a render, whose report tells `duration`, `fps`, `cuts`, `speech`, `waveform` and more. The picture is
    kept: its `upload` stands for it in a render's `video`.
    """
    jobs = jobs_of(request)
    jobs.check_room_in_queue("analysis")
    limits = {"video": jobs.config.max_upload_mb * 1_000_000}
    async with received_form(request, jobs.store.incoming, limits, jobs.reserve) as parts:
        if "video" not in parts:
            raise BadParameter("the form has no part video; send a film clip", field="video")
        fingerprint = _sum_of(["analysis", parts["video"].sha256])
        if (earlier := jobs.find_again(idempotency_key, fingerprint)) is not None:
            return _accepted(request, earlier)
        upload = await _keep(jobs, parts["video"])
    job = Job(
        secrets.token_hex(8), "analysis", {}, upload=upload.id, title=PurePath(upload.name).stem or "picture",
        key=idempotency_key, fingerprint=fingerprint,
    )  # fmt: skip
    return _accepted(request, await jobs.submit(job))


@router.post(
    "/v1/timelines",
    tags=["renders"],
    operation_id="readTimeline",
    response_model=Timeline,
    responses=refusals(TooLarge, TooSlow, BadExchange, *BAD_VALUE) | _READ,
    openapi_extra=text_body("application/octet-stream", "The file."),
)
async def post_timeline(
    request: Request,
    ending: Annotated[
        str,
        messages.OneOf(ENDINGS),
        Query(alias="format", description="How its name would end; `xml` is Final Cut Pro 7's, or fcpxml."),
    ],
    duration: Annotated[
        float | None, Query(ge=SHORTEST_S, le=LONGEST_S, description="Seconds, where the file does not say.")
    ] = None,
    fps: Annotated[float | None, Query(ge=FPS[0], le=FPS[1], description="As `duration`.")] = None,
) -> JSONResponse:
    """Read an editing program's file.

    What it says becomes a timeline in JSON: its cuts, markers, captions and speech.
    """
    document = b"".join([piece async for piece in pieces(request, _MAX_EXCHANGE_BYTES)])
    seconds, rate = None if duration is None else Fraction(duration), None if fps is None else read_fps(fps)
    reading = await _read_exchange(jobs_of(request), document, f"timeline.{ending}", seconds, rate)
    notes = [line[:_LONGEST_NOTE] for line in reading["notes"][:_MOST_NOTES]]
    return JSONResponse(reading["timeline"], headers={"Undersong-Notes": json.dumps(notes)} if notes else None)


@router.post(
    "/v1/timelines/plan",
    tags=["renders"],
    operation_id="planTimeline",
    response_model=messages.Plan,
    responses=refusals(*BAD_BODY, *BAD_VALUE),
    openapi_extra=body(
        "Timeline", is_required=True, a_timeline={"duration": 15, "mood": "epic", "hits": [4.2], "cuts": [2, 6.5, 9]}
    ),
)
async def post_plan(request: Request) -> JSONResponse:
    """Plan a timeline.

    Where its beats, bars and sections will be, and how far from a beat each place is that matters; nothing is rendered.
    """
    asked = await read_json(request, _MAX_REQUEST_BYTES)
    async with jobs_of(request).planning:
        return JSONResponse(await asyncio.to_thread(lambda: planned(parse_timeline(asked))))


@router.get("/v1/renders", tags=["renders"], operation_id="listRenders", response_model=messages.Jobs)
async def get_renders(request: Request) -> JSONResponse:
    """List all jobs, the newest first.

    Without their reports, which may be long: each job tells its own.
    """
    jobs = sorted(jobs_of(request).all.values(), key=lambda job: job.created_s, reverse=True)
    return JSONResponse({"renders": [{**_message(request, job), "report": None} for job in jobs]})


@router.get(
    "/v1/renders/{job_id}",
    tags=["renders"],
    operation_id="getRender",
    response_model=messages.Job,
    responses=refusals(UnknownJob),
)
async def get_render(request: Request, job_id: JobId) -> JSONResponse:
    """Tell how a job stands.

    `state`, how far it is, and when it is done its report and files.
    """
    return JSONResponse(_message(request, jobs_of(request).job(job_id)))


@router.delete(
    "/v1/renders/{job_id}",
    status_code=204,
    tags=["renders"],
    operation_id="deleteRender",
    responses=refusals(UnknownJob),
)
async def delete_render(request: Request, job_id: JobId) -> Response:
    """Cancel and forget a job.

    Whatever there is of it is removed; those that follow its events are told.
    """
    jobs = jobs_of(request)
    jobs.forget(jobs.job(job_id))
    return Response(status_code=204)


@router.get(
    "/v1/renders/{job_id}/events",
    tags=["renders"],
    operation_id="followRender",
    response_class=StreamingResponse,
    responses={
        200: answer("Server-sent events, unnamed; each `data` is a `Job`.", "text/event-stream", _EVENT),
        204: {"description": "The last event was received: there will be no other."},
        **refusals(UnknownJob),
    },
)
async def get_events(
    request: Request,
    job_id: JobId,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Of the last event that was received.")
    ] = None,
) -> Response:
    """Follow a job by server-sent events.

    First its state, then whenever it changes, at most four times a second; the last is that it is done, failed or
    cancelled.
    """
    job = jobs_of(request).job(job_id)
    if job.is_final and last_event_id == _event_id(job):
        return Response(status_code=204)  # by which an EventSource knows that it need not come again
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    body: Iterable[str] | AsyncIterator[str] = () if is_head(request) else _events(request, job)
    return StreamingResponse(body, 200, headers, "text/event-stream")


def _event_id(job: Job) -> str:
    return job.state if job.is_final else str(job.version)


async def _events(request: Request, job: Job) -> AsyncIterator[str]:
    told = -1
    while True:
        if job.version != told:
            told = job.version
            yield f"id: {_event_id(job)}\ndata: {json.dumps(_message(request, job))}\n\n"
            if job.is_final or job.is_interrupted:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(job.end(), _LEAST_S)
        else:
            try:
                await asyncio.wait_for(job.change(), _KEEP_ALIVE_S)
            except TimeoutError:
                yield ": still there\n\n"  # or a proxy would close what is quiet, and nobody notice who has gone


@router.get(
    "/v1/renders/{job_id}/files/{name}",
    tags=["renders"],
    operation_id="getRenderFile",
    response_class=FileResponse,
    responses={
        200: {"description": "The file.", "content": _FILES},
        206: {"description": "Those bytes of it that `Range` asks for.", "content": _FILES},
        416: {"description": "There are no such bytes."},
        **refusals(UnknownJob, UnknownJobFile),
    },
)
async def get_file(
    request: Request,
    job_id: JobId,
    name: Annotated[str, Path(description="One of the job's `files`.", examples=["music.wav"])],
) -> FileResponse:
    """Get a file of a job.

    `Range` is understood: a player may begin anywhere, and a download go on.
    """
    jobs = jobs_of(request)
    job = jobs.job(job_id)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=3600"}
    path = jobs.file(job, name)
    return FileResponse(path, 200, headers, media_type_of(name), filename=f"{job.title} {name}")


@router.get(
    "/v1/renders/{job_id}/audition",
    tags=["renders"],
    operation_id="auditionRender",
    response_class=StreamingResponse,
    responses={
        200: answer("WAV of 16 bits, as it is composed.", "audio/wav", {"type": "string", "format": "binary"}),
        **refusals(UnknownJob, NothingToHear, BadParameter),
    },
)
async def get_audition(
    request: Request,
    job_id: JobId,
    variation: Annotated[int, Query(ge=1, le=MOST_VARIATIONS, description="Which of several.")] = 1,
) -> Response:
    """Hear a render while it is composed.

    From its first block on and as fast as it goes, before it is brought to its level. The header says how long the
    whole is; it ends early where the job does. Waits for the job's turn.
    """
    jobs = jobs_of(request)
    job = jobs.job(job_id)
    if job.kind != "render" or variation > job.asked.get("variations", 1):
        raise NothingToHear(f"the job has no music numbered {variation}")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Accept-Ranges": "none"}
    if is_head(request):
        return StreamingResponse(iter(()), 200, headers, "audio/wav")
    path = jobs.audition(job, variation)
    while not await asyncio.to_thread(path.exists):
        if job.is_final or job.is_interrupted or await request.is_disconnected():
            raise NothingToHear(f"the job is {job.state}: nothing was composed")
        await asyncio.sleep(_LOOK_S)
    return StreamingResponse(_as_composed(job, path), 200, headers, "audio/wav")


async def _as_composed(job: Job, path: FilePath) -> AsyncIterator[bytes]:
    try:
        file = await asyncio.to_thread(open, path, "rb")
    except OSError:  # it was forgotten in this moment
        return
    with file:
        is_last = False
        while True:
            chunk = await asyncio.to_thread(file.read, _CHUNK_BYTES)
            if chunk:
                yield chunk
            elif is_last:
                return
            else:
                is_last = job.is_final or job.is_interrupted
                if not is_last:
                    await asyncio.sleep(_LOOK_S)
