namespace Tandem.Ledger;

/// <summary>Everything that runs: what clients talk to, and what can be killed.</summary>
/// <param name="Addresses">Where clients send their requests.</param>
/// <param name="Victims">In the order in which they are started.</param>
sealed record Cluster(IReadOnlyList<string> Addresses, IReadOnlyList<Victim> Victims) : IAsyncDisposable
{
    public static IEnumerable<string> Shapes => ["embedded", "postgres"];

    public static Cluster Make(string shape, string directory) => shape switch
    {
        "embedded" => Embedded(directory),
        "postgres" => OnPostgres(directory),
        _ => throw new LedgerException($"There is no shape {shape}."),
    };

    /// <summary>One process on SQLite.</summary>
    static Cluster Embedded(string directory)
    {
        var process = new TandemProcess("tandem", directory, ["--data", Path.Combine(directory, "data")]);
        return new Cluster([process.Address], [process]);
    }

    /// <summary>Two processes with everything in them on one database.</summary>
    static Cluster OnPostgres(string directory)
    {
        var postgres = new Postgres(directory);
        var processes = Enumerable.Range(1, 2).Select(n =>
            new TandemProcess("tandem", directory, ["--data", Path.Combine(directory, $"data{n}"), "--Postgres:ConnectionString", postgres.ConnectionString])).ToList();
        return new Cluster([.. processes.Select(p => p.Address)], [postgres, .. processes]);
    }

    public async Task StartAsync(Client client, CancellationToken ct)
    {
        foreach (var victim in Victims)
        {
            victim.Start();
            await victim.ServingAsync(client, ct);
        }
    }

    /// <summary>Kills all of it at once and starts it again: what is found then was on the disk.</summary>
    public async Task RestartAsync(Client client, CancellationToken ct)
    {
        foreach (var victim in Victims)
            victim.Kill();
        foreach (var victim in Victims)
            await victim.GoneAsync();
        await StartAsync(client, ct);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var victim in Victims.Reverse())
            await victim.DisposeAsync();
    }
}
