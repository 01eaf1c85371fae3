class_name Undersong
extends Node
## A station of an Undersong server: heard, steered, and followed beat by beat.
##
## Put it into a scene, name its [member station], call [method state]. When the server is gone the
## last bars go on, and the music comes back on a beat. It works while the game is paused.

## A beat is heard: "bar", "beat" (1 … 4), "bpm", "frame".
signal beat(event: Dictionary)
## The first beat of a bar is heard.
signal bar(event: Dictionary)
## A section of the form begins: "name".
signal section(event: Dictionary)
## A state begins: "name", "previous".
signal state_entered(event: Dictionary)
## A hit or a stinger is heard.
signal marker(event: Dictionary)
## The server has taken a control: "id", "effective_at", "fields".
signal acknowledged(event: Dictionary)
## The server has refused a control, or the station: "code", "detail".
signal refused(event: Dictionary)
## The server went away: the last bars go on.
signal gone
## The server is there.
signal back

const PARAMETERS_A_SECOND := 30.0
const FIRST_DELAY_S := 0.1
const MAX_DELAY_S := 2.0
const NOT_FOUND := 404
const CONFLICT := 409
const QUEUE_BYTES := 1 << 21
## A connection that says nothing for so long is dead.
const SILENT_S := {"audio": 2.0, "live": 5.0}

@export var url := "http://127.0.0.1:8400"
## What lets in, where the server asks for a token.
@export var token := ""
## The station's name, under which it is found again.
@export var station := "game"
## What it is opened with where there is none of that name: "mood", "states", "transitions" …
@export var opening := {}
@export var autoplay := true
## The audio bus it plays on.
@export var bus := &"Master"
## How much is kept ready against an uneven network.
@export_range(0.02, 0.5) var buffer_s := 0.08
## How much is handed to Godot ahead: a frame of the game that takes longer is heard as a gap.
@export_range(0.05, 0.5) var ahead_s := 0.1

var is_connected_to_server: bool:
	get:
		return _is_complete

var _player: UndersongPlayer
var _output: AudioStreamPlayer
var _playback: AudioStreamGeneratorPlayback
var _capacity := 0
var _http: HTTPRequest
var _is_asking := false
var _links := {}
var _sockets := {}
var _heard_from := {}
var _is_complete := false
var _delay_s := FIRST_DELAY_S
var _retry_at_s := 0.0
var _num_ids := 0
var _ids := ""
var _state_wish := {}
var _state_id := ""
var _parameters := {}
var _changed := {}
var _parameters_at_s := 0.0
var _is_running := false


func _ready() -> void:
	process_mode = Node.PROCESS_MODE_ALWAYS
	_ids = "%08x-" % randi()
	_http = HTTPRequest.new()
	_http.timeout = 5.0
	add_child(_http)
	_output = AudioStreamPlayer.new()
	_output.playback_type = AudioServer.PLAYBACK_TYPE_STREAM  # a page would play samples otherwise
	add_child(_output)
	if autoplay:
		play()


## Begin: find the station or open it, and play.
func play() -> void:
	if _is_running:
		return
	_is_running = true
	_player = UndersongPlayer.new(buffer_s)
	var generator := AudioStreamGenerator.new()
	generator.mix_rate = UndersongPlayer.RATE
	generator.buffer_length = ahead_s
	_output.stream = generator
	_output.bus = bus
	_output.play()
	_playback = _output.get_stream_playback()
	_capacity = _playback.get_frames_available()


## Leave the station; it goes on for others, or sleeps.
func stop() -> void:
	_is_running = false
	_output.stop()
	_http.cancel_request()
	_hang_up()


func _exit_tree() -> void:
	if _is_running:
		stop()


## Enter a state of the game. Where and how the matrix of transitions says, or [param how]:
## {"at": "beat", "how": "cut"} or {"over": "1 bar"}. While the server is away it waits.
func state(state_name: String, how := {}) -> void:
	_state_wish = {"type": "state", "name": state_name}.merged(how)
	_state_id = control(_state_wish)


