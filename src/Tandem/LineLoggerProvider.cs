using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Tandem;

/// <summary>Where the log goes: a server's to standard output, a command's to standard error, for its output is its answer.</summary>
sealed record LogTarget(bool IsError)
{
    public Stream Open() => IsError ? Console.OpenStandardError() : Console.OpenStandardOutput();

    public bool IsRedirected => IsError ? Console.IsErrorRedirected : Console.IsOutputRedirected;
}

/// <summary>Writes the log, a line each: readable on a terminal, JSON otherwise.</summary>
/// <remarks>
/// One task writes, all that has come at once and then not for a few milliseconds, so that a request neither waits for the terminal nor wakes anybody. When it cannot
/// keep up, lines are dropped and counted: a stuck pipe must not stop the server.
/// </remarks>
sealed class LineLoggerProvider : ILoggerProvider
{
    // Some six thousand lines of JSON, a tenth of a second of the fastest answers. A buffer that a burst has made larger than usual is not kept.
    const int MaxWaitingBytes = 2 * 1024 * 1024, UsualBytes = 64 * 1024;

    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);

    readonly Lock _lock = new();
    readonly SemaphoreSlim _something = new(0);
    readonly Stream _output;
    readonly TimeProvider _clock;
    readonly bool _json;
    readonly bool _colour;
    readonly Task _writing;
    ArrayBufferWriter<byte> _waiting = new(), _written = new();
    long _dropped;
    bool _isClosed;

    public LineLoggerProvider(LogOptions options, LogTarget target, TimeProvider clock)
    {
        _output = target.Open();
        _clock = clock;
        _json = options.Format is { } format ? format == "Json" : target.IsRedirected;
        _colour = !_json && !target.IsRedirected && Environment.GetEnvironmentVariable("NO_COLOR") is null or "";
        _writing = Task.Run(WriteAsync);
    }

    public ILogger CreateLogger(string categoryName) => new Line(this, categoryName);

    async Task WriteAsync()
    {
        while (true)
        {
            await _something.WaitAsync();
            long dropped;
            bool isClosed;
            lock (_lock)
            {
                (_waiting, _written) = (_written, _waiting);
                (dropped, _dropped, isClosed) = (_dropped, 0, _isClosed);
            }

            if (dropped > 0)
                _written.Write(Encoding.UTF8.GetBytes($"{dropped} log lines were dropped: the output does not take them fast enough.\n"));
            if (_written.WrittenCount > 0)
            {
                await _output.WriteAsync(_written.WrittenMemory);
                await _output.FlushAsync();
            }

            if (isClosed)
                return;
            if (_written.Capacity > UsualBytes)
                _written = new();
            _written.ResetWrittenCount();
            await Task.Delay(Pause);
        }
    }

    void Add(ReadOnlySpan<byte> line)
    {
        bool isFirst;
        lock (_lock)
        {
            if (_isClosed)
                return;
            if (_waiting.WrittenCount + line.Length > MaxWaitingBytes)
            {
                _dropped++;
                return;
            }

            isFirst = _waiting.WrittenCount == 0;
            _waiting.Write(line);
        }

        if (isFirst)
            _something.Release();
    }

    public void Dispose()
    {
        lock (_lock)
            _isClosed = true;
        _something.Release();
        // A stuck terminal must not keep the process from ending.
        _writing.Wait(TimeSpan.FromSeconds(2));
    }

    sealed class Line(LineLoggerProvider owner, string category) : ILogger
    {
        static readonly ConcurrentDictionary<string, string> Names = new();

        [ThreadStatic]
        static (ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Json)? _free;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            var now = owner._clock.GetUtcNow();
            if (owner._json)
                Json(now, logLevel, eventId, state, exception, formatter);
            else
                owner.Add(Text(now, logLevel, formatter(state, exception), exception));
        }

        byte[] Text(DateTimeOffset now, LogLevel level, string message, Exception? exception)
        {
            var word = level switch { LogLevel.Information => "", LogLevel.Warning => "warning: ", LogLevel.Error => "error: ", LogLevel.Critical => "critical: ", _ => "debug: " };
            var (on, off) = owner._colour && level >= LogLevel.Warning ? (level == LogLevel.Warning ? "\e[33m" : "\e[31m", "\e[0m") : ("", "");
            var text = new StringBuilder().Append(now.ToLocalTime().ToString("HH:mm:ss", CultureInfo.InvariantCulture)).Append(' ').Append(on).Append(word).Append(off);
            // What strangers sent (a path) must not move the cursor or start a line of its own.
            foreach (var c in message)
                text.Append(char.IsControl(c) ? '?' : c);
            text.Append('\n');
            if (exception is not null)
                text.Append(exception).Append('\n');
            return Encoding.UTF8.GetBytes(text.ToString());
        }

        void Json<TState>(DateTimeOffset now, LogLevel level, EventId id, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            // What is formatted may log while it is: then this thread's writer is in use.
            var (buffer, json) = _free ?? (new ArrayBufferWriter<byte>(512), new Utf8JsonWriter(Stream.Null));
            _free = null;
            json.Reset(buffer);
            json.WriteStartObject();
            json.WriteString("time", now.UtcDateTime);
            json.WriteString("level", level switch { LogLevel.Information => "info", LogLevel.Warning => "warning", LogLevel.Error => "error", LogLevel.Critical => "critical", _ => "debug" });
            json.WriteString("message", formatter(state, exception));
            json.WriteNumber("event", id.Id);
            json.WriteString("source", category);
            if (Activity.Current is { } activity)
                json.WriteString("trace_id", activity.TraceId.ToHexString());
            if (state is IReadOnlyList<KeyValuePair<string, object?>> values)
                for (var i = 0; i < values.Count; i++)
                    if (values[i] is { Key: not ("{OriginalFormat}" or "TraceId") } value)
                        Write(json, Names.GetOrAdd(value.Key, Core.Data.Rows.Snake), value.Value);
            if (exception is not null)
                json.WriteString("exception", exception.ToString());
            json.WriteEndObject();
            json.Flush();
            buffer.Write("\n"u8);
            owner.Add(buffer.WrittenSpan);
            if (buffer.Capacity > UsualBytes)
                return;
            buffer.ResetWrittenCount();
            _free = (buffer, json);
        }

        static void Write(Utf8JsonWriter json, string name, object? value)
        {
            switch (value)
            {
                case null:
                    json.WriteNull(name);
                    break;
                case int number:
                    json.WriteNumber(name, number);
                    break;
                case long number:
                    json.WriteNumber(name, number);
                    break;
                case double number when double.IsFinite(number):
                    json.WriteNumber(name, Math.Round(number, 3));
                    break;
                case bool flag:
                    json.WriteBoolean(name, flag);
                    break;
                default:
                    json.WriteString(name, Convert.ToString(value, CultureInfo.InvariantCulture));
                    break;
            }
        }
    }
}
