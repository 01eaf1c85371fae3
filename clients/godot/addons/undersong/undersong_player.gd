class_name UndersongPlayer
extends RefCounted
## What sounds: the stream as it comes, and a bed of its last bars where it does not come.
##
## In: samples with their frames, and what is told of the music ahead; out: samples, and what has
## been heard. A frame is the station's, an index counts what was read. While the stream is missing
## frames go on with the bed, so that a stream that comes back in time comes back where it would
## have been. Main thread only.

const RATE := 48_000
const FADE_FRAMES := 960
const PAST_FRAMES := 16 * RATE
const PATIENCE_FRAMES := 2 * RATE
## So far behind it does not run after the music: it comes in anew, on a beat.
const MAX_BEHIND_FRAMES := RATE / 2
const LATE_FRAMES := 2 * RATE
## Told anew so soon, the beat heard last is still that beat: the server's engine was late.
const SAME_BEAT_FRAMES := RATE
const MAX_BUFFER_FRAMES := 10 * RATE
const LEAST_BED_FRAMES := RATE / 4
const BEATS_PER_BAR := 4
## How much faster or slower it plays to bring the buffer to its target: five cents.
const TRIM := 0.003
const TRIM_BEYOND_FRAMES := RATE / 20

## What was read so far.
var index := 0
var num_bridges := 0

var _target: int
var _mean_buffer: float
var _speed := 1.0
var _frame := 0
# The stream: frames without a gap from _first on; what arrives after a gap replaces it in the bed.
var _stretch := PackedVector2Array()
var _first := 0
var _next_stretch := PackedVector2Array()
var _next_first := -1
# The bed.
var _is_bed := true
var _loop := PackedVector2Array()
var _loop_offset := 0
var _loop_began := 0
var _loop_frames := 0
var _loop_bars := 0
var _loop_beats: Array[Dictionary] = []
var _return_index := -1
var _return_frame := 0
# What is left of a sound that fades out, and what was heard.
var _tail := PackedVector2Array()
var _past := PackedVector2Array()
var _told := {}
var _passed: Array[Dictionary] = []
var _beats: Array[Dictionary] = []


func _init(buffer_s: float) -> void:
	_target = maxi(RATE / 100, roundi(buffer_s * RATE))
	_mean_buffer = _target
	_loop.resize(FADE_FRAMES)


## Take in the samples from [param frame] on.
func write(frame: int, pcm: PackedVector2Array) -> void:
	if _stretch.size() > MAX_BUFFER_FRAMES:
		_stretch.clear()
		_next_first = -1
	if _next_first >= 0:
		if frame == _next_first + _next_stretch.size():
			_next_stretch.append_array(pcm)
			return
	elif _stretch.is_empty():
		_stretch = pcm
		_first = frame
		_return_index = -1
		return
	elif frame == _first + _stretch.size():
		_stretch.append_array(pcm)
		return
	_next_first = frame
	_next_stretch = pcm
	_return_index = -1


## Take in an event of the music ahead; told again, the last word counts.
func tell(event: Dictionary) -> void:
	var late := _frame - int(event["frame"])
	if not _is_bed and late > 0:
		if event["type"] != "beat" and late < LATE_FRAMES:
			_passed.append({"index": index - late, "event": event})
		return
	if event["type"] == "beat":  # it takes the place of those told for its frame or later
		_forget(func(other): return other["type"] == "beat" and other["frame"] >= event["frame"])
	_told[_key(event)] = event


## The music stands still: what was told for [param frame] or later comes later, or never.
func take_back(frame: int) -> void:
	_forget(func(event): return int(event["frame"]) >= frame)


func _forget(is_over: Callable) -> void:
	for key: Variant in _told.keys():
		if is_over.call(_told[key]):
			_told.erase(key)


## How fast it should be played, to keep up with the server's clock.
func speed() -> float:
	return _speed


## The next frames.
func read(num_frames: int) -> PackedVector2Array:
	_choose_speed(num_frames)
	var out := PackedVector2Array()
	while out.size() < num_frames:
		var piece := _bridge(num_frames - out.size()) if _is_bed else _play(num_frames - out.size())
		if not piece.is_empty():
			out.append_array(_put_out(piece))
	return out


## The events heard up to an index that were not asked for yet.
func heard(until_index: int) -> Array[Dictionary]:
	var out: Array[Dictionary] = []
	while not _passed.is_empty() and int(_passed[0]["index"]) <= until_index:
		out.append(_passed.pop_front()["event"])
	return out


