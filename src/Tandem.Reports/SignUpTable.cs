using System.Globalization;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Jobs;

namespace Tandem.Reports;

/// <summary>How many signed up on a day.</summary>
/// <param name="Day">UTC.</param>
/// <param name="Count">Sign-ups, whether or not the accounts still exist.</param>
public sealed record SignUpDay(DateOnly Day, long Count);

/// <summary>The table of sign-ups per day.</summary>
sealed class SignUpTable(Db db, TimeProvider clock)
{
    // The consumer is milliseconds behind, or half a second for what a command beside the server did.
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>Returns when every sign-up acknowledged before the call is counted: who signs up and asks sees himself. Gives up after a second.</summary>
    public async Task CaughtUpAsync(CancellationToken ct)
    {
        var head = await db.FindAsync<long>($"select coalesce(max(position), 0) from events_log where name = 'users.user-registered'", ct);
        var started = clock.GetTimestamp();
        while (clock.GetElapsedTime(started) < Patience
            && (await db.FindAsync<long?>($"select position from events_positions where consumer = {ReportsModule.SignUpsConsumer}", ct) ?? 0) < head)
            await Task.Delay(TimeSpan.FromMilliseconds(10), clock, ct);
    }

    /// <returns>One entry a day from <paramref name="from"/> to <paramref name="to"/>, both included; days without sign-ups have 0.</returns>
    public async Task<List<SignUpDay>> ListAsync(DateOnly from, DateOnly to, CancellationToken ct)
    {
        var stored = (await db.ListAsync<StoredDay>($"select day, count from reports_signups where day between {Text(from)} and {Text(to)}", ct))
            .ToDictionary(d => d.Day, d => d.Count);
        return [.. Enumerable.Range(0, to.DayNumber - from.DayNumber + 1).Select(from.AddDays).Select(d => new SignUpDay(d, stored.GetValueOrDefault(Text(d))))];
    }

    public static Task AddAsync(Transaction tx, DateOnly day, long count, CancellationToken ct) => tx.ExecuteAsync($"""
        insert into reports_signups (day, count) values ({Text(day)}, {count})
        on conflict (day) do update set count = count + excluded.count
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

sealed class RebuildSignUpsHandler(Db db) : IJobHandler<RebuildSignUps>
{
    const int Page = 5000;

    public async Task RunAsync(JobRun<RebuildSignUps> run, CancellationToken cancellationToken)
    {
        const string Consumer = ReportsModule.SignUpsConsumer;
        var head = await db.FindAsync<long?>($"select position from events_positions where consumer = {Consumer}", cancellationToken) ?? 0;
        var (counts, at) = (new Dictionary<string, long>(), 0L);
        while (await PageAsync(at, head, cancellationToken) is { Count: > 0 } page)
        {
            Count(counts, page);
            at = page[^1].Position;
            run.Report(0.9 * at / head, $"{at} of {head} events");
        }

        // The rest is counted where the consumer cannot run: both write through the one writer. So the new table holds exactly the events up to
        // the consumer's position, and what comes later is added to it by the consumer as ever. Events it has set aside are not counted yet.
        await run.CompleteAsync(async tx =>
        {
            var position = await tx.FindAsync<long?>($"select position from events_positions where consumer = {Consumer}", cancellationToken) ?? 0;
            Count(counts, await tx.ListAsync<Registered>(Between(head, position, int.MaxValue), cancellationToken));
            Subtract(counts, await tx.ListAsync<Registered>($"""
                select s.position, substr(json_extract(l.payload, '$.created_at'), 1, 10) as day
                from events_set_aside s join events_log l on l.position = s.position where s.consumer = {Consumer} and s.position <= {position}
                """, cancellationToken));
            await tx.ExecuteAsync(Sql.Raw("delete from reports_signups"), cancellationToken);
            foreach (var (day, count) in counts.Where(c => c.Value > 0))
                await tx.ExecuteAsync($"insert into reports_signups (day, count) values ({day}, {count})", cancellationToken);
        });
    }

    Task<List<Registered>> PageAsync(long after, long upTo, CancellationToken ct) => db.ListAsync<Registered>(Between(after, upTo, Page), ct);

    static Sql Between(long after, long upTo, int limit) => $"""
        select position, substr(json_extract(payload, '$.created_at'), 1, 10) as day from events_log
        where name = 'users.user-registered' and position > {after} and position <= {upTo} order by position limit {limit}
        """;

    static void Count(Dictionary<string, long> counts, List<Registered> events)
    {
        foreach (var e in events)
            counts[e.Day] = counts.GetValueOrDefault(e.Day) + 1;
    }

    static void Subtract(Dictionary<string, long> counts, List<Registered> events)
    {
        foreach (var e in events)
            counts[e.Day] = counts.GetValueOrDefault(e.Day) - 1;
    }

    sealed record Registered(long Position, string Day);
}
