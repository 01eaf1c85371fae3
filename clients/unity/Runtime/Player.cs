using System;
using System.Collections.Generic;
using System.Linq;
using Newtonsoft.Json.Linq;

namespace Undersong
{
    /// <summary>
    /// What sounds: the stream as it comes, and a bed of its last bars where it does not come. In: samples with their
    /// frames, and what is told of the music ahead, from the network's thread; out: samples for the audio thread, and what
    /// has been heard for the main thread. A frame is the station's, an index counts what was read. While the stream is
    /// missing frames go on with the bed, so that a stream that comes back in time comes back where it would have been.
    /// Knows nothing of Unity.
    /// </summary>
    public sealed class Player
    {
        public const int Rate = 48000;
        public const int Channels = 2;
        public const int FadeFrames = 960;
        public const int BeatsPerBar = 4;
        private const int PastFrames = 16 * Rate;
        private const int PatienceFrames = 2 * Rate;
        /// <summary>So far behind it does not run after the music: it comes in anew, on a beat.</summary>
        private const int MaxBehindFrames = Rate / 2;
        private const int LateFrames = 2 * Rate;
        private const int MaxBufferFrames = 10 * Rate;
        /// <summary>Told anew so soon, the beat heard last is still that beat: the server's engine was late.</summary>
        private const int SameBeatFrames = Rate;
        private const int TrimBeyondFrames = Rate / 20;
        /// <summary>How much faster or slower it plays to bring the buffer to its target: five cents.</summary>
        private const double Trim = 0.003;

        private readonly object _lock = new object();
        private readonly int _target;
        private readonly LinkedList<Stretch> _arriving = new LinkedList<Stretch>();
        private readonly float[] _past = new float[Channels * PastFrames];
        private readonly Dictionary<string, JObject> _told = new Dictionary<string, JObject>();
        private readonly List<Passed> _passed = new List<Passed>();
        private readonly List<Passed> _beats = new List<Passed>();
        private long _frame;
        private long _index;
        private Bed _bed;
        private bool _hasBegun;
        private long _returnIndex = -1;
        private long _returnFrame;
        private float[] _tail = new float[0];
        private double _meanBuffer;
        private double _trim = 1;
        private float[] _source = new float[0];
        private double _phase;
        private int _numKept;
        private long _anchorIndex;
        private double _anchorS = double.NaN;

        public Player(double bufferS)
        {
            _target = Math.Max(Rate / 100, (int)(bufferS * Rate));
            _bed = new Bed(Recent, 0, 0, _beats);
        }

        public int NumBridges { get; private set; }

        public bool IsBridging
        {
            get { return _bed != null && _hasBegun; }
        }

        /// <summary>Frames without a gap, as they arrive.</summary>
        private sealed class Stretch
        {
            public long Frame;
            public long End;
            private readonly Queue<float[]> _chunks = new Queue<float[]>();
            private int _taken;

            public Stretch(long frame)
            {
                Frame = End = frame;
            }

            public int Count
            {
                get { return (int)(End - Frame); }
            }

            public void Append(float[] pcm)
            {
                _chunks.Enqueue(pcm);
                End += pcm.Length / Channels;
            }

            /// <summary>Take frames off the beginning; `into` null drops them.</summary>
            public void Take(float[] into, int fromFrame, int numFrames)
            {
                int at = Channels * fromFrame;
                int left = Channels * numFrames;
                Frame += numFrames;
                while (left > 0)
                {
                    float[] chunk = _chunks.Peek();
                    int num = Math.Min(left, chunk.Length - _taken);
                    if (into != null)
                    {
                        Array.Copy(chunk, _taken, into, at, num);
                    }
                    at += num;
                    left -= num;
                    _taken += num;
                    if (_taken == chunk.Length)
                    {
                        _chunks.Dequeue();
                        _taken = 0;
                    }
                }
            }
        }

