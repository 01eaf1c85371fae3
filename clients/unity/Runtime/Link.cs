using System;
using System.Collections.Concurrent;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Net.WebSockets;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

namespace Undersong
{
    /// <summary>
    /// The connection to a station, made again for as long as it runs. In: controls; out: samples and events to a player,
    /// all other events to a queue. Remembers the last state and the parameters wished for. Threads of the pool; knows
    /// nothing of Unity.
    /// </summary>
    public sealed class Link : IDisposable
    {
        private const double ParametersASecond = 30;
        private const double FirstDelayS = 0.1;
        private const double MaxDelayS = 2;
        private const double OpenS = 3;
        private const double AudioSilentS = 2;
        private const double LiveSilentS = 5;

        private readonly string _url;
        private readonly string _bearer;
        private readonly string _station;
        private readonly JObject _opening;
        private readonly Player _player;
        private readonly HttpClient _http = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        private readonly CancellationTokenSource _end = new CancellationTokenSource();
        private readonly ConcurrentQueue<JObject> _events = new ConcurrentQueue<JObject>();
        private readonly ConcurrentQueue<string> _toSend = new ConcurrentQueue<string>();
        private readonly SemaphoreSlim _hasToSend = new SemaphoreSlim(0);
        private readonly object _lock = new object();
        private readonly string _ids = Guid.NewGuid().ToString("N").Substring(0, 8) + "-";
        private JObject _stateWish;
        private string _stateId = "";
        private JObject _parameters = new JObject();
        private JObject _changed = new JObject();
        private int _numIds;
        private volatile bool _isConnected;

        public Link(string url, string token, string station, JObject opening, Player player)
        {
            _url = url.TrimEnd('/');
            if (!string.IsNullOrEmpty(token))
            {
                _bearer = "Bearer " + token;
                _http.DefaultRequestHeaders.Add("Authorization", _bearer);
            }
            _station = station;
            _opening = opening;
            _player = player;
        }

        public bool IsConnected
        {
            get { return _isConnected; }
        }

        public void Start()
        {
            Task.Run(() => KeepAsync());
            Task.Run(() => SendParametersAsync());
        }

        public void Dispose()
        {
            _end.Cancel();
            _http.Dispose();
        }

        /// <summary>Acks, errors, statuses, `gone` and `back`, in the order in which they came.</summary>
        public bool TryNextEvent(out JObject told)
        {
            return _events.TryDequeue(out told);
        }

        /// <summary>Enter a state; while the server is away it waits, and a later one takes its place.</summary>
        public void State(JObject wish)
        {
            lock (_lock)
            {
                _stateWish = wish;
                _stateId = Control(wish);
            }
        }

        public void Parameter(string name, double value)
        {
            lock (_lock)
            {
                _parameters[name] = value;
                _changed[name] = value;
            }
        }

        /// <summary>Send any control; its id, or "" where the server is away and nothing is sent.</summary>
        public string Control(JObject control)
        {
            if (!_isConnected)
            {
                return "";
            }
            string id = _ids + Interlocked.Increment(ref _numIds);
            var message = (JObject)control.DeepClone();
            message["id"] = id;
            _toSend.Enqueue(message.ToString(Formatting.None));
            _hasToSend.Release();
            return id;
        }

        private async Task KeepAsync()
        {
            double delayS = FirstDelayS;
            while (!_end.IsCancellationRequested)
            {
                try
                {
                    JObject links = await FindAsync();
                    using (ClientWebSocket live = await DialAsync((string)links["live"]))
                    using (ClientWebSocket audio = await DialAsync((string)links["audio"] + "?format=pcm_s16le"))
                    using (var over = CancellationTokenSource.CreateLinkedTokenSource(_end.Token))
                    {
                        delayS = FirstDelayS;
                        OnBack();
                        try
                        {
                            var channels = new[]
                            {
                                HearLiveAsync(live, over.Token),
                                HearAudioAsync(audio, over.Token),
                                SendAsync(live, over.Token),
                            };
                            await await Task.WhenAny(channels);
                        }
                        finally
                        {
                            over.Cancel();
                            OnGone();
                        }
                    }
                }
                catch (Exception error)
                {
                    if (_end.IsCancellationRequested)
                    {
                        return;
                    }
                    var refused = error as RefusedException;
                    if (refused != null)
                    {
                        _events.Enqueue(refused.Problem);
                    }
                }
                await Task.Delay(TimeSpan.FromSeconds(delayS));
                delayS = Math.Min(MaxDelayS, 2 * delayS);
            }
        }

        private void OnBack()
        {
            string ignored;
            while (_toSend.TryDequeue(out ignored))
            {
            }
            _isConnected = true;
            lock (_lock)
            {
                _changed = (JObject)_parameters.DeepClone();
                if (_stateWish != null && _stateId == "")
                {
                    _stateId = Control(_stateWish);
                }
            }
            _events.Enqueue(new JObject { { "type", "back" } });
        }

        private void OnGone()
        {
            _isConnected = false;
            lock (_lock)
            {
                if (_stateId != "acknowledged")
                {
                    _stateId = ""; // it may not have arrived: ask again
                }
            }
            _events.Enqueue(new JObject { { "type", "gone" } });
        }

        // --- the station ---------------------------------------------------------------------------------------------

        private sealed class RefusedException : Exception
        {
            public readonly JObject Problem;

            public RefusedException(JObject problem) : base((string)problem["detail"])
            {
                Problem = problem;
                Problem["type"] = "error";
            }
        }

