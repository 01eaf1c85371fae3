## Music that `undersong bake` has made, as an AudioStreamInteractive:
##     $AudioStreamPlayer.stream = UndersongBaked.load_folder("res://music")
##     $AudioStreamPlayer.get_stream_playback().switch_to_clip_by_name("combat")
class_name UndersongBaked
extends RefCounted

const FROM_TIMES := {
	"immediate": AudioStreamInteractive.TRANSITION_FROM_TIME_IMMEDIATE,
	"next_beat": AudioStreamInteractive.TRANSITION_FROM_TIME_NEXT_BEAT,
	"next_bar": AudioStreamInteractive.TRANSITION_FROM_TIME_NEXT_BAR,
	"end": AudioStreamInteractive.TRANSITION_FROM_TIME_END,
}


## The stream of a folder that holds undersong.json; null, and an error in the log, where it
## cannot be read.
static func load_folder(folder: String) -> AudioStreamInteractive:
	var text := FileAccess.get_file_as_string(folder.path_join("undersong.json"))
	var table: Variant = JSON.parse_string(text)
	if not table is Dictionary:
		push_error("%s has no undersong.json to be read; bake into it, export *.json" % folder)
		return null
	var streams := {}
	for loop: Dictionary in table["loops"]:
		var layers: Array = streams.get_or_add(loop["state"], [])
		layers.append(_stream(folder, loop, table, true))
	var names: Array = streams.keys()
	for bridge: Dictionary in table["bridges"]:
		names.append(bridge["name"])
		streams[bridge["name"]] = [_stream(folder, bridge, table, false)]
	var music := AudioStreamInteractive.new()
	music.clip_count = names.size()
	for index in names.size():
		music.set_clip_name(index, names[index])
		music.set_clip_stream(index, _layered(streams[names[index]]))
	music.initial_clip = maxi(0, names.find(table["initial"]))
	for row: Dictionary in table["transitions"]:
		_add_transition(music, names, row)
	return music


## Several intensities of a state are layers of one clip, which
## AudioStreamSynchronized.set_sync_stream_volume fades.
static func _layered(layers: Array) -> AudioStream:
	if layers.size() == 1:
		return layers[0]
	var all := AudioStreamSynchronized.new()
	all.stream_count = layers.size()
	for index in layers.size():
		all.set_sync_stream(index, layers[index])
		all.set_sync_stream_volume(index, 0.0 if index == 0 else -60.0)
	return all


static func _stream(
	folder: String, made: Dictionary, table: Dictionary, is_loop: bool
) -> AudioStream:
	var files: Array = made["files"]
	var ogg: Array = files.filter(func(file: String) -> bool: return file.ends_with(".ogg"))
	var path := folder.path_join(ogg[0] if not ogg.is_empty() else files[0])
	var stream: AudioStream = load(path)
	if stream is AudioStreamOggVorbis:
		stream.bpm = made["bpm"]
		stream.beat_count = int(made["beats"])
		stream.bar_beats = int(table["beats_per_bar"])
		stream.loop = is_loop
	return stream


static func _add_transition(music: AudioStreamInteractive, names: Array, row: Dictionary) -> void:
	var bridge := names.find(row["bridge"]) if row["bridge"] != null else -1
	var fade := AudioStreamInteractive.FADE_CROSS
	if row["fade_mode"] == "disabled":
		fade = AudioStreamInteractive.FADE_DISABLED
	music.add_transition(
		names.find(row["from"]),
		names.find(row["to"]),
		FROM_TIMES[row["from_time"]],
		AudioStreamInteractive.TRANSITION_TO_TIME_START,
		fade,
		row["fade_beats"],
		bridge >= 0,
		bridge,
		row["hold_previous"],
	)