## What is told and not yet heard: {"index", "event"}, the nearest first.
func ahead() -> Array[Dictionary]:
	var out: Array[Dictionary] = []
	out.assign(_passed)
	if _is_bed:
		out.append_array(_bed_beats(index, index + 2 * RATE))
	else:
		for event: Dictionary in _told.values():
			out.append({"index": int(event["frame"]) + index - _frame, "event": event})
	out.sort_custom(func(one, other): return one["index"] < other["index"])
	return out


func _choose_speed(num_frames: int) -> void:
	if _is_bed:
		return
	var depth := _stretch.size() - FADE_FRAMES
	_mean_buffer += minf(1.0, num_frames / float(RATE)) * (depth - _mean_buffer)
	var beyond := _mean_buffer - _target
	if _speed == 1.0 and absf(beyond) > TRIM_BEYOND_FRAMES:
		_speed = 1.0 + (TRIM if beyond > 0 else -TRIM)
	elif _speed != 1.0 and beyond * (_speed - 1.0) <= 0:
		_speed = 1.0


## From the stream as far as it reaches; what is needed to fade out with stays there.
func _play(most_frames: int) -> PackedVector2Array:
	var num_frames := mini(most_frames, _stretch.size() - FADE_FRAMES)
	if num_frames <= 0 or _stretch.size() > _target + FADE_FRAMES + MAX_BEHIND_FRAMES:
		_go_to_bed()
		return PackedVector2Array()
	var end := _frame + num_frames
	for key: Variant in _told.keys():
		var event: Dictionary = _told[key]
		var late := _frame - int(event["frame"])
		if int(event["frame"]) < end:
			_told.erase(key)
			if late <= 0 or (late <= LATE_FRAMES and event["type"] != "beat"):
				_pass({"index": index - late, "event": event})
	return _take(num_frames)


func _take(num_frames: int) -> PackedVector2Array:
	var taken := _stretch.slice(0, num_frames)
	_stretch = _stretch.slice(num_frames)
	_first += num_frames
	return taken


func _go_to_bed() -> void:
	_make_bed()
	_tail = _take(mini(FADE_FRAMES, _stretch.size()))
	_is_bed = true
	_return_index = -1
	num_bridges += 1


func _make_bed() -> void:
	var room := _past.size() - FADE_FRAMES
	_loop_frames = 0
	_loop_bars = 0
	_loop_beats.clear()
	if not _beats.is_empty():
		var last := _beats[-1]
		for bars: int in [4, 2, 1]:
			var begin := _beat_before(_number(last["event"]) - bars * BEATS_PER_BAR)
			var length := int(last["index"]) - begin
			if begin >= 0 and length > 0 and length <= room:
				_loop_frames = length
				_loop_bars = bars
				break
	if _loop_frames == 0 and room >= LEAST_BED_FRAMES:
		_loop_frames = mini(room, 2 * RATE)
	_loop_began = index
	_loop_offset = 0
	if _loop_frames == 0:
		_loop = PackedVector2Array()
		_loop.resize(FADE_FRAMES)
		return
	_loop = _past.slice(_past.size() - _loop_frames)
	var before := _past.slice(
		_past.size() - _loop_frames - FADE_FRAMES, _past.size() - _loop_frames
	)
	var begins := _loop_frames - FADE_FRAMES
	for at in FADE_FRAMES:
		_loop[begins + at] = _loop[begins + at].lerp(before[at], at / float(FADE_FRAMES))
	for each in _beats:
		var offset := int(each["index"]) - (index - _loop_frames)
		if _loop_bars > 0 and offset >= 0:
			_loop_beats.append({"offset": offset, "event": each["event"]})


## The index at which the newest beat of a number was heard; -1 where there was none.
func _beat_before(number: int) -> int:
	for at in range(_beats.size() - 1, -1, -1):
		if _number(_beats[at]["event"]) == number:
			return _beats[at]["index"]
	return -1


func _number(event: Dictionary) -> int:
	return BEATS_PER_BAR * int(event["bar"]) + int(event["beat"])


func _read_loop(num_frames: int) -> PackedVector2Array:
	var out := PackedVector2Array()
	while out.size() < num_frames:
		var piece := _loop.slice(_loop_offset, _loop_offset + num_frames - out.size())
		out.append_array(piece)
		_loop_offset = (_loop_offset + piece.size()) % _loop.size()
	return out


