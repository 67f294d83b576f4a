using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;
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
/// One thread writes, in batches, so that a request never waits for the terminal. When it cannot keep up, lines are dropped and counted:
/// a stuck pipe must not stop the server.
/// </remarks>
sealed class LineLoggerProvider : ILoggerProvider
{
    const int MaxWaiting = 8192;

    readonly Channel<byte[]> _lines = Channel.CreateBounded<byte[]>(new BoundedChannelOptions(MaxWaiting) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
    readonly Stream _output;
    readonly TimeProvider _clock;
    readonly bool _json;
    readonly bool _colour;
    readonly Task _writing;
    long _dropped;

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
        while (await _lines.Reader.WaitToReadAsync())
        {
            while (_lines.Reader.TryRead(out var line))
                await _output.WriteAsync(line);
            if (Interlocked.Exchange(ref _dropped, 0) is > 0 and var dropped)
                await _output.WriteAsync(Encoding.UTF8.GetBytes($"{dropped} log lines were dropped: the output does not take them fast enough.\n"));
            await _output.FlushAsync();
        }
    }

    void Add(byte[] line)
    {
        if (!_lines.Writer.TryWrite(line))
            Interlocked.Increment(ref _dropped);
    }

    public void Dispose()
    {
        _lines.Writer.TryComplete();
        // A stuck terminal must not keep the process from ending.
        _writing.Wait(TimeSpan.FromSeconds(2));
    }

    sealed class Line(LineLoggerProvider owner, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            var now = owner._clock.GetUtcNow();
            owner.Add(owner._json ? Json(now, logLevel, eventId, state, exception, formatter) : Text(now, logLevel, formatter(state, exception), exception));
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

        byte[] Json<TState>(DateTimeOffset now, LogLevel level, EventId id, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            var buffer = new ArrayBufferWriter<byte>(256);
            using (var json = new Utf8JsonWriter(buffer))
            {
                json.WriteStartObject();
                json.WriteString("time", now.UtcDateTime);
                json.WriteString("level", level switch { LogLevel.Information => "info", LogLevel.Warning => "warning", LogLevel.Error => "error", LogLevel.Critical => "critical", _ => "debug" });
                json.WriteString("message", formatter(state, exception));
                json.WriteNumber("event", id.Id);
                json.WriteString("source", category);
                if (Activity.Current is { } activity)
                    json.WriteString("trace_id", activity.TraceId.ToString());
                if (state is IReadOnlyList<KeyValuePair<string, object?>> values)
                    foreach (var (name, value) in values)
                        if (name is not ("{OriginalFormat}" or "TraceId"))
                            Write(json, Core.Data.Rows.Snake(name), value);
                if (exception is not null)
                    json.WriteString("exception", exception.ToString());
                json.WriteEndObject();
            }

            buffer.Write("\n"u8);
            return buffer.WrittenSpan.ToArray();
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