        /// <summary>Take in interleaved samples from a frame on. Network thread.</summary>
        public void Write(long frame, float[] pcm)
        {
            lock (_lock)
            {
                Stretch newest = _arriving.Count > 0 ? _arriving.Last.Value : null;
                if (newest != null && newest.Count > MaxBufferFrames)
                {
                    _arriving.Clear();
                    newest = null;
                }
                if (newest == null || newest.End != frame)
                {
                    newest = new Stretch(frame);
                    _arriving.AddLast(newest);
                    _returnIndex = -1;
                }
                newest.Append(pcm);
            }
        }

        /// <summary>Take in an event of the music ahead; told again, the last word counts. Network thread.</summary>
        public void Tell(JObject told)
        {
            lock (_lock)
            {
                long late = _frame - (long)told["frame"];
                if (_bed == null && late > 0)
                {
                    if ((string)told["type"] != "beat" && late < LateFrames)
                    {
                        _passed.Add(new Passed(_index - late, told));
                    }
                    return;
                }
                if ((string)told["type"] == "beat")
                {
                    // It takes the place of those that were told for its frame or later.
                    Forget(other => (string)other["type"] == "beat" && (long)other["frame"] >= (long)told["frame"]);
                }
                _told[Key(told)] = told;
            }
        }

        /// <summary>The music stands still: what was told for `frame` or later comes later, or never.</summary>
        public void TakeBack(long frame)
        {
            lock (_lock)
            {
                Forget(told => (long)told["frame"] >= frame);
            }
        }

        private void Forget(Predicate<JObject> isOver)
        {
            foreach (string key in new List<string>(_told.Keys))
            {
                if (isOver(_told[key]))
                {
                    _told.Remove(key);
                }
            }
        }

        /// <summary>
        /// Fill interleaved samples of a device's rate and channels; the first is heard at `heardAtS` of the caller's clock.
        /// Audio thread.
        /// </summary>
        public void Read(float[] into, int channels, int deviceRate, double heardAtS)
        {
            lock (_lock)
            {
                int numFrames = into.Length / channels;
                ChooseTrim(numFrames);
                double step = _trim * Rate / deviceRate;
                NoteTime(heardAtS, step, deviceRate);
                // Linear between two frames; one that plays as fast as the stream is copied.
                int need = (int)(_phase + step * (numFrames - 1)) + 2;
                Fill(need);
                for (int i = 0; i < numFrames; i++)
                {
                    double place = _phase + step * i;
                    int at = (int)place;
                    float part = (float)(place - at);
                    float left = _source[2 * at] + part * (_source[2 * at + 2] - _source[2 * at]);
                    float right = _source[2 * at + 1] + part * (_source[2 * at + 3] - _source[2 * at + 1]);
                    Put(into, channels * i, channels, left, right);
                }
                double end = _phase + step * numFrames;
                int whole = Math.Min((int)end, _numKept);
                Array.Copy(_source, Channels * whole, _source, 0, Channels * (_numKept - whole));
                _numKept -= whole;
                _phase = end - whole;
            }
        }

        private static void Put(float[] into, int at, int channels, float left, float right)
        {
            if (channels == 1)
            {
                into[at] = 0.5f * (left + right);
                return;
            }
            into[at] = left;
            into[at + 1] = right;
            for (int channel = 2; channel < channels; channel++)
            {
                into[at + channel] = 0;
            }
        }

        /// <summary>Have so many frames in the source.</summary>
        private void Fill(int need)
        {
            if (_source.Length < Channels * need)
            {
                Array.Resize(ref _source, Channels * need);
            }
            while (_numKept < need)
            {
                _numKept += _bed == null ? Play(need - _numKept) : Bridge(need - _numKept);
            }
        }

        private void ChooseTrim(int numFrames)
        {
            if (_bed != null || _arriving.Count == 0)
            {
                return;
            }
            int depth = _arriving.First.Value.Count - FadeFrames;
            _meanBuffer += Math.Min(1.0, numFrames / (double)Rate) * (depth - _meanBuffer);
            double beyond = _meanBuffer - _target;
            if (_trim == 1 && Math.Abs(beyond) > TrimBeyondFrames)
            {
                _trim = beyond > 0 ? 1 + Trim : 1 - Trim;
            }
            else if (_trim != 1 && beyond * (_trim - 1) <= 0)
            {
                _trim = 1;
            }
        }