## The bed's beats from one index up to another, with bars that count on.
func _bed_beats(from_index: int, end_index: int) -> Array[Dictionary]:
	var out: Array[Dictionary] = []
	if _loop_beats.is_empty():
		return out
	var turn := floori((from_index - _loop_began) / float(_loop_frames))
	while _loop_began + turn * _loop_frames < end_index:
		for each in _loop_beats:
			var at := _loop_began + turn * _loop_frames + int(each["offset"])
			if at >= from_index and at < end_index:
				var event: Dictionary = each["event"].duplicate()
				event["bar"] = int(event["bar"]) + (turn + 1) * _loop_bars
				event["frame"] = _frame + at - index
				out.append({"index": at, "event": event})
		turn += 1
	return out


## From the bed, up to the place where the stream comes back.
func _bridge(most_frames: int) -> PackedVector2Array:
	if _next_first >= 0:
		_stretch = _next_stretch
		_first = _next_first
		_next_first = -1
		_next_stretch = PackedVector2Array()
	if _return_index < 0 and not _stretch.is_empty():
		_plan_return()
	var num_frames := most_frames
	if _return_index >= 0:
		num_frames = mini(most_frames, _return_index - index)
	if num_frames > 0:
		for each in _bed_beats(index, index + num_frames):
			_pass(each)
		return _read_loop(num_frames)
	_come_back()
	return PackedVector2Array()


func _come_back() -> void:
	_return_index = -1
	if _stretch.size() - (_return_frame - _first) < FADE_FRAMES:
		return  # it has not come as fast as it was expected: plan again
	_take(_return_frame - _first)
	_tail = _read_loop(FADE_FRAMES)
	_frame = _return_frame
	_is_bed = false
	_mean_buffer = _target
	_forget(func(event): return int(event["frame"]) < _frame - LATE_FRAMES)


## Where to leave the bed and with which frame: beat on beat, with about as much ready as wanted.
func _plan_return() -> void:
	var ready := _target + FADE_FRAMES
	var end := _first + _stretch.size()
	var best := INF
	for into in _bed_beats(index + FADE_FRAMES, index + FADE_FRAMES + PATIENCE_FRAMES):
		var wait: int = into["index"] - FADE_FRAMES - index
		for event: Dictionary in _told.values():
			var frame := int(event["frame"]) - FADE_FRAMES
			var lead := end + wait - frame  # it goes on to arrive meanwhile
			if event["type"] != "beat" or frame < _first or lead < _target / 2 + FADE_FRAMES:
				continue
			var is_other := int(event["beat"]) != int(into["event"]["beat"])
			var cost := 2.0 * absi(lead - ready) + wait + (RATE / 2.0 if is_other else 0.0)
			if cost < best:
				best = cost
				_return_index = index + wait
				_return_frame = frame
	if best < INF:
		return
	if _stretch.size() >= ready + (0 if _loop_beats.is_empty() else PATIENCE_FRAMES):
		_return_index = index
		_return_frame = end - ready


## Mix in what fades out, and remember.
func _put_out(pcm: PackedVector2Array) -> PackedVector2Array:
	var num_fading := mini(pcm.size(), _tail.size())
	for at in num_fading:
		var risen := (FADE_FRAMES - _tail.size() + at) / float(FADE_FRAMES)
		pcm[at] = _tail[at].lerp(pcm[at], risen)
	_tail = _tail.slice(num_fading)
	_past.append_array(pcm)
	if _past.size() > PAST_FRAMES + 4 * RATE:
		_past = _past.slice(_past.size() - PAST_FRAMES)
	index += pcm.size()
	_frame += pcm.size()
	return pcm


func _pass(passed: Dictionary) -> void:
	if passed["event"]["type"] == "beat":
		if not _beats.is_empty() and _number(_beats[-1]["event"]) == _number(passed["event"]):
			if int(passed["index"]) - int(_beats[-1]["index"]) < SAME_BEAT_FRAMES:
				return
		_beats.append(passed)
		while int(_beats[0]["index"]) < index - PAST_FRAMES:
			_beats.pop_front()
	_passed.append(passed)


## What makes an event the same when it is told again.
func _key(event: Dictionary) -> Variant:
	if event["type"] == "beat":
		return "beat %d" % _number(event)
	if event.get("id") != null:
		return "%s %s" % [event["type"], event["id"]]
	var place: Variant = event["frame"] if event["type"] == "marker" else ""
	return "%s %s %s" % [event["type"], event.get("name", ""), place]
