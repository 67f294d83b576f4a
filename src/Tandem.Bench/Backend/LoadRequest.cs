using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Tandem.Bench.Backend;

/// <summary>A request that wrk makes again and again, each time with other numbers.</summary>
/// <param name="Path">With <c>%d</c> for each number.</param>
/// <param name="Body">JSON with <c>%d</c> for each number; null: none.</param>
/// <param name="Numbers">From what to what each is drawn, those of the path first. In a body all have the same number of digits, because its length is said beforehand.</param>
sealed partial record LoadRequest(string Method, string Path, string? Body, params (int From, int To)[] Numbers)
{
    /// <summary>The body is a form's, not JSON.</summary>
    public bool IsForm { get; init; }

    /// <summary>Lua for wrk. What does not change is put together here, not for each request.</summary>
    /// <param name="seed">Another one each time, or the same numbers come again: a change to what is there already is none, a name that is to be new is taken.</param>
    public string Lua(string host, string token, int seed)
    {
        var inPath = Holes().Count(Path);
        if (inPath + (Body is null ? 0 : Holes().Count(Body)) != Numbers.Length)
            throw new ArgumentException($"{Method} {Path} has not as many places as numbers.");
        var head = new StringBuilder($"{Method} {Path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n");
        if (Body is not null)
            head.Append(CultureInfo.InvariantCulture, $"Content-Type: {(IsForm ? "application/x-www-form-urlencoded" : "application/json")}\r\nContent-Length: {Length(Body, Numbers[inPath..])}\r\n");
        var numbers = string.Concat(Numbers.Select(n => string.Create(CultureInfo.InvariantCulture, $", math.random({n.From}, {n.To})")));
        // Each thread of wrk has a state of its own, and would draw the same numbers.
        return $$"""
            local threads = {{seed}}
            function setup(thread) threads = threads + 1; thread:set("seed", threads) end
            function init(args) math.randomseed(seed) end
            local form = "{{Quote(head + "\r\n" + Body)}}"
            function request() return string.format(form{{numbers}}) end

            """;
    }

    static int Length(string body, (int From, int To)[] numbers)
    {
        if (Array.Find(numbers, n => Digits(n.From) != Digits(n.To)) is { To: not 0 } uneven)
            throw new ArgumentException($"{uneven.From} and {uneven.To} differ in length.");
        var at = 0;
        return Encoding.UTF8.GetByteCount(Holes().Replace(body, _ => numbers[at++].From.ToString(CultureInfo.InvariantCulture)));
    }

    static int Digits(int number) => number.ToString(CultureInfo.InvariantCulture).Length;

    static string Quote(string text) =>
        text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\r", "\\r", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);

    [GeneratedRegex("%d")]
    private static partial Regex Holes();
}
