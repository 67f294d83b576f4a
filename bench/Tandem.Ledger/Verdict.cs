using System.Text.Json;

namespace Tandem.Ledger;

/// <summary>What is found in the end.</summary>
/// <param name="Items">Every item.</param>
/// <param name="Accounts">Every account.</param>
/// <param name="Events">The log, in order per partition.</param>
/// <param name="Effects">In the order in which they happened.</param>
sealed record Stored(IReadOnlyList<StoredItem> Items, IReadOnlyList<StoredAccount> Accounts, IReadOnlyList<LoggedEvent> Events, IReadOnlyList<StoredEffect> Effects);

/// <summary>Compares what clients were told with what is there. Every entry is a broken promise.</summary>
sealed class Verdict
{
    /// <summary>Acknowledged, and not there or not with its last number; or without its event or effect.</summary>
    public List<string> Lost { get; } = [];

    /// <summary>There twice: a row, a change, an event or an effect.</summary>
    public List<string> Doubled { get; } = [];

    /// <summary>Events or effects of one subject in another order than its changes.</summary>
    public List<string> OutOfOrder { get; } = [];

    /// <summary>There although no client asked for it.</summary>
    public List<string> Unasked { get; } = [];

    public bool IsClean => Lost.Count + Doubled.Count + OutOfOrder.Count + Unasked.Count == 0;

    /// <param name="acknowledged">Every acknowledgement, in any order.</param>
    /// <param name="asked">By the name of a subject the highest number that was ever sent, answered or not.</param>
    /// <param name="stored">What is there.</param>
    public static Verdict Of(IEnumerable<Change> acknowledged, IReadOnlyDictionary<string, long> asked, Stored stored)
    {
        var verdict = new Verdict();
        // By the subject's name: its id and the number of its last change.
        var rows = new Dictionary<string, (string Subject, long Number)>();
        foreach (var item in stored.Items)
        {
            verdict.AddRow(rows, item.Name, $"items/{item.Id}", item.Number);
            if (item.Version != item.Number + 1)
                verdict.Doubled.Add($"{item.Name} was changed {item.Version - 1} times and holds {item.Number}");
        }

        foreach (var account in stored.Accounts)
            verdict.AddRow(rows, account.Email, $"users/{account.Id}", 0);
        foreach (var (name, row) in rows)
            if (!asked.TryGetValue(name, out var highest))
                verdict.Unasked.Add($"{name} was never sent");
            else if (row.Number > highest)
                verdict.Unasked.Add($"{name} holds {row.Number}, the highest sent is {highest}");
        foreach (var change in acknowledged)
            if (!rows.TryGetValue(change.Name, out var row))
                verdict.Lost.Add($"{change.Name} ({change.Subject}) {change.Number} was acknowledged and is not there");
            else if (row.Subject != change.Subject)
                verdict.Lost.Add($"{change.Name} was acknowledged as {change.Subject} and is {row.Subject}");
            else if (row.Number < change.Number)
                verdict.Lost.Add($"{change.Name} ({change.Subject}) {change.Number} was acknowledged, it holds {row.Number}");

        var changes = rows.Values.ToDictionary(r => r.Subject, r => r.Number);
        // A log may hold an event twice; its id is then the same, and the consumer drops the second.
        var events = stored.Events.DistinctBy(e => e.Id).Select(e => (Subject: SubjectOf(e), Number: NumberOf(e), e.Id)).ToList();
        verdict.Compare("event", changes, events);
        verdict.Compare("effect", changes, [.. stored.Effects.Select(e => (e.Subject, e.Number, e.DeliveryId))]);
        var ids = events.ToLookup(e => (e.Subject, e.Number), e => e.Id);
        foreach (var effect in stored.Effects)
            if (!ids[(effect.Subject, effect.Number)].Contains(effect.DeliveryId))
                verdict.Unasked.Add($"the effect of {effect.Subject} {effect.Number} is of an event {effect.DeliveryId} that the log does not hold");
        return verdict;
    }

    void AddRow(Dictionary<string, (string, long)> rows, string name, string subject, long number)
    {
        if (!rows.TryAdd(name, (subject, number)))
            Doubled.Add($"{name} is there twice, the second time as {subject}");
    }

    /// <summary>Of every subject the numbers from 0 to its last, each once, in this order.</summary>
    void Compare(string what, Dictionary<string, long> changes, IReadOnlyList<(string Subject, long Number, Guid Id)> found)
    {
        var bySubject = found.ToLookup(f => f.Subject, f => f.Number);
        foreach (var (subject, last) in changes)
        {
            var numbers = bySubject[subject].ToList();
            for (var number = 0L; number <= last; number++)
                switch (numbers.Count(n => n == number))
                {
                    case 0:
                        Lost.Add($"{subject} {number} has no {what}");
                        break;
                    case > 1 and var times:
                        Doubled.Add($"{subject} {number} has {times} {what}s");
                        break;
                }

            if (!numbers.SequenceEqual(numbers.Order()))
                OutOfOrder.Add($"the {what}s of {subject} came as {string.Join(", ", numbers)}");
        }

        foreach (var other in bySubject.Where(s => !changes.TryGetValue(s.Key, out var last) || s.Any(n => n > last)))
            Unasked.Add($"there are {what}s of {other.Key}, {string.Join(", ", other)}, and no such change");
    }

    static string SubjectOf(LoggedEvent e) => e.Name[..e.Name.IndexOf('.')] + "/" + e.Key;

    static long NumberOf(LoggedEvent e) =>
        JsonDocument.Parse(e.Payload).RootElement.TryGetProperty("item", out var item) ? item.GetProperty("number").GetInt64() : 0;
}
