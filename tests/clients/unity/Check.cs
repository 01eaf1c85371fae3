// The package's player and link without Unity: read as a sound card reads, and told on stdout, one JSON a line.
using System;
using System.Diagnostics;
using System.Threading;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;
using Undersong;

public static class Check
{
    private const int DeviceRate = 44100;
    private const int BlockFrames = 441;

    /// <summary>Words: url, station, seconds, and a state to enter or "".</summary>
    public static void Main(string[] words)
    {
        var player = new Player(0.08);
        var link = new Link(words[0], "", words[1], new JObject { { "mood", "epic" }, { "bpm", 240 } }, player);
        link.Start();
        if (words[3] != "")
        {
            link.State(new JObject { { "type", "state" }, { "name", words[3] } });
        }
        link.Parameter("danger", 0.5);
        var block = new float[2 * BlockFrames];
        var clock = Stopwatch.StartNew();
        double seconds = double.Parse(words[2], System.Globalization.CultureInfo.InvariantCulture);
        int silent = 0, longest = 0;
        float largestStep = 0, last = 0;
        bool hasBegun = false;
        for (long read = 0; read < seconds * DeviceRate; read += BlockFrames)
        {
            double dueS = (double)read / DeviceRate;
            double waitS = dueS - clock.Elapsed.TotalSeconds;
            if (waitS > 0)
            {
                Thread.Sleep(TimeSpan.FromSeconds(waitS));
            }
            player.Read(block, 2, DeviceRate, dueS);
            for (int i = 0; i < BlockFrames; i++)
            {
                float sample = block[2 * i];
                largestStep = Math.Max(largestStep, Math.Abs(sample - last));
                last = sample;
                silent = Math.Abs(sample) + Math.Abs(block[2 * i + 1]) > 1e-3f ? 0 : silent + 1;
                hasBegun = hasBegun || silent == 0;
                longest = hasBegun ? Math.Max(longest, silent) : 0;
            }
            foreach (JObject told in player.Heard(dueS))
            {
                told["is_bridging"] = player.IsBridging;
                Tell(told);
            }
            JObject other;
            while (link.TryNextEvent(out other))
            {
                Tell(other);
            }
        }
        link.Dispose();
        Tell(new JObject
        {
            { "type", "end" }, { "longest_silence_s", (double)longest / DeviceRate }, { "largest_step", largestStep },
            { "bridges", player.NumBridges },
        });
        Environment.Exit(0);
    }

    private static void Tell(JObject told)
    {
        Console.Out.WriteLine(told.ToString(Formatting.None));
        Console.Out.Flush();
    }
}