## Set a parameter of the game, every frame if you like: thirty times a second the newest is sent.
func parameter(parameter_name: String, value: float) -> void:
	_parameters[parameter_name] = value
	_changed[parameter_name] = value


## Change fields of the mood: steer({"energy": 0.8}, {"at": "bar", "over": "2 bars"}).
func steer(fields: Dictionary, how := {}) -> String:
	return control({"type": "steer", "set": fields}.merged(how))


## Play a short figure over the music, in its key.
func stinger(stinger_name: String, at: Variant = "beat") -> String:
	return control({"type": "stinger", "name": stinger_name, "at": at})


## Have all layers strike together.
func hit(at: Variant = "beat", strength := 1.0) -> String:
	return control({"type": "hit", "at": at, "strength": strength})


## Pause, play, restart: transport("pause").
func transport(what: String) -> String:
	return control({"type": "transport", "do": what})


## Lower the music under speech; 0 gives it back.
func duck(gain_db: float, over: Variant = 0.2) -> String:
	return control({"type": "duck", "gain_db": gain_db, "over": over})


## Send any control of the interface. Its id comes back in [signal acknowledged] or
## [signal refused]; it is empty where the server is away, and nothing is sent then.
func control(message: Dictionary) -> String:
	if not _is_open("live"):
		return ""
	_num_ids += 1
	var id := _ids + str(_num_ids)
	_sockets["live"].send_text(JSON.stringify({"id": id}.merged(message, true)))
	return id


## What is told and not yet heard, each with "in_s": so many seconds from now.
func ahead() -> Array[Dictionary]:
	var out: Array[Dictionary] = []
	for event in _player.ahead():
		var in_s := (int(event["index"]) - _heard_index()) / float(UndersongPlayer.RATE)
		out.append(event["event"].merged({"in_s": in_s}))
	return out


func _process(_delta: float) -> void:
	if not _is_running:
		return
	var now_s := Time.get_ticks_msec() / 1000.0
	if _links.is_empty():
		if not _is_asking and now_s >= _retry_at_s:
			_find(now_s)
	else:
		_poll(now_s)
	_send_parameters(now_s)
	_play_on()


# --- sound -------------------------------------------------------------------------------------


func _play_on() -> void:
	var room := _playback.get_frames_available()
	if room > 0:
		_playback.push_buffer(_player.read(room))
	_output.pitch_scale = _player.speed()
	for event in _player.heard(_heard_index()):
		_tell(event)


## The frame of all that was handed out that is heard now.
func _heard_index() -> int:
	var queued := _capacity - _playback.get_frames_available()
	var late_s := AudioServer.get_output_latency() - AudioServer.get_time_since_last_mix()
	return _player.index - queued - int(maxf(0.0, late_s) * UndersongPlayer.RATE)


func _tell(event: Dictionary) -> void:
	match event["type"]:
		"beat":
			beat.emit(event)
			if int(event["beat"]) == 1:
				bar.emit(event)
		"section":
			section.emit(event)
		"state":
			state_entered.emit(event)
		"marker":
			marker.emit(event)


# --- the station -------------------------------------------------------------------------------


func _find(now_s: float) -> void:
	_is_asking = true
	var answer := await _ask(HTTPClient.METHOD_GET, "/v1/stations/" + station.uri_encode(), "")
	var is_new := false
	if answer["status"] == NOT_FOUND:
		is_new = true
		var body := JSON.stringify(opening.merged({"name": station}, true))
		answer = await _ask(HTTPClient.METHOD_POST, "/v1/stations", body)
		if answer["status"] == CONFLICT:  # another client has opened it in between
			is_new = false
			answer = await _ask(HTTPClient.METHOD_GET, "/v1/stations/" + station.uri_encode(), "")
	_is_asking = false
	var found: Dictionary = answer["body"]
	if not _is_running:
		return
	if found.has("links"):
		_links = found["links"]
		if is_new and not _state_wish.is_empty():
			_state_id = ""  # it knows of no state yet
		for channel: String in ["audio", "live"]:
			_dial(channel, now_s)
		return
	if found.has("detail"):
		push_warning("Undersong: %s" % found["detail"])
		refused.emit({"code": found.get("code", ""), "detail": found["detail"]})
	_wait(now_s)


