using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Tandem.Ledger;

/// <summary>What came out of a run, for people and for programs.</summary>
sealed class LedgerResults(
    LedgerOptions options, IReadOnlyList<Kill> kills, TimeSpan took, long acknowledged, long repeated, IReadOnlyList<string> gaveUp, IReadOnlyDictionary<string, int> unexpected, Stored stored, Verdict verdict)
{
    const int Shown = 20;

    static readonly JsonSerializerOptions Readable = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    readonly List<RecoveryRow> _recovery = [.. kills.GroupBy(k => k.Kind).OrderBy(g => g.Key, StringComparer.Ordinal).Select(RecoveryRow.Of)];

    readonly (string Name, IReadOnlyList<string> Found)[] _broken =
    [
        ("lost", verdict.Lost), ("doubled", verdict.Doubled), ("out of order", verdict.OutOfOrder), ("never asked for", verdict.Unasked),
        ("answers that are neither success nor a store away", [.. unexpected.Select(u => $"{u.Value} × {u.Key}")]),
        ($"not moving again within {options.Within.TotalSeconds:0.#} s",
            [.. kills.Where(k => k.Moving > options.Within).Select(k => string.Create(CultureInfo.InvariantCulture, $"{k.Moving!.Value.TotalSeconds:0.00} s after killing {k.Kind}"))]),
    ];

    /// <summary>True when every promise was kept.</summary>
    public bool Kept => kills.Count > 0 && _broken.All(b => b.Found.Count == 0);

    public string Table()
    {
        var text = new StringBuilder();
        Line($"Shape {options.Shape}, {options.Writers} writers, {took.TotalSeconds:0} s, seed {options.Seed}");
        Line($"");
        Line($"| killed | times | of which in its recovery | first answer p50 | max | all moving p50 | max |");
        Line($"| --- | --- | --- | --- | --- | --- | --- |");
        foreach (var row in _recovery)
            Line($"| {row.Kind} | {row.Kills} | {row.InRecovery} | {row.FirstAnswerP50:0.00} s | {row.FirstAnswerMax:0.00} s | {row.MovingP50:0.00} s | {row.MovingMax:0.00} s |");
        Line($"");
        Line($"| | |");
        Line($"| --- | --- |");
        Line($"| changes acknowledged | {acknowledged} |");
        Line($"| requests sent again | {repeated} |");
        Line($"| processes that gave up and were started again | {gaveUp.Count} |");
        Line($"| items, accounts | {stored.Items.Count}, {stored.Accounts.Count} |");
        Line($"| events, effects | {stored.Events.Count}, {stored.Effects.Count} |");
        foreach (var (name, found) in _broken)
            Line($"| {name} | {found.Count} |");
        foreach (var (name, found) in _broken.Where(b => b.Found.Count > 0))
        {
            Line($"");
            Line($"{name}:");
            foreach (var one in found.Take(Shown))
                Line($"- {one}");
        }

        return text.ToString();

        void Line(FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    public string ToJson() => JsonSerializer.Serialize(new
    {
        At = DateTime.UtcNow,
        Machine = $"{RuntimeInformation.OSDescription}, {Environment.ProcessorCount} cores, {RuntimeInformation.FrameworkDescription}",
        options.Shape,
        options.Seed,
        options.Writers,
        Seconds = took.TotalSeconds,
        Kept,
        Acknowledged = acknowledged,
        Repeated = repeated,
        GaveUp = gaveUp,
        Items = stored.Items.Count,
        Accounts = stored.Accounts.Count,
        Events = stored.Events.Count,
        Effects = stored.Effects.Count,
        Broken = _broken.ToDictionary(b => b.Name, b => new { b.Found.Count, Examples = b.Found.Take(Shown) }),
        Recovery = _recovery,
        Kills = kills.Select(k => new { k.Kind, FirstAnswer = k.FirstAnswer?.TotalSeconds, Moving = k.Moving?.TotalSeconds }),
    }, Readable) + "\n";

    /// <summary>Seconds.</summary>
    sealed record RecoveryRow(string Kind, int Kills, int InRecovery, double FirstAnswerP50, double FirstAnswerMax, double MovingP50, double MovingMax)
    {
        public static RecoveryRow Of(IGrouping<string, Kill> kills)
        {
            var first = kills.Select(k => k.FirstAnswer).OfType<TimeSpan>().Select(t => t.TotalSeconds).Order().DefaultIfEmpty().ToList();
            var moving = kills.Select(k => k.Moving).OfType<TimeSpan>().Select(t => t.TotalSeconds).Order().DefaultIfEmpty().ToList();
            return new RecoveryRow(kills.Key, kills.Count(), kills.Count(k => k.Moving is null), first[first.Count / 2], first[^1], moving[moving.Count / 2], moving[^1]);
        }
    }
}
