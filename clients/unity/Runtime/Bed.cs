using System;
using System.Collections.Generic;
using Newtonsoft.Json.Linq;

namespace Undersong
{
    /// <summary>An event at an index of all that was read.</summary>
    public struct Passed
    {
        public long Index;
        public JObject Event;

        public Passed(long index, JObject told)
        {
            Index = index;
            Event = told;
        }
    }

    /// <summary>
    /// The last bars again and again, for as long as the stream is missing. In: what was heard, with its beats; out: the
    /// same. Whoever reads it holds the player's lock.
    /// </summary>
    internal sealed class Bed
    {
        private const int LeastFrames = Player.Rate / 4;
        private static readonly int[] BarsTried = { 4, 2, 1 };

        private readonly float[] _loop;
        private readonly int _numFrames;
        private readonly int _numBars;
        private readonly long _began;
        private readonly List<Passed> _beats = new List<Passed>();
        private long _offset;

        /// <summary>`recent(n)` is the last n of `numRecent` frames, which end at `endIndex`.</summary>
        public Bed(Func<int, float[]> recent, int numRecent, long endIndex, List<Passed> beats)
        {
            int room = numRecent - Player.FadeFrames;
            _began = endIndex;
            _numFrames = LengthOf(beats, room, out _numBars);
            _loop = new float[Player.Channels * Math.Max(_numFrames, Player.FadeFrames)];
            if (_numFrames == 0)
            {
                return;
            }
            float[] past = recent(_numFrames + Player.FadeFrames);
            int fade = Player.Channels * Player.FadeFrames;
            Array.Copy(past, fade, _loop, 0, _loop.Length);
            for (int i = 0; i < fade; i++)
            {
                float risen = (float)(i / Player.Channels) / Player.FadeFrames;
                int at = _loop.Length - fade + i;
                _loop[at] += risen * (past[i] - _loop[at]);
            }
            foreach (Passed beat in beats)
            {
                if (_numBars > 0 && beat.Index >= endIndex - _numFrames)
                {
                    _beats.Add(new Passed(beat.Index - (endIndex - _numFrames), beat.Event));
                }
            }
        }

        public bool HasBeats
        {
            get { return _beats.Count > 0; }
        }

        public void Read(float[] into, int fromFrame, int numFrames)
        {
            int numLoop = _loop.Length / Player.Channels;
            for (int i = 0; i < numFrames; i++)
            {
                int at = (int)((_offset + i) % numLoop);
                into[2 * (fromFrame + i)] = _loop[2 * at];
                into[2 * (fromFrame + i) + 1] = _loop[2 * at + 1];
            }
            _offset += numFrames;
        }

        /// <summary>The beats from one index up to another, with bars that count on.</summary>
        public IEnumerable<Passed> Beats(long first, long end)
        {
            if (_beats.Count == 0)
            {
                yield break;
            }
            long turn = (first - _began) / _numFrames;
            for (; _began + turn * _numFrames < end; turn++)
            {
                foreach (Passed beat in _beats)
                {
                    long at = _began + turn * _numFrames + beat.Index;
                    if (at >= first && at < end)
                    {
                        var told = (JObject)beat.Event.DeepClone();
                        told["bar"] = (long)told["bar"] + (turn + 1) * _numBars;
                        yield return new Passed(at, told);
                    }
                }
            }
        }

        private static int LengthOf(List<Passed> beats, int room, out int numBars)
        {
            numBars = 0;
            if (beats.Count > 0)
            {
                Passed last = beats[beats.Count - 1];
                foreach (int bars in BarsTried)
                {
                    long wanted = Player.Number(last.Event) - bars * Player.BeatsPerBar;
                    int found = beats.FindLastIndex(beat => Player.Number(beat.Event) == wanted);
                    long length = found < 0 ? 0 : last.Index - beats[found].Index;
                    if (length > Player.FadeFrames && length <= room)
                    {
                        numBars = bars;
                        return (int)length;
                    }
                }
            }
            return room >= LeastFrames ? Math.Min(room, 2 * Player.Rate) : 0;
        }
    }
}
