using System;
using System.Collections.Generic;
using Newtonsoft.Json.Linq;
using UnityEngine;

namespace Undersong
{
    /// <summary>
    /// A station of an Undersong server: heard, steered, and followed beat by beat. Put it on a GameObject with an
    /// AudioSource, name its station, call State. When the server is gone the last bars go on, and the music comes back on
    /// a beat. Events come on the main thread, when they are heard.
    /// </summary>
    [RequireComponent(typeof(AudioSource))]
    [AddComponentMenu("Audio/Undersong Music")]
    public sealed class UndersongMusic : MonoBehaviour
    {
        [Tooltip("Where `undersong serve` is.")]
        [SerializeField] private string url = "http://127.0.0.1:8400";

        [Tooltip("What lets in, where the server asks for a token.")]
        [SerializeField] private string token = "";

        [Tooltip("The station's name, under which it is found again.")]
        [SerializeField] private string station = "game";

        [Tooltip("What it is opened with where there is none of that name, as JSON: mood, states, transitions …")]
        [TextArea(4, 20)]
        [SerializeField] private string opening = "{\"mood\": \"night\"}";

        [Tooltip("Seconds kept ready against an uneven network.")]
        [Range(0.02f, 0.5f)]
        [SerializeField] private float bufferS = 0.08f;

        private Player _player;
        private Link _link;
        private int _deviceRate;
        private double _outputLatencyS;

        /// <summary>A beat is heard: bar, beat (1 … 4), bpm, frame.</summary>
        public event Action<JObject> Beat;

        /// <summary>The first beat of a bar is heard.</summary>
        public event Action<JObject> Bar;

        /// <summary>A section of the form begins: name.</summary>
        public event Action<JObject> Section;

        /// <summary>A state begins: name, previous.</summary>
        public event Action<JObject> StateEntered;

        /// <summary>A hit or a stinger is heard.</summary>
        public event Action<JObject> Marker;

        /// <summary>The server has taken a control: id, effective_at, fields.</summary>
        public event Action<JObject> Acknowledged;

        /// <summary>The server has refused a control, or the station: code, detail.</summary>
        public event Action<JObject> Refused;

        /// <summary>The server went away: the last bars go on.</summary>
        public event Action Gone;

        /// <summary>The server is there.</summary>
        public event Action Back;

        public bool IsConnected
        {
            get { return _link != null && _link.IsConnected; }
        }

        /// <summary>Enter a state of the game; where and how the station's matrix of transitions says.</summary>
        public void State(string name)
        {
            _link.State(new JObject { { "type", "state" }, { "name", name } });
        }

        /// <summary>Enter a state: at "beat", over "1 bar", how "cut"; null as the matrix says.</summary>
        public void State(string name, string at, string over, string how)
        {
            var wish = new JObject { { "type", "state" }, { "name", name } };
            foreach (var field in new Dictionary<string, string> { { "at", at }, { "over", over }, { "how", how } })
            {
                if (field.Value != null)
                {
                    wish[field.Key] = field.Value;
                }
            }
            _link.State(wish);
        }

        /// <summary>Set a parameter, every frame if you like: thirty times a second the newest is sent.</summary>
        public void Parameter(string name, float value)
        {
            _link.Parameter(name, value);
        }

        /// <summary>Change fields of the mood.</summary>
        public string Steer(JObject fields, string at = "bar", string over = null)
        {
            var control = new JObject { { "type", "steer" }, { "set", fields }, { "at", at } };
            if (over != null)
            {
                control["over"] = over;
            }
            return _link.Control(control);
        }

        /// <summary>Play a short figure over the music, in its key.</summary>
        public string Stinger(string name, string at = "beat")
        {
            return _link.Control(new JObject { { "type", "stinger" }, { "name", name }, { "at", at } });
        }

        /// <summary>Have all layers strike together.</summary>
        public string Hit(string at = "beat", float strength = 1)
        {
            return _link.Control(new JObject { { "type", "hit" }, { "at", at }, { "strength", strength } });
        }

        /// <summary>Send any control; its id comes back in Acknowledged or Refused, "" where the server is away.</summary>
        public string Control(JObject control)
        {
            return _link.Control(control);
        }

        /// <summary>When a frame of the stream is heard, by AudioSettings.dspTime.</summary>
        public double TimeOf(long frame)
        {
            return _player.TimeOf(frame);
        }

        private void Awake()
        {
            JObject opens;
            try
            {
                opens = JObject.Parse(opening);
            }
            catch (Newtonsoft.Json.JsonException error)
            {
                Debug.LogError("Undersong: the opening is no JSON object: " + error.Message, this);
                opens = new JObject();
            }
            OnDeviceChanged(false);
            AudioSettings.OnAudioConfigurationChanged += OnDeviceChanged;
            _player = new Player(bufferS);
            _link = new Link(url, token, station, opens, _player);
            _link.Start();
        }

        private void OnDestroy()
        {
            AudioSettings.OnAudioConfigurationChanged -= OnDeviceChanged;
            _link.Dispose();
        }

        private void OnDeviceChanged(bool deviceWasChanged)
        {
            int length, number;
            AudioSettings.GetDSPBufferSize(out length, out number);
            _deviceRate = AudioSettings.outputSampleRate;
            _outputLatencyS = (double)length * (number - 1) / _deviceRate;
        }

        /// <summary>Unity's audio thread.</summary>
        private void OnAudioFilterRead(float[] data, int channels)
        {
            Player player = _player;
            if (player != null)
            {
                player.Read(data, channels, _deviceRate, AudioSettings.dspTime + _outputLatencyS);
            }
        }

        private void Update()
        {
            foreach (JObject told in _player.Heard(AudioSettings.dspTime))
            {
                Tell(told);
            }
            JObject other;
            while (_link.TryNextEvent(out other))
            {
                Tell(other);
            }
        }

        private void Tell(JObject told)
        {
            switch ((string)told["type"])
            {
                case "beat":
                    Raise(Beat, told);
                    if ((int)told["beat"] == 1)
                    {
                        Raise(Bar, told);
                    }
                    break;
                case "section":
                    Raise(Section, told);
                    break;
                case "state":
                    Raise(StateEntered, told);
                    break;
                case "marker":
                    Raise(Marker, told);
                    break;
                case "ack":
                    Raise(Acknowledged, told);
                    break;
                case "error":
                    Debug.LogWarning("Undersong: " + told["detail"], this);
                    Raise(Refused, told);
                    break;
                case "gone":
                    if (Gone != null)
                    {
                        Gone();
                    }
                    break;
                case "back":
                    if (Back != null)
                    {
                        Back();
                    }
                    break;
            }
        }

        private static void Raise(Action<JObject> listeners, JObject told)
        {
            if (listeners != null)
            {
                listeners(told);
            }
        }
    }
}
