using System.Diagnostics;

namespace Tandem.Ledger;

/// <summary>One kill.</summary>
/// <param name="Kind">Of the victim.</param>
/// <param name="FirstAnswer">From the kill until a change sent after it was acknowledged; null when the next kill came before everything moved.</param>
/// <param name="Moving">Until the victim serves, every writer has had a change acknowledged and the first one's effect is there.</param>
sealed record Kill(string Kind, TimeSpan? FirstAnswer, TimeSpan? Moving);

/// <summary>Kills a random victim at a random moment, starts it at once, and measures until everything moves again.</summary>
sealed class Killer(Cluster cluster, Client client, Progress progress, LedgerOptions options, Random random)
{
    // Long enough to tell slow from stuck.
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public List<Kill> Kills { get; } = [];

    public async Task RunAsync(CancellationToken ct)
    {
        var began = Stopwatch.GetTimestamp();
        while (Kills.Count < options.Kills && Stopwatch.GetElapsedTime(began) < options.Time)
        {
            await Task.Delay(random.Next(20, 500), ct);
            var victim = cluster.Victims[random.Next(cluster.Victims.Count)];
            victim.Kill();
            var since = Stopwatch.GetTimestamp();
            var recovery = progress.Watch(since);
            await victim.GoneAsync();
            victim.Start();
            // Now and then it is killed again before it is back, in the middle of its recovery.
            if (random.Next(10) == 0)
            {
                Kills.Add(new Kill(victim.Kind, null, null));
                continue;
            }

            using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
            patience.CancelAfter(Patience);
            try
            {
                Kills.Add(await MeasureAsync(victim, since, recovery, patience.Token));
            }
            catch (OperationCanceledException) when (!ct.IsCancellationRequested)
            {
                throw new LedgerException($"{Patience.TotalSeconds:0} s after kill {Kills.Count + 1} ({victim.Kind}) not everything moved again: "
                    + $"first answer {recovery.First.IsCompletedSuccessfully}, all writers {recovery.All.IsCompletedSuccessfully}, the victim serves {await victim.ServesAsync(client, ct)}.");
            }

            if (Kills.Count % 20 == 0)
                Console.Error.WriteLine($"{Kills.Count} kills, {progress.Count:N0} acknowledged");
        }
    }

    async Task<Kill> MeasureAsync(Victim victim, long since, Recovery recovery, CancellationToken ct)
    {
        var served = victim.ServingAsync(client, ct);
        var first = await recovery.First.WaitAsync(ct);
        var firstAnswer = Stopwatch.GetElapsedTime(since);
        while ((await client.SendAsync(() => new HttpRequestMessage(HttpMethod.Get, $"/ledger/effects/{first.Subject}/{first.Number}"), [200, 204], ct)).Status == 204)
            await Task.Delay(5, ct);
        await recovery.All.WaitAsync(ct);
        await served;
        return new Kill(victim.Kind, firstAnswer, Stopwatch.GetElapsedTime(since));
    }
}