        private int Play(int mostFrames)
        {
            Stretch stretch = _arriving.Count > 0 ? _arriving.First.Value : null;
            int numFrames = stretch == null ? 0 : Math.Min(mostFrames, stretch.Count - FadeFrames);
            if (numFrames <= 0 || stretch.Count > _target + FadeFrames + MaxBehindFrames)
            {
                GoToBed(stretch);
                return 0;
            }
            stretch.Take(_source, _numKept, numFrames);
            foreach (string key in new List<string>(_told.Keys))
            {
                JObject told = _told[key];
                long late = _frame - (long)told["frame"];
                if (late > -numFrames)
                {
                    _told.Remove(key);
                    if (late <= 0 || (late <= LateFrames && (string)told["type"] != "beat"))
                    {
                        Pass(new Passed(_index - late, told));
                    }
                }
            }
            PutOut(numFrames);
            return numFrames;
        }

        private void GoToBed(Stretch stretch)
        {
            _bed = new Bed(Recent, (int)Math.Min(_index, PastFrames), _index, _beats);
            _tail = new float[0];
            if (stretch != null)
            {
                int num = Math.Min(FadeFrames, stretch.Count);
                _tail = new float[Channels * num];
                stretch.Take(_tail, 0, num);
                if (stretch.Count == 0)
                {
                    _arriving.RemoveFirst();
                }
            }
            _returnIndex = -1;
            NumBridges++;
        }

        private int Bridge(int mostFrames)
        {
            while (_arriving.Count > 1)
            {
                _arriving.RemoveFirst();
            }
            if (_returnIndex < 0 && _arriving.Count > 0)
            {
                PlanReturn(_arriving.Last.Value);
            }
            int numFrames = _returnIndex < 0 ? mostFrames : (int)Math.Min(mostFrames, _returnIndex - _index);
            if (numFrames <= 0)
            {
                ComeBack();
                return 0;
            }
            foreach (Passed beat in _bed.Beats(_index, _index + numFrames))
            {
                beat.Event["frame"] = _frame + beat.Index - _index;
                Pass(beat);
            }
            _bed.Read(_source, _numKept, numFrames);
            PutOut(numFrames);
            return numFrames;
        }

        private void ComeBack()
        {
            Stretch stretch = _arriving.Last.Value;
            _returnIndex = -1;
            int skipped = (int)(_returnFrame - stretch.Frame);
            if (stretch.Count - skipped < FadeFrames)
            {
                return; // it has not come as fast as it was expected: plan again
            }
            stretch.Take(null, 0, skipped);
            _tail = new float[Channels * FadeFrames];
            _bed.Read(_tail, 0, FadeFrames);
            _bed = null;
            _hasBegun = true;
            _frame = _returnFrame;
            _meanBuffer = _target;
            Forget(told => (long)told["frame"] < _frame - LateFrames);
        }

        /// <summary>Where to leave the bed and with which frame: beat on beat, with about as much ready as wanted.</summary>
        private void PlanReturn(Stretch stretch)
        {
            int ready = _target + FadeFrames;
            double best = double.PositiveInfinity;
            foreach (Passed into in _bed.Beats(_index + FadeFrames, _index + FadeFrames + PatienceFrames))
            {
                long wait = into.Index - FadeFrames - _index;
                foreach (JObject told in _told.Values)
                {
                    long frame = (long)told["frame"] - FadeFrames;
                    long lead = stretch.End + wait - frame; // it goes on to arrive meanwhile
                    bool isOther = (string)told["type"] != "beat";
                    if (isOther || frame < stretch.Frame || lead < _target / 2 + FadeFrames)
                    {
                        continue;
                    }
                    bool isOffBeat = (int)told["beat"] != (int)into.Event["beat"];
                    double cost = 2.0 * Math.Abs(lead - ready) + wait + (isOffBeat ? Rate / 2 : 0);
                    if (cost < best)
                    {
                        best = cost;
                        _returnIndex = _index + wait;
                        _returnFrame = frame;
                    }
                }
            }
            if (double.IsInfinity(best) && stretch.Count >= ready + (_bed.HasBeats ? PatienceFrames : 0))
            {
                _returnIndex = _index;
                _returnFrame = stretch.End - ready;
            }
        }

