extends Control
## Three buttons for three states, a slider for danger, and a square that jumps on the beat.

const OPENING := {
	"states":
	{
		"explore": {"mood": "night", "energy": 0.3, "bpm": 88},
		"combat": {"mood": "epic", "bpm": 132, "key": "D minor"},
		"victory": {"mood": "victory", "energy": 0.75, "bpm": 120, "key": "D major"},
	},
	"transitions":
	[
		{"from": "*", "to": "combat", "at": "beat", "how": "cut"},
		{"from": "combat", "to": "victory", "at": "beat", "how": "cut", "stinger": "success"},
		{"from": "*", "to": "explore", "at": "bar", "over": "2 bars"},
	],
	"parameters": {"danger": {"to": [{"field": "tension", "curve": [[0, 0.1], [1, 0.8]]}]}},
	"initial": "explore",
}

@onready var _music: Undersong = $Undersong
@onready var _words: Label = $Box/Words
@onready var _dancer: ColorRect = $Dancer


func _ready() -> void:
	for button: Button in $Box/States.get_children():
		button.pressed.connect(_music.state.bind(button.text))
	$Box/Danger.value_changed.connect(func(value: float): _music.parameter("danger", value))
	$Box/Strike.pressed.connect(_music.hit)
	_music.beat.connect(_on_beat)
	_music.state_entered.connect(func(event: Dictionary): _words.text = event["name"])
	_music.gone.connect(func(): _words.text = "the server is away: the last bars go on")
	_music.back.connect(func(): _words.text = "the music is there")
	_music.opening = OPENING
	_music.play()


func _on_beat(event: Dictionary) -> void:
	var height := 60.0 if int(event["beat"]) == 1 else 25.0
	var jump := create_tween()
	jump.tween_property(_dancer, "position:y", 300.0 - height, 0.05)
	jump.tween_property(_dancer, "position:y", 300.0, 0.2)
