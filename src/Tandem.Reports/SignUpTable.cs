using System.Globalization;
using System.Text.Json;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Http;
using Tandem.Core.Jobs;

namespace Tandem.Reports;

/// <summary>How many signed up on a day.</summary>
/// <param name="Day">UTC.</param>
/// <param name="Count">Sign-ups, whether or not the accounts still exist.</param>
public sealed record SignUpDay(DateOnly Day, long Count);

/// <summary>The table of sign-ups per day.</summary>
sealed class SignUpTable(Db db, ConsumerProgress progress)
{
    public static readonly string[] Counted = ["users.user-registered"];

    // The consumer is milliseconds behind, or half a second for what a command beside the server did.
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>Returns when every sign-up acknowledged before the call is counted: who signs up and asks sees himself. Gives up after a second.</summary>
    public Task CaughtUpAsync(CancellationToken ct) => progress.CaughtUpAsync(ReportsModule.SignUpsConsumer, Counted, Patience, ct);

    /// <returns>One entry a day from <paramref name="from"/> to <paramref name="to"/>, both included; days without sign-ups have 0.</returns>
    public async Task<List<SignUpDay>> ListAsync(DateOnly from, DateOnly to, CancellationToken ct)
    {
        var stored = (await db.ListAsync<StoredDay>($"select day, count from reports_signups where day between {Text(from)} and {Text(to)}", ct))
            .ToDictionary(d => d.Day, d => d.Count);
        return [.. Enumerable.Range(0, to.DayNumber - from.DayNumber + 1).Select(from.AddDays).Select(d => new SignUpDay(d, stored.GetValueOrDefault(Text(d))))];
    }

    public static Task AddAsync(Transaction tx, DateOnly day, long count, CancellationToken ct) => tx.ExecuteAsync($"""
        insert into reports_signups (day, count) values ({Text(day)}, {count})
        on conflict (day) do update set count = reports_signups.count + excluded.count
        """, ct);

    public static string Text(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    sealed record StoredDay(string Day, long Count);
}

/// <summary>Counts a sign-up in the transaction that remembers the event as done: once, whatever crashes.</summary>
sealed class CountSignUp : IConsumer<UserRegistered>
{
    public Task HandleAsync(Delivery<UserRegistered> delivery, Transaction tx, CancellationToken cancellationToken) =>
        SignUpTable.AddAsync(tx, DateOnly.FromDateTime(delivery.Event.CreatedAt), 1, cancellationToken);
}

/// <summary>Counts all sign-ups of the log again.</summary>
[Job("reports.rebuild-signups")]
sealed record RebuildSignUps;

sealed class RebuildSignUpsHandler(IEventLog log, ConsumerProgress progress) : IJobHandler<RebuildSignUps>
{
    const int Page = 5000;

    public async Task RunAsync(JobRun<RebuildSignUps> run, CancellationToken cancellationToken)
    {
        const string Consumer = ReportsModule.SignUpsConsumer;
        var counted = new Counts([], new long[log.Partitions]);
        await CountAsync(counted, await progress.SequencesAsync(Consumer, cancellationToken), run.Report, cancellationToken);

        // The rest is counted while the consumer is held where it is. So the new table holds exactly the events up to the consumer's position,
        // and what comes later is added to it by the consumer as ever. Events it has set aside are not counted yet.
        await run.CompleteAsync(async tx =>
        {
            var all = new Counts(new(counted.ByDay), [.. counted.At]);
            await CountAsync(all, await progress.HoldAsync(tx, Consumer, cancellationToken), (_, _) => { }, cancellationToken);
            foreach (var e in await progress.SetAsideAsync(tx, Consumer, cancellationToken))
                all.Add(e, -1);
            await tx.ExecuteAsync(Sql.Raw("delete from reports_signups"), cancellationToken);
            foreach (var (day, count) in all.ByDay.Where(c => c.Value > 0))
                await tx.ExecuteAsync($"insert into reports_signups (day, count) values ({SignUpTable.Text(day)}, {count})", cancellationToken);
        });
    }

    async Task CountAsync(Counts counts, IReadOnlyDictionary<int, long> upTo, Action<double, string?> report, CancellationToken ct)
    {
        foreach (var (partition, last) in upTo.Where(p => p.Key < log.Partitions))
            while (counts.At[partition] < last && await log.ReadAsync(partition, counts.At[partition], SignUpTable.Counted, Page, ct) is { Count: > 0 } page)
            {
                foreach (var e in page.TakeWhile(e => e.Position <= last))
                    counts.Add(e, 1);
                counts.At[partition] = Math.Min(page[^1].Position, last);
                report(0.9 * counts.At[partition] / last, $"{counts.At[partition]} of {last} events");
            }
    }

    sealed record Counts(Dictionary<DateOnly, long> ByDay, long[] At)
    {
        public void Add(StoredEvent e, long count)
        {
            var body = JsonSerializer.Deserialize<UserRegistered>(e.Payload, Json.Stored) ?? throw new JsonException($"Event {e.Id} has an empty payload.");
            var day = DateOnly.FromDateTime(body.CreatedAt);
            ByDay[day] = ByDay.GetValueOrDefault(day) + count;
        }
    }
}