        /// <summary>The station's links; it is opened where it is not there.</summary>
        private async Task<JObject> FindAsync()
        {
            string path = "/v1/stations/" + Uri.EscapeDataString(_station);
            JObject found = await AskAsync(path, null);
            if (found == null)
            {
                var opening = (JObject)_opening.DeepClone();
                opening["name"] = _station;
                // Another client may open it in between: then it is there.
                JObject opened = await AskAsync("/v1/stations", opening);
                found = opened ?? await AskAsync(path, null);
                if (opened != null)
                {
                    lock (_lock)
                    {
                        _stateId = ""; // it knows of no state yet
                    }
                }
            }
            if (found == null)
            {
                throw new IOException("the station " + _station + " is not there");
            }
            return (JObject)found["links"];
        }

        /// <summary>GET, or POST where there is a body; null where there is none, or another of that name.</summary>
        private async Task<JObject> AskAsync(string path, JObject body)
        {
            HttpResponseMessage answer;
            if (body == null)
            {
                answer = await _http.GetAsync(_url + path, _end.Token);
            }
            else
            {
                var content = new StringContent(body.ToString(Formatting.None), Encoding.UTF8, "application/json");
                answer = await _http.PostAsync(_url + path, content, _end.Token);
            }
            using (answer)
            {
                if (answer.StatusCode == HttpStatusCode.NotFound || answer.StatusCode == HttpStatusCode.Conflict)
                {
                    return null;
                }
                JObject told = JObject.Parse(await answer.Content.ReadAsStringAsync());
                if (!answer.IsSuccessStatusCode)
                {
                    throw new RefusedException(told);
                }
                return told;
            }
        }

        // --- the connections -----------------------------------------------------------------------------------------

        private async Task<ClientWebSocket> DialAsync(string path)
        {
            string address = path.StartsWith("http", StringComparison.Ordinal) ? path : _url + path;
            var socket = new ClientWebSocket();
            if (_bearer != null)
            {
                socket.Options.SetRequestHeader("Authorization", _bearer);
            }
            using (var limit = CancellationTokenSource.CreateLinkedTokenSource(_end.Token))
            {
                limit.CancelAfter(TimeSpan.FromSeconds(OpenS));
                await socket.ConnectAsync(new Uri("ws" + address.Substring("http".Length)), limit.Token);
            }
            return socket;
        }

        /// <summary>A whole message into `into`; whether it is text. Raises where the connection ends or falls silent.</summary>
        private static async Task<bool> NextAsync(
            ClientWebSocket socket, MemoryStream into, byte[] buffer, double silentS, CancellationToken over)
        {
            into.SetLength(0);
            using (var limit = CancellationTokenSource.CreateLinkedTokenSource(over))
            {
                limit.CancelAfter(TimeSpan.FromSeconds(silentS));
                while (true)
                {
                    WebSocketReceiveResult part = await socket.ReceiveAsync(new ArraySegment<byte>(buffer), limit.Token);
                    if (part.MessageType == WebSocketMessageType.Close)
                    {
                        throw new IOException(part.CloseStatusDescription);
                    }
                    into.Write(buffer, 0, part.Count);
                    if (part.EndOfMessage)
                    {
                        return part.MessageType == WebSocketMessageType.Text;
                    }
                }
            }
        }

        private async Task HearAudioAsync(ClientWebSocket socket, CancellationToken over)
        {
            var message = new MemoryStream();
            var buffer = new byte[16384];
            while (true)
            {
                if (await NextAsync(socket, message, buffer, AudioSilentS, over))
                {
                    continue; // its format, or what was dropped
                }
                byte[] bytes = message.GetBuffer();
                var pcm = new float[((int)message.Length - 8) / 2];
                for (int i = 0; i < pcm.Length; i++)
                {
                    pcm[i] = (short)(bytes[8 + 2 * i] | (bytes[9 + 2 * i] << 8)) / 32768f;
                }
                long frame = 0;
                for (int i = 7; i >= 0; i--)
                {
                    frame = (frame << 8) | bytes[i];
                }
                _player.Write(frame, pcm);
            }
        }

        private async Task HearLiveAsync(ClientWebSocket socket, CancellationToken over)
        {
            var message = new MemoryStream();
            var buffer = new byte[16384];
            while (true)
            {
                await NextAsync(socket, message, buffer, LiveSilentS, over);
                JObject told = JObject.Parse(Encoding.UTF8.GetString(message.GetBuffer(), 0, (int)message.Length));
                var type = (string)told["type"];
                if (type == "beat" || type == "section" || type == "state" || type == "marker")
                {
                    _player.Tell(told);
                    continue;
                }
                if (type == "status" && told["still_from"] != null)
                {
                    _player.TakeBack((long)told["still_from"]);
                }
                lock (_lock)
                {
                    if (type == "ack" && (string)told["id"] == _stateId)
                    {
                        _stateId = "acknowledged";
                    }
                }
                _events.Enqueue(told);
            }
        }

        private async Task SendAsync(ClientWebSocket socket, CancellationToken over)
        {
            while (true)
            {
                await _hasToSend.WaitAsync(over);
                string text;
                if (_toSend.TryDequeue(out text))
                {
                    var bytes = new ArraySegment<byte>(Encoding.UTF8.GetBytes(text));
                    await socket.SendAsync(bytes, WebSocketMessageType.Text, true, over);
                }
            }
        }

        private async Task SendParametersAsync()
        {
            while (!_end.IsCancellationRequested)
            {
                await Task.Delay(TimeSpan.FromSeconds(1 / ParametersASecond));
                lock (_lock)
                {
                    if (_isConnected && _changed.HasValues)
                    {
                        Control(new JObject { { "type", "parameter" }, { "set", _changed } });
                        _changed = new JObject();
                    }
                }
            }
        }
    }
}
