namespace Tandem.Ledger;

/// <summary>Everything that runs: what clients talk to, and what can be killed.</summary>
/// <param name="Addresses">Where clients send their requests.</param>
/// <param name="Victims">In the order in which they are started.</param>
/// <param name="Kafka">Lives as long as this.</param>
sealed record Cluster(IReadOnlyList<string> Addresses, IReadOnlyList<Victim> Victims, KafkaCluster? Kafka = null) : IAsyncDisposable
{
    public static IEnumerable<string> Shapes => ["embedded", "postgres", "split", "split-kafka"];

    public static Cluster Make(string shape, string directory) => shape switch
    {
        "embedded" => Embedded(directory),
        "postgres" => OnPostgres(directory),
        "split" => Split(directory, null),
        "split-kafka" => Split(directory, new KafkaCluster()),
        _ => throw new LedgerException($"There is no shape {shape}."),
    };

    /// <summary>One process on SQLite.</summary>
    static Cluster Embedded(string directory)
    {
        var process = new TandemProcess("tandem", directory, ["--data", Path.Combine(directory, "data")]);
        return new Cluster([process.Address], [process]);
    }

    /// <summary>Two processes with everything in them on one database and one Redis.</summary>
    static Cluster OnPostgres(string directory)
    {
        var (postgres, redis) = (new Postgres(directory), new Redis(directory));
        var processes = Enumerable.Range(1, 2).Select(n => new TandemProcess("tandem", directory,
            ["--data", Path.Combine(directory, $"data{n}"), "--Postgres:ConnectionString", postgres.ConnectionString, "--Redis:ConnectionString", redis.ConnectionString])).ToList();
        return new Cluster([.. processes.Select(p => p.Address)], [postgres, redis, .. processes]);
    }

    /// <summary>Two gateways in front of processes that have a role each, on one database and one Redis; events in the database or on Kafka.</summary>
    static Cluster Split(string directory, KafkaCluster? kafka)
    {
        var (postgres, redis) = (new Postgres(directory), new Redis(directory));
        TandemProcess[] roles = [Process("users"), Process("items"), Process("items"), Process("ledger")];
        string[] addresses = [.. roles.GroupBy(r => r.Kind).SelectMany(g => g.SelectMany((r, i) => (string[])[$"--Gateway:Roles:{g.Key}:Addresses:{i}", r.Address]))];
        TandemProcess[] gateways = [Process("gateway", addresses), Process("gateway", addresses)];
        return new Cluster([.. gateways.Select(g => g.Address)], [postgres, redis, .. kafka?.Victims ?? [], .. roles, .. gateways], kafka);

        TandemProcess Process(string role, params string[] settings) => new(role, directory,
            ["--data", Path.Combine(directory, $"{role}-{Guid.NewGuid():n}"), "--roles", role, "--Postgres:ConnectionString", postgres.ConnectionString,
                "--Redis:ConnectionString", redis.ConnectionString, .. kafka?.Settings ?? [], .. settings]);
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
        Kafka?.Dispose();
    }
}