func _ask(method: HTTPClient.Method, path: String, body: String) -> Dictionary:
	var headers := _headers()
	headers.append("Content-Type: application/json")
	if _http.request(url + path, headers, method, body) != OK:
		await get_tree().process_frame
		return {"status": 0, "body": {}}
	var completed: Array = await _http.request_completed
	var text: String = completed[3].get_string_from_utf8()
	var parsed: Variant = JSON.parse_string(text) if not text.is_empty() else null
	return {"status": completed[1], "body": parsed if parsed is Dictionary else {}}


func _headers() -> PackedStringArray:
	return PackedStringArray([] if token.is_empty() else ["Authorization: Bearer " + token])


func _dial(channel: String, now_s: float) -> void:
	var socket := WebSocketPeer.new()
	socket.inbound_buffer_size = QUEUE_BYTES
	socket.max_queued_packets = 8192
	socket.handshake_headers = _headers()
	var query := "?format=pcm_f32le" if channel == "audio" else ""
	var path: String = _links[channel]
	var address := path if path.begins_with("http") else url + path
	socket.connect_to_url(address.replace("http", "ws") + query)
	_sockets[channel] = socket
	_heard_from[channel] = now_s


func _poll(now_s: float) -> void:
	for channel: String in _sockets:
		var socket: WebSocketPeer = _sockets[channel]
		socket.poll()
		while socket.get_available_packet_count() > 0:
			var packet := socket.get_packet()
			_heard_from[channel] = now_s
			if not socket.was_string_packet():
				_player.write(packet.decode_u64(0), packet.slice(8).to_vector2_array())
			elif channel == "live":
				_hear(JSON.parse_string(packet.get_string_from_utf8()))
	if _sockets.keys().any(_is_dead.bind(now_s)):
		_hang_up()
		_wait(now_s)
	elif not _is_complete and _is_open("audio") and _is_open("live"):
		_is_complete = true
		_delay_s = FIRST_DELAY_S
		_changed = _parameters.duplicate()
		if not _state_wish.is_empty() and _state_id == "":
			_state_id = control(_state_wish)
		back.emit()


func _is_dead(channel: String, now_s: float) -> bool:
	return (
		now_s - _heard_from[channel] > SILENT_S[channel]
		or _sockets[channel].get_ready_state() == WebSocketPeer.STATE_CLOSED
	)


func _is_open(channel: String) -> bool:
	return _sockets.has(channel) and _sockets[channel].get_ready_state() == WebSocketPeer.STATE_OPEN


func _hear(event: Variant) -> void:
	if not event is Dictionary:
		return
	match event.get("type"):
		"beat", "section", "state", "marker":
			_player.tell(event)
		"ack":
			if event["id"] == _state_id:
				_state_id = "acknowledged"
			acknowledged.emit(event)
		"error":
			refused.emit(event)
		"status":
			if event.has("still_from"):
				_player.take_back(int(event["still_from"]))


func _hang_up() -> void:
	for channel: String in _sockets:
		_sockets[channel].close()
	_sockets.clear()
	_links = {}
	if _state_id != "acknowledged":
		_state_id = ""  # it may not have arrived: ask again
	if _is_complete:
		_is_complete = false
		gone.emit()


func _wait(now_s: float) -> void:
	_retry_at_s = now_s + _delay_s
	_delay_s = minf(MAX_DELAY_S, 2 * _delay_s)


func _send_parameters(now_s: float) -> void:
	if _changed.is_empty() or now_s < _parameters_at_s or not _is_open("live"):
		return
	_parameters_at_s = now_s + 1 / PARAMETERS_A_SECOND
	control({"type": "parameter", "set": _changed})
	_changed = {}