        /// <summary>Mix what fades out into the newest frames of the source, and remember them.</summary>
        private void PutOut(int numFrames)
        {
            int begin = Channels * _numKept;
            int numFading = Math.Min(Channels * numFrames, _tail.Length);
            for (int i = 0; i < numFading; i++)
            {
                float risen = (float)(FadeFrames - _tail.Length / Channels + i / Channels) / FadeFrames;
                _source[begin + i] = _tail[i] + risen * (_source[begin + i] - _tail[i]);
            }
            if (numFading > 0)
            {
                var rest = new float[_tail.Length - numFading];
                Array.Copy(_tail, numFading, rest, 0, rest.Length);
                _tail = rest;
            }
            for (int i = 0; i < numFrames; i++)
            {
                int at = Channels * (int)((_index + i) % PastFrames);
                _past[at] = _source[begin + Channels * i];
                _past[at + 1] = _source[begin + Channels * i + 1];
            }
            _index += numFrames;
            _frame += numFrames;
        }

        /// <summary>What was put out last, the oldest first.</summary>
        private float[] Recent(int numFrames)
        {
            var recent = new float[Channels * numFrames];
            int begin = Channels * (int)((_index - numFrames) % PastFrames);
            int first = Math.Min(recent.Length, _past.Length - begin);
            Array.Copy(_past, begin, recent, 0, first);
            Array.Copy(_past, 0, recent, first, recent.Length - first);
            return recent;
        }

        private void Pass(Passed passed)
        {
            if ((string)passed.Event["type"] == "beat")
            {
                Passed last = _beats.LastOrDefault();
                if (last.Event != null && Number(last.Event) == Number(passed.Event)
                    && passed.Index - last.Index < SameBeatFrames)
                {
                    return;
                }
                _beats.Add(passed);
                _beats.RemoveAll(beat => beat.Index < _index - PastFrames);
            }
            _passed.Add(passed);
        }

        /// <summary>The events heard up to a time that were not asked for yet. Main thread.</summary>
        public List<JObject> Heard(double untilS)
        {
            lock (_lock)
            {
                var heard = new List<JObject>();
                while (_passed.Count > 0 && TimeAt(_passed[0].Index) <= untilS)
                {
                    heard.Add(_passed[0].Event);
                    _passed.RemoveAt(0);
                }
                return heard;
            }
        }

        /// <summary>When a frame of the stream is heard, by the clock of `Read`; NaN before anything sounds.</summary>
        public double TimeOf(long frame)
        {
            lock (_lock)
            {
                return TimeAt(frame + _index - _frame);
            }
        }

        private double TimeAt(long index)
        {
            return _anchorS + (index - _anchorIndex) / (Rate * _trim);
        }

        private void NoteTime(double heardAtS, double step, int deviceRate)
        {
            long index = _index - _numKept;
            double at = heardAtS - _phase / step / deviceRate;
            double expected = TimeAt(index);
            bool isNew = double.IsNaN(expected) || Math.Abs(at - expected) > 0.02;
            _anchorS = isNew ? at : expected + 0.05 * (at - expected);
            _anchorIndex = index;
        }

        internal static long Number(JObject beat)
        {
            return BeatsPerBar * (long)beat["bar"] + (long)beat["beat"];
        }

        /// <summary>What makes an event the same when it is told again.</summary>
        private static string Key(JObject told)
        {
            var type = (string)told["type"];
            if (type == "beat")
            {
                return "beat " + Number(told);
            }
            var id = (string)told["id"];
            return type + " " + (id ?? told["name"] + " " + (type == "marker" ? (string)told["frame"] : ""));
        }
    }
}
