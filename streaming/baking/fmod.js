// Builds an event of baked states in FMOD Studio: Scripts > Undersong > Build event, with the project open.
// Put this file into the project's folder Scripts; where the music has moved, name its folder here.
var folder = /* FOLDER */ null;
var table = /* TABLE */ null;

function wav(made) {
  for (var i = 0; i < made.files.length; i++) {
    if (/\.wav$/.test(made.files[i])) return folder + "/" + made.files[i];
  }
  return null;
}

function build() {
  var event = studio.project.workspace.addEvent("Undersong", true);
  var track = event.addGroupTrack("Loops");
  var markers = event.addMarkerTrack();
  var states = [];
  table.loops.forEach(function (loop) {
    if (states.indexOf(loop.state) < 0) states.push(loop.state);
  });
  var parameter = event.addGameParameter({
    name: "state",
    type: studio.project.parameterType.UserEnumeration,
    enumerationLabels: states,
  });
  var regions = [];
  var at = 0;
  table.loops.forEach(function (loop) {
    var file = wav(loop);
    if (file === null) return;
    var sound = track.addSound(event.timeline, "SingleSound", at, loop.seconds);
    sound.audioFile = studio.project.importAudioFile(file);
    sound.name = loop.name;
    var tempo = studio.project.create("TempoMarker");
    tempo.position = at;
    tempo.tempo = loop.bpm;
    tempo.timeSignatureNumerator = table.beats_per_bar;
    tempo.timeSignatureDenominator = 4;
    tempo.timeline = event.timeline;
    tempo.markerTrack = markers;
    var region = markers.addRegion(at, loop.seconds, loop.name, studio.project.regionLoopMode.Looping);
    regions.push({ loop: loop, at: at, region: region });
    at += loop.seconds;
  });
  regions.forEach(function (left) {
    regions.forEach(function (begun) {
      if (left.loop.state === begun.loop.state) return;
      var transition = markers.addTransitionRegion(left.at, left.loop.seconds, begun.region);
      var index = states.indexOf(begun.loop.state);
      transition.addParameterCondition(parameter, index, index);
    });
  });
  table.stingers.forEach(function (stinger) {
    var file = wav(stinger);
    if (file === null) return;
    var own = studio.project.workspace.addEvent("Undersong stinger " + stinger.state + " " + stinger.name, true);
    var sound = own.addGroupTrack("Stinger").addSound(own.timeline, "SingleSound", 0, stinger.seconds);
    sound.audioFile = studio.project.importAudioFile(file);
  });
}

studio.menu.addMenuItem({ name: "Undersong\\Build event", execute: build });
